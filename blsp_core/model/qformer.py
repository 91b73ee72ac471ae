"""SALMONN's adapter: a Q-Former over windows of encoder states (arXiv 2310.13289, section 3.1)."""

import torch
from torch import nn

from blsp_core.errors import StudyError


class WindowQFormer(nn.Module):
    """A Q-Former with one learned query, applied to each window of frames separately, and a linear projection.

    Windows do not overlap: with SALMONN's 17 frames of 20 ms there is one embedding each 0.34 s. The Q-Former is
    transformers', with cross-attention in every layer. An adapter as described in `adapters`.
    """

    def __init__(
        self, input_dim: int, encoder_dim: int, llm_dim: int, window: int = 17, width: int = 768, layers: int = 2
    ):
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        super().__init__()
        heads = max(1, width // 64)
        if width % heads:
            raise StudyError(f"adapter: width is {width}, wanted is a multiple of 64, the width of an attention head")
        config = Blip2QFormerConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            encoder_hidden_size=input_dim,
            cross_attention_frequency=1,
            initializer_range=width
            ** -0.5,  # with BERT's 0.02 the output of a small Q-Former hardly depends on its input
        )
        self.window = window
        self.norm = nn.LayerNorm(input_dim)
        self.query = nn.Parameter(torch.randn(1, 1, width) * config.initializer_range)
        self.qformer = Blip2QFormerModel(config)
        self.projection = nn.Linear(width, llm_dim)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows of padding alone are skipped; their embeddings are zero."""
        missing = -hidden.shape[1] % self.window
        hidden = nn.functional.pad(self.norm(hidden), (0, 0, 0, missing))
        frames = nn.functional.pad(mask.bool(), (0, missing)).unflatten(1, (-1, self.window))  # (B, P, window)
        real = frames.any(2)  # (B, P)
        states = self.qformer(
            query_embeds=self.query.expand(int(real.sum()), 1, -1),
            encoder_hidden_states=hidden.unflatten(1, (-1, self.window))[real],  # (N, window, input_dim)
            encoder_attention_mask=frames[real],
        ).last_hidden_state
        vectors = self.projection(states[:, 0])  # (N, llm_dim)
        return vectors.new_zeros(*real.shape, vectors.shape[1]).index_put((real,), vectors), real

    @staticmethod
    def output_lengths(frames, window: int = 17, **_):
        return -(-frames // window)

    @torch.no_grad()
    def scale_to(self, size: torch.Tensor) -> None:
        weight = self.projection.weight  # the Q-Former's output has a standard deviation of 1
        weight.copy_(torch.randn_like(weight) * size / weight.shape[1] ** 0.5)
        self.projection.bias.zero_()
