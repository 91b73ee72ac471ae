"""Learned averages: over the encoder's layers, and over time. Both begin as the plain mean; the paper has neither."""

import torch
from torch import nn

LAST, MIX, LAST_AND_MIX = "last", "mix", "last+mix"  # encoder_layers


class LayerMix(nn.Module):
    """One learned weight a layer, the same for every frame (as in SUPERB, arXiv 2105.01051).

    beside_last: the last layer stands beside the mix, whole: words are best read off the last layer, tone off earlier
    ones, and a sum of both has less of either.
    """

    def __init__(self, layers: int, beside_last: bool = False):
        super().__init__()
        self.scores, self.beside_last = nn.Parameter(torch.zeros(layers)), beside_last

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, T, layers, width) -> (B, T, width), or twice the width beside the last."""
        mix = torch.einsum("btlw,l->btw", states, self.scores.softmax(0).to(states.dtype))
        return torch.cat([states[:, :, -1], mix], dim=-1) if self.beside_last else mix


class AttentionPooling(nn.Module):
    """The mean over time, every place weighted by what it holds."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, P, width) and the mask (B, P), bool -> the weights (B, P), 0 at padding; those of a row add up to 1."""
        return self.score(hidden)[..., 0].masked_fill(~mask, -torch.inf).softmax(dim=1)
