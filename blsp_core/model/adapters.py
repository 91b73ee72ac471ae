"""From encoder states to speech embeddings of the LLM.

An adapter is a class listed in `ADAPTERS`. It is made as `cls(input_dim, encoder_dim, llm_dim, **settings)`, where
`settings` are those of the config under `adapter`, without `type`; no other code reads them. It has

    forward(hidden, mask)                     (B, T, input_dim) and (B, T), right-padded
                                              -> (B, P, llm_dim) and (B, P), bool; rows independent of each other
    output_lengths(frames, **settings)        static: how many embeddings it makes of so many frames (int or tensor)
    scale_to(size)                            makes the embeddings start with this standard deviation
"""

from itertools import pairwise

import torch
from torch import nn

from blsp_core.errors import StudyError, refused
from blsp_core.model.qformer import WindowQFormer

LAST, MIX, LAST_AND_MIX = "last", "mix", "last+mix"  # encoder_layers


class ConvolutionAdapter(nn.Module):
    """Convolutions with stride 2 and gated linear units, then a residual bottleneck and a LayerNorm (the paper's).

    With three convolutions, 50 frames a second become 6.25 embeddings a second. All but the last have the width of the
    encoder; the last has the width of the LLM.

    initial_scale: the standard deviation that the embeddings start with, 1 in the released code; None: that of the
    LLM's word embeddings, which is ours.
    """

    def __init__(
        self, input_dim: int, encoder_dim: int, llm_dim: int, kernel_sizes=(5, 5, 5), inner_dim: int = 512,
        initial_scale: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.kernel_sizes, self.initial_scale = tuple(kernel_sizes), initial_scale
        widths = [input_dim, *[encoder_dim] * (len(kernel_sizes) - 1), llm_dim]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, 2 * after, kernel, stride=2, padding=kernel // 2)
            for (before, after), kernel in zip(pairwise(widths), kernel_sizes, strict=True)
        )
        self.down = nn.Linear(llm_dim, inner_dim, bias=False)
        self.up = nn.Linear(inner_dim, llm_dim, bias=False)
        self.norm = nn.LayerNorm(llm_dim)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Padding is zeroed before every convolution, because the bias of the previous one made it non-zero."""
        lengths = mask.sum(1)  # (B,)
        hidden = hidden.transpose(1, 2)  # (B, input_dim, T)
        for convolution, kernel in zip(self.convolutions, self.kernel_sizes, strict=True):
            hidden = hidden.masked_fill(~_mask(lengths, hidden.shape[2])[:, None], 0)
            hidden = nn.functional.glu(convolution(hidden), dim=1)
            lengths = self.output_lengths(lengths, [kernel])
        hidden = hidden.transpose(1, 2)  # (B, P, llm_dim)
        hidden = hidden + self.up(nn.functional.gelu(self.down(hidden)))
        return self.norm(hidden), _mask(lengths, hidden.shape[1])

    @staticmethod
    def output_lengths(frames, kernel_sizes=(5, 5, 5), **_):
        for kernel in kernel_sizes:
            frames = (frames + 2 * (kernel // 2) - kernel) // 2 + 1
        return frames

    @torch.no_grad()
    def scale_to(self, size: torch.Tensor) -> None:
        self.norm.weight.fill_(self.initial_scale or size)


ADAPTERS = {"convolution": ConvolutionAdapter, "qformer": WindowQFormer}


def make_adapter(settings: dict, input_dim: int, encoder_dim: int, llm_dim: int) -> nn.Module:
    """The adapter of a config. Raises StudyError for a type or a setting that does not exist."""
    kind, settings = _adapter(settings)
    with refused(f"adapter: no {kind.__name__} can be made of {settings}"):
        return kind(input_dim, encoder_dim, llm_dim, **settings)


def embedding_count(frames, settings: dict):
    """How many speech embeddings the adapter of these settings makes of so many encoder frames (int or tensor)."""
    kind, settings = _adapter(settings)
    return kind.output_lengths(frames, **settings)


def _adapter(settings: dict) -> tuple[type[nn.Module], dict]:
    kind = settings.get("type")
    if not isinstance(kind, str) or kind not in ADAPTERS:
        raise StudyError(f"adapter: type is {kind!r}, wanted is {' or '.join(ADAPTERS)}")
    return ADAPTERS[kind], {name: value for name, value in settings.items() if name != "type"}


class LayerMix(nn.Module):
    """A learned mean of the encoder's layers, with one weight a layer, the same for every frame (as in SUPERB, arXiv
    2105.01051). It starts as the plain mean. The paper has none.

    keep_last: the last layer is concatenated to the mean.
    """

    def __init__(self, layers: int, keep_last: bool = False):
        super().__init__()
        self.scores, self.keep_last = nn.Parameter(torch.zeros(layers)), keep_last

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, T, layers, width) -> (B, T, width), or twice the width with the last layer."""
        mix = torch.einsum("btlw,l->btw", states, self.scores.softmax(0).to(states.dtype))
        return torch.cat([states[:, :, -1], mix], dim=-1) if self.keep_last else mix


def _mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    return torch.arange(size, device=lengths.device) < lengths[:, None]
