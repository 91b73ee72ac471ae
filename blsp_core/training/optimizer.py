"""Muon (Jordan et al. 2024) for matrices with AdamW for the rest, in one optimizer, as the Trainer takes one only.

torch.optim.Muon takes matrices only, each by itself, and computes in bfloat16 everywhere: 10 to 16 times as long as
this on a CPU without bfloat16 arithmetic.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch

from blsp_core.errors import StudyError
from blsp_core.inference.batches import fast_precision
from blsp_core.model.lora import is_lora

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as in torch.optim.Muon
ITERATIONS = 5
MATCHED_RMS = 0.2  # updates have the root mean square of AdamW's, so both take the same learning rate: arXiv 2502.16982


def orthogonalize(matrices: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Matrices (N, rows, columns) with their singular values near 1, by Newton-Schulz iteration in `dtype`."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).to(dtype).contiguous()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.AdamW):
    """AdamW, except that groups with `muon` set hold matrices and are updated along their orthogonalized momentum.

    A convolution kernel counts as the matrix (output channels, all else).
    """

    def __init__(self, groups: list[dict], momentum: float = 0.95, **options):
        super().__init__([{"muon": False, "momentum": momentum, **group} for group in groups], **options)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            same_shape = defaultdict(list)  # orthogonalized together
            for weight in group["params"] if group["muon"] else ():
                if weight.grad is not None:
                    same_shape[weight.shape].append(weight)
            for weights in same_shape.values():
                momenta = torch.stack([self._nesterov(weight, group["momentum"]).flatten(1) for weight in weights])
                size = MATCHED_RMS * max(momenta.shape[1:]) ** 0.5
                updates = orthogonalize(momenta, fast_precision(momenta.device.type))
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.view_as(weight), alpha=-group["lr"] * size)
                    weight.grad = None  # so that AdamW leaves it alone
        return super().step(closure)

    def _nesterov(self, weight: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[weight]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(weight)
        state["step"] += 1
        return weight.grad.lerp(state["momentum"].lerp_(weight.grad, 1 - momentum), momentum)


def parameter_groups(
    model: torch.nn.Module, learning_rate: float, rates: Mapping[str, float], weight_decay: float, optimizer: str
) -> list[dict]:
    """Groups of what is trained. optimizer: "adamw", or "muon" for the matrices within layers and the adapter, without
    low-rank updates, and AdamW for embeddings, heads and vectors.

    rates: of parts of the model, by their attribute name or `lora`, where they differ from `learning_rate`. Biases and
    norms have no weight decay. Raises StudyError for an unknown optimizer or part, and when Muon has no matrix.
    """
    if optimizer not in ("adamw", "muon"):
        raise StudyError(f"optimizer: {optimizer!r} is unknown; wanted is adamw or muon")
    unknown = [part for part in rates if part != "lora" and not hasattr(model, part)]
    if unknown:
        raise StudyError(f"learning_rates: {type(model).__name__} has no part {unknown[0]!r}; remove or correct it")
    groups: dict[tuple, list] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part, matrix = "lora" if is_lora(name) else name.split(".")[0], weight.ndim > 1
            inner = (
                optimizer == "muon" and matrix and part != "lora" and (".layers." in f".{name}" or part == "adapter")
            )
            terms = inner, rates.get(part, learning_rate), weight_decay if matrix else 0.0
            groups.setdefault(terms, []).append(weight)
    if optimizer == "muon" and not any(inner for inner, _, _ in groups):
        raise StudyError(f"{type(model).__name__}: no matrix for Muon in its layers or adapter; set optimizer: adamw")
    names = ("muon", "lr", "weight_decay")
    return [{"params": weights, **dict(zip(names, terms, strict=True))} for terms, weights in groups.items()]
