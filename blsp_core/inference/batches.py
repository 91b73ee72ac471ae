"""Many inputs in batches of like length, results in the order of the inputs."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from accelerate import PartialState

from blsp_core.data.manifest import append_jsonl, read_jsonl, write_jsonl
from blsp_core.data.progress import progress

GREEDY = {  # for `generate`, whatever the generation settings of a model say
    "do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_new_tokens": 0,
}  # fmt: skip


SHARE = 0, 1  # of the batches that this process computes: which, of how many; see `shards`


def run_in_batches(
    run: Callable[[list[int]], Sequence], lengths: Sequence[float], batch_size: int, what: str = "inference",
    keys: Sequence | None = None, unfinished: Path | None = None,
) -> list:  # fmt: skip
    """`run` makes a batch of indices into its results, one each; the results of all, in the order of `lengths`.

    Inputs of like length share a batch, so that little of it is padding. No gradients are kept.

    keys: for each input, as JSON, what its result depends on; inputs with equal keys are computed once. unfinished: a
    JSONL file to which the results of every batch, which must be JSON, are appended. After a kill, a call with the same
    file and inputs computes the batches that are missing, of the same inputs as without the kill.
    """
    names = [hashlib.sha256(json.dumps(key).encode()).hexdigest() for key in keys or range(len(lengths))]
    done = read_jsonl(unfinished, unfinished=True) if unfinished and unfinished.is_file() else []
    mine, shares = SHARE
    if done and shares == 1:
        write_jsonl(unfinished, done)  # without a broken last line
    results = {name: result for batch in done for name, result in batch.items()}
    missing = {name: i for i, name in enumerate(names) if name not in results}
    order = sorted(missing.values(), key=lambda i: lengths[i])
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if shares > 1:
        unfinished = unfinished.with_name(f"{unfinished.name}.{mine}")
    for batch in progress(batches[mine::shares], what):
        with torch.no_grad():
            found = dict(zip([names[i] for i in batch], run(batch), strict=True))
        if unfinished:
            append_jsonl(unfinished, [found])  # a line a batch: one that the kill cut is computed again as a whole
        results |= found
    return [results[name] for name in names] if shares == 1 else []


@cache
def fast_precision(kind: str) -> torch.dtype:
    """What a device of this kind multiplies matrices in fastest: bfloat16 where it has instructions for it."""
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    has = torch.cpu.get_capabilities() if kind == "cpu" else {}
    return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32


def precision() -> torch.dtype:
    """Of a frozen Whisper: bfloat16 on a GPU that computes in it, float32 elsewhere."""
    return fast_precision("cuda") if torch.cuda.is_available() else torch.float32


def backbone_precision(train_encoder: bool = False) -> dict:
    """Of frozen backbones, as `from_pretrained` takes it: that of `precision`; but an LLM that is saved in bfloat16
    stays in it on a CPU that computes in it, where a step takes two thirds of the time. A trained encoder: float32."""
    if torch.cuda.is_available():
        return {"dtype": precision()} | ({"encoder_dtype": torch.float32} if train_encoder else {})
    as_saved = fast_precision("cpu") == torch.bfloat16
    return {"dtype": "auto" if as_saved else torch.float32, "encoder_dtype": torch.float32}


def ready(model: torch.nn.Module) -> torch.nn.Module:
    """The model in evaluation mode, on the device that accelerate chooses: a GPU where there is one."""
    return model.to(PartialState().device).eval()
