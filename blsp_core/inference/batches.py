"""Many inputs in batches of like length, results in the order of the inputs."""

from collections.abc import Callable, Sequence

import torch
from accelerate import PartialState

from blsp_core.data.progress import progress

GREEDY = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}  # for `generate`


def run_in_batches(
    run: Callable[[list[int]], Sequence], lengths: Sequence[float], batch_size: int, what: str = "inference"
) -> list:
    """`run` makes a batch of indices into its results, one each; the results of all, in the order of `lengths`.

    Inputs of like length share a batch, so that little of it is padding. No gradients are kept.
    """
    order, results = sorted(range(len(lengths)), key=lambda i: lengths[i]), [None] * len(lengths)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for batch in progress(batches, what):
        with torch.no_grad():
            found = run(batch)
        for i, result in zip(batch, found, strict=True):
            results[i] = result
    return results


def precision() -> torch.dtype:
    """Of frozen weights: bfloat16 on a GPU that computes in it, float32 elsewhere."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def ready(model: torch.nn.Module) -> torch.nn.Module:
    """The model in evaluation mode, on the device that accelerate chooses: a GPU where there is one."""
    return model.to(PartialState().device).eval()
