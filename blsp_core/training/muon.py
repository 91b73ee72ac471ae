"""Muon (Jordan et al. 2024), by which the models of the miniature learn in fewer updates than by AdamW.

torch has a Muon, too. It computes in bfloat16, which a processor without such arithmetic does at a twentieth of the
speed, and takes matrices only, so that all else needs a second optimizer beside it.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch

from blsp_core.errors import StudyError
from blsp_core.model.lora import is_lora

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration in Jordan's article
ROUNDS = 5
_INNER = (".layers.", ".adapter.")  # parts whose matrices are Muon's
MATCHED = 0.2  # root mean square of an update of AdamW, Muon's is brought to it (Liu et al. 2025, arXiv 2502.16982)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (N, rows, columns) with their singular values brought near 1, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    upright = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if upright else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if upright else x


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `muon` set hold matrices, and step along their orthogonalised momentum instead."""

    def __init__(self, groups: list[dict], momentum: float = 0.95, **options):
        super().__init__([{"muon": False, "momentum": momentum, **group} for group in groups], **options)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                self._step_matrices(group)
        super().step()
        return loss

    def _step_matrices(self, group: dict) -> None:
        alike = defaultdict(list)
        for matrix in group["params"]:
            if matrix.grad is not None:
                alike[matrix.shape].append(matrix)
        for matrices in alike.values():
            ahead = torch.stack([self._ahead(matrix, group["momentum"]).flatten(1) for matrix in matrices])
            size = MATCHED * max(ahead.shape[1:]) ** 0.5
            for matrix, update in zip(matrices, orthogonalised(ahead), strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update.view_as(matrix), alpha=-group["lr"] * size)
                matrix.grad = None  # nothing is left to AdamW

    def _ahead(self, matrix: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        """The gradient and its mean of the past, as Nesterov's momentum adds them."""
        state = self.state[matrix]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(matrix)
        state["step"] += 1
        past = state["momentum"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(past, momentum)


def groups_of(
    model: torch.nn.Module,
    weight_decay: float,
    learning_rate: float,
    rates: Mapping[str, float] | None = None,
    *,
    muon: bool = True,
) -> list[dict]:
    """Parameter groups of what learns. With `muon`, the matrices and kernels within layers or an adapter are `Muon`'s
    own; the rest, that is embeddings, heads, low-rank updates and all that is no matrix, is AdamW's, as without it all.

    Parameters whose name begins with a key of `rates` have its rate, all others `learning_rate`. Biases and the weights
    of norms do not decay. A kernel counts as the matrix (channels out, all else). Raises StudyError for a model that
    has nothing for Muon.
    """
    groups: dict[tuple, list] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            rate = next((own for prefix, own in (rates or {}).items() if name.startswith(prefix)), learning_rate)
            inner = muon and weight.ndim > 1 and not is_lora(name) and any(place in f".{name}" for place in _INNER)
            groups.setdefault((inner, rate, weight_decay if weight.ndim > 1 else 0.0), []).append(weight)
    if muon and not any(inner for inner, _, _ in groups):
        raise StudyError(
            f"{type(model).__name__}: no matrix of its layers or its adapter learns; train it without Muon"
        )
    names = ("muon", "lr", "weight_decay")
    return [{"params": weights, **dict(zip(names, terms, strict=True))} for terms, weights in groups.items()]
