"""SALMONN's way from the encoder's frames to the LLM: one query for every window (arXiv 2310.13289, section 3.1)."""

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from blsp_core.errors import StudyError


def window_count(frames, window: int):
    """How many windows so many frames fill, the last one perhaps in part (an int, or an integer tensor)."""
    return -(-frames // window)


class WindowQFormer(nn.Module):
    """A Q-Former with one learnt query, which looks at each window of frames by itself; then a linear projection.

    Windows do not overlap: with SALMONN's 17 frames of 20 ms there is one embedding each 0.34 s. The Q-Former is
    transformers' own, with cross-attention in every layer.
    """

    def __init__(self, encoder_dim: int, llm_dim: int, window: int, width: int, layers: int):
        super().__init__()
        heads = max(1, width // 64)
        if width % heads:
            raise StudyError(f"qformer_width: {width} is no multiple of 64, the width of a head; take one that is")
        config = Blip2QFormerConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            encoder_hidden_size=encoder_dim,
            cross_attention_frequency=1,
            initializer_range=width**-0.5,  # a small Q-Former would begin nearly deaf with BERT's 0.02
        )
        self.window = window
        self.norm = nn.LayerNorm(encoder_dim)
        self.query = nn.Parameter(torch.randn(1, 1, width) * config.initializer_range)
        self.qformer = Blip2QFormerModel(config)
        self.projection = nn.Linear(width, llm_dim)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, encoder_dim) and its mask (B, T), right-padded -> (B, P, llm_dim) and (B, P), bool.

        Windows that hold padding alone are never looked at; their embeddings are zero.
        """
        missing = -hidden.shape[1] % self.window
        hidden = nn.functional.pad(self.norm(hidden), (0, 0, 0, missing))
        frames = nn.functional.pad(mask.bool(), (0, missing)).unflatten(1, (-1, self.window))  # (B, P, window)
        real = frames.any(2)  # (B, P)
        looked = self.qformer(
            query_embeds=self.query.expand(int(real.sum()), 1, -1),
            encoder_hidden_states=hidden.unflatten(1, (-1, self.window))[real],  # (N, window, encoder_dim)
            encoder_attention_mask=frames[real],
        ).last_hidden_state
        vectors = self.projection(looked[:, 0])  # (N, llm_dim)
        return vectors.new_zeros(*real.shape, vectors.shape[1]).index_put((real,), vectors), real

    @torch.no_grad()
    def scale_to(self, size: torch.Tensor) -> None:
        """Make the embeddings begin with this standard deviation, a scalar; the Q-Former's own output has 1."""
        weight = self.projection.weight
        weight.copy_(torch.randn_like(weight) * size / weight.shape[1] ** 0.5)
        self.projection.bias.zero_()

    def output_lengths(self, frames):
        """How many speech embeddings come of so many encoder frames."""
        return window_count(frames, self.window)
