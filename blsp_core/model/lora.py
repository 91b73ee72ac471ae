"""Partial LoRA: low-rank updates of the LLM that act where speech is, and nowhere else (BLSP-Emo section 3.3).

The same updates can act everywhere (`lora_scope`), which is plain LoRA: what SALMONN does.
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

# Where updates act in the pass that is running: indices into its (rows x tokens), flattened; EVERYWHERE; None: nowhere.
_positions: ContextVar[torch.Tensor | str | None] = ContextVar("positions", default=None)


@contextmanager
def acting_at(positions: torch.Tensor | str | None) -> Iterator[None]:
    """While this lasts, low-rank updates act at these positions: (n,), indices into the flattened (rows, tokens); or
    EVERYWHERE; or nowhere (None)."""
    token = _positions.set(positions)
    try:
        yield
    finally:
        _positions.reset(token)


def checkpoint_contexts():
    """For gradient checkpointing: recompute a layer with the positions that its first computation had."""
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
        chosen = x if everywhere else x.flatten(0, -2)[positions]  # (n, in_features)
        for name in self.active_adapters:
            down, up = self.lora_A[name], self.lora_B[name]
            update = up(down(self.lora_dropout[name](chosen.to(down.weight.dtype)))) * self.scaling[name]
            if everywhere:
                result = result + update.to(result.dtype)
                continue
            # In place, a linear layer's backward does not need its output: no copy of the other positions.
            result.view(-1, result.shape[-1]).index_add_(0, positions, update.to(result.dtype))
        return result


def add_partial_lora(llm: nn.Module, rank: int, alpha: float, dropout: float, targets: Iterable[str]) -> None:
    """Give the LLM's linear layers of these names a low-rank update, in place; it starts at zero.

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
            parameter.data = parameter.data.float()  # trained: full precision even over a half-precision LLM


def is_lora(name: str) -> bool:
    """Whether a parameter of this name belongs to a low-rank update."""
    return ".lora_A." in name or ".lora_B." in name


def bare_state_dict(llm: nn.Module) -> dict[str, torch.Tensor]:
    """The LLM's own weights under the names they had before partial LoRA."""
    return {name.replace(".base_layer.", "."): value for name, value in llm.state_dict().items() if not is_lora(name)}
