"""From the encoder's frames to the LLM's embeddings."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.qformer import WindowQFormer, window_count
from blsp_core.model.weighting import LAST_AND_MIX

CONVOLUTION, QFORMER = "convolution", "qformer"  # adapter_type


def make_adapter(config) -> nn.Module:
    """The adapter that a BlspEmoConfig asks for. Every kind has `forward`, `output_lengths` and `scale_to`."""
    encoder_dim, llm_dim = config.encoder_config.d_model, config.get_text_config().hidden_size
    read_dim = 2 * encoder_dim if config.encoder_layers == LAST_AND_MIX else encoder_dim
    if config.adapter_type == CONVOLUTION:
        return Adapter(encoder_dim, llm_dim, config.adapter_kernel_sizes, config.adapter_inner_dim, read_dim)
    if config.adapter_type == QFORMER:
        sizes = config.qformer_window, config.qformer_width, config.qformer_layers
        return WindowQFormer(read_dim, llm_dim, *sizes)
    raise _unknown(config.adapter_type)


def embedding_count(frames, adapter_type: str, kernel_sizes: Sequence[int], window: int):
    """How many speech embeddings an adapter of this type makes of so many encoder frames: what its `output_lengths`
    says, for those who have its settings only."""
    if adapter_type == CONVOLUTION:
        return subsampled_length(frames, kernel_sizes)
    if adapter_type == QFORMER:
        return window_count(frames, window)
    raise _unknown(adapter_type)


def _unknown(adapter_type: str) -> StudyError:
    return StudyError(f"adapter_type: {adapter_type!r} is unknown; wanted is {CONVOLUTION} or {QFORMER}")


def subsampled_length(frames, kernel_sizes: Sequence[int]):
    """How many vectors the subsampler makes of so many frames (an int, or an integer tensor)."""
    for kernel in kernel_sizes:
        frames = (frames + 2 * (kernel // 2) - kernel) // 2 + 1
    return frames


class Adapter(nn.Module):
    """Convolutions with stride 2 and gated linear units, then a residual bottleneck and a LayerNorm.

    With the paper's three convolutions, 50 frames a second become 6.25 vectors a second. All but the last have the
    width of the encoder; the last goes to the width of the LLM. read_dim: what the first one reads, where that is more
    than the encoder's width.
    """

    def __init__(
        self, encoder_dim: int, llm_dim: int, kernel_sizes: Sequence[int], inner_dim: int, read_dim: int | None = None
    ):
        super().__init__()
        self.kernel_sizes = tuple(kernel_sizes)
        widths = [read_dim or encoder_dim, *[encoder_dim] * (len(kernel_sizes) - 1), llm_dim]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, 2 * after, kernel, stride=2, padding=kernel // 2)
            for (before, after), kernel in zip(pairwise(widths), kernel_sizes, strict=True)
        )
        self.down = nn.Linear(llm_dim, inner_dim, bias=False)
        self.up = nn.Linear(inner_dim, llm_dim, bias=False)
        self.norm = nn.LayerNorm(llm_dim)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, read_dim) and its mask (B, T), right-padded -> (B, P, llm_dim) and (B, P), bool.

        What lies in the padding is silenced before every convolution (their biases make it non-zero again), so that
        a clip's embeddings do not depend on what it is batched with.
        """
        lengths = mask.sum(1)  # (B,)
        hidden = hidden.transpose(1, 2)  # (B, read_dim, T)
        for convolution, kernel in zip(self.convolutions, self.kernel_sizes, strict=True):
            real = _mask(lengths, hidden.shape[2])
            hidden = nn.functional.glu(convolution(hidden.masked_fill(~real[:, None], 0)), dim=1)
            lengths = subsampled_length(lengths, [kernel])
        hidden = hidden.transpose(1, 2)  # (B, P, llm_dim)
        hidden = hidden + self.up(nn.functional.gelu(self.down(hidden)))
        return self.norm(hidden), _mask(lengths, hidden.shape[1])

    @torch.no_grad()
    def scale_to(self, size: torch.Tensor) -> None:
        """Make the embeddings begin with this standard deviation, a scalar."""
        self.norm.weight.fill_(size)

    def output_lengths(self, frames):
        """How many speech embeddings come of so many encoder frames."""
        return subsampled_length(frames, self.kernel_sizes)


def _mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    return torch.arange(size, device=lengths.device) < lengths[:, None]
