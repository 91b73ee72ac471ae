"""Whisper's encoder for any length up to its window, with padding masked and rows independent of each other."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import WhisperConfig
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


def check_weights(folder: str | Path, config: WhisperConfig) -> None:
    """Raises StudyError, with counts, when the safetensors in the folder are not the encoder that `config` describes.

    Only the headers are read. Names may begin with "model.encoder.", "encoder." or nothing; a decoder is ignored.
    """
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in WhisperEncoder(config).state_dict().items()}
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        except SafetensorError as error:
            raise StudyError(f"{path}: cannot be read ({error}); the file is damaged, fetch it again") from None
    for name in list(found):
        found[name.removeprefix("model.").removeprefix("encoder.")] = found[name]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise StudyError(
            f"{folder}: {len(wanted) - len(missing)} of the {len(wanted)} weights of the speech encoder are there, the "
            f"first that is missing is {missing[0]}; put a whole Whisper, or all of its encoder, there"
        )
    other = [name for name in wanted if found[name] != wanted[name]]
    if other:
        name = other[0]
        raise StudyError(
            f"{folder}: {len(other)} of the {len(wanted)} weights of the speech encoder have another size than "
            f"config.json gives them, the first is {name}: {found[name]}, wanted is {wanted[name]}; the two "
            "are not of one model, fetch both from one place"
        )
