"""Partial LoRA: low-rank updates of the LLM at speech positions only (BLSP-Emo section 3.3).

With `lora_scope: everywhere` they apply at all positions, which is plain LoRA, as in SALMONN.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from blsp_core.errors import StudyError

SPEECH, EVERYWHERE = "speech", "everywhere"  # lora_scope

# Positions of the updates in the current forward: indices into its flattened (rows, tokens); EVERYWHERE; None: none.
_positions: ContextVar[torch.Tensor | str | None] = ContextVar("positions", default=None)


@contextmanager
def acting_at(positions: torch.Tensor | str | None) -> Iterator[None]:
    """In this context low-rank updates apply at these positions: (n,), indices into the flattened (rows, tokens); or
    EVERYWHERE; or nowhere (None)."""
    token = _positions.set(positions)
    try:
        yield
    finally:
        _positions.reset(token)


def checkpoint_contexts():
    """For gradient checkpointing: a layer is recomputed with the positions of its first computation."""
    positions = _positions.get()
    return acting_at(positions), acting_at(positions)


class PartialLoraLinear(LoraLinear):
    """PEFT's LoRA of a linear layer, computed for the positions of `acting_at` only."""

    def forward(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        result = self.base_layer(x, *args, **kwargs)
        positions = _positions.get()
        if positions is None or self.disable_adapters:
            return result
        everywhere = isinstance(positions, str)
        if not everywhere:
            positions = positions.to(x.device)  # layers may be on several devices
        chosen = x if everywhere else x.flatten(0, -2)[positions]  # (n, in_features)
        for name in self.active_adapters:
            down, up = self.lora_A[name], self.lora_B[name]
            update = up(down(self.lora_dropout[name](chosen.to(down.weight.dtype)))) * self.scaling[name]
            if everywhere:
                result = result + update.to(result.dtype)
                continue
            # In place: the backward of a linear layer does not need its output.
            result.view(-1, result.shape[-1]).index_add_(0, positions, update.to(result.dtype))
        return result


def add_partial_lora(llm: nn.Module, rank: int, alpha: float, dropout: float, targets: Iterable[str]) -> None:
    """Add a low-rank update, zero at first, to the LLM's linear layers of these names, in place.

    Raises StudyError for a name that matches no layer.
    """
    linear = {name.rsplit(".", 1)[-1] for name, module in llm.named_modules() if isinstance(module, nn.Linear)}
    for target in targets:
        if target not in linear:
            raise StudyError(
                f"lora_targets: {target} names no linear layer of {type(llm).__name__}; "
                f"it has {', '.join(sorted(linear))}"
            )
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    config._register_custom_module({nn.Linear: PartialLoraLinear})
    inject_adapter_in_model(config, llm)
    for name, parameter in llm.named_parameters():
        parameter.requires_grad = False
        if is_lora(name):
            parameter.data = parameter.data.float()  # trained in full precision, whatever that of the LLM


def is_lora(name: str) -> bool:
    """Whether a parameter of this name belongs to a low-rank update."""
    return ".lora_A." in name or ".lora_B." in name


def bare_state_dict(llm: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of the LLM without LoRA, under their original names."""
    return {name.replace(".base_layer.", "."): value for name, value in llm.state_dict().items() if not is_lora(name)}
