"""Whisper's encoder for any length up to its window, with padding masked and rows independent of each other."""

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.errors import StudyError


def encode_speech(
    encoder: WhisperEncoder,
    input_features: torch.Tensor,
    feature_attention_mask: torch.Tensor,
    real_frames: bool = True,
    every_layer: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (batch, frames, width) and their mask (batch, frames), bool.

    input_features: log-mel (batch, mels, mel frames), right-padded. feature_attention_mask: (batch, mel frames), 1 at
    real frames. transformers' forward requires the full window (30 s); this one stops at the longest row and zeroes the
    padding before each convolution, so that the states of a row do not depend on the others.
    real_frames=False: the features fill the whole window, all of it is encoded, and the result is cut to the real
    length of the longest row, as in the released code.
    every_layer: (batch, frames, layers + 1, width), from the input of the first layer to the output of the last. The
    last is normalised by the encoder's LayerNorm, the others by one without weights.
    """
    mask = feature_attention_mask.bool()
    stride = encoder.conv1.stride[0] * encoder.conv2.stride[0]
    window = encoder.max_source_positions * stride
    frames = input_features.shape[2]
    if frames > window or (frames < window and not real_frames):
        raise StudyError(
            f"input_features: {frames} frames, but the speech encoder reads "
            f"{'at most' if real_frames else 'exactly'} {window}"
        )
    seen = mask if real_frames else torch.ones_like(mask)
    hidden = input_features.to(encoder.conv1.weight.dtype)
    hidden = nn.functional.gelu(encoder.conv1(hidden * seen[:, None]))
    hidden = nn.functional.gelu(encoder.conv2(hidden * seen[:, None])).transpose(1, 2)  # (B, T, width)
    mask, seen = mask[:, ::stride], seen[:, ::stride]
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    hidden = nn.functional.dropout(hidden, encoder.dropout, encoder.training)
    attention_mask = create_bidirectional_mask(encoder.config, hidden, seen)
    longest = int(mask.sum(1).max())
    states = []
    for layer in encoder.layers:
        if every_layer:
            states.append(nn.functional.layer_norm(hidden[:, :longest], hidden.shape[-1:]))
        hidden = layer(hidden, attention_mask)
    last = encoder.layer_norm(hidden)[:, :longest]
    return torch.stack([*states, last], dim=2) if every_layer else last, mask[:, :longest]
