"""Muon (Jordan et al. 2024), which raises the parts of the foundation in fewer updates than AdamW takes.

torch has a Muon, too. It computes in bfloat16, which a processor without such arithmetic does at a twentieth of the
speed, and takes matrices only, so that all else needs a second optimizer beside it.
"""

from collections import defaultdict

import torch

from blsp_core.errors import StudyError

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration in Jordan's article
ROUNDS = 5
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
        for (rows, columns), matrices in alike.items():
            updates = orthogonalised(torch.stack([self._ahead(matrix, group["momentum"]) for matrix in matrices]))
            for matrix, update in zip(matrices, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * MATCHED * max(rows, columns) ** 0.5)
                matrix.grad = None  # nothing is left to AdamW

    def _ahead(self, matrix: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        """The gradient and its mean of the past, as Nesterov's momentum adds them."""
        state = self.state[matrix]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(matrix)
        state["step"] += 1
        past = state["momentum"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(past, momentum)


def groups_of(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups for `Muon`: the matrices within layers; and the rest, embeddings and heads among it. Raises
    StudyError for a model that has no such matrices."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    inner = [weight for name, weight in named if ".layers." in name and weight.ndim == 2]
    if not inner:
        raise StudyError(f"{type(model).__name__}: no matrix that learns lies in its `.layers.`; train it without Muon")
    ids = {id(weight) for weight in inner}
    decaying = [weight for _, weight in named if id(weight) not in ids and weight.ndim > 1]
    still = [weight for _, weight in named if weight.ndim < 2]
    return [
        {"params": inner, "muon": True, "weight_decay": weight_decay},
        {"params": decaying, "weight_decay": weight_decay},
        {"params": still, "weight_decay": 0.0},
    ]
