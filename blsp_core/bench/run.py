"""All measurements of `blsp-bench`, one after the other, printed as they are done."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from blsp_core.bench import cases
from blsp_core.bench.measure import Cost, interleaved
from blsp_core.inference import llm
from blsp_core.inference.answers import load_model
from blsp_core.record import hardware, versions

CLIP, BATCH, VOCABULARY = "clip length, s", "batch", "vocabulary"
GROWTH = {  # the sizes that grow, and what else they change; clip length and batch with a small vocabulary
    CLIP: {length: {"seconds": (length,) * 4, "vocabulary": 2048} for length in (1, 3, 10, 30)},
    BATCH: {
        size: {"seconds": (4.0,) * size, "transcript": (12,) * size, "vocabulary": 2048} for size in (1, 4, 16, 64)
    },
    VOCABULARY: {size: {"vocabulary": size} for size in (2048, 16384, 151936)},
}
TINY_GROWTH = {CLIP: {1: {"seconds": (1.0,) * 2}}, VOCABULARY: {size: {"vocabulary": size} for size in (100, 300)}}
STAGES = "stage 1", "stage 2"


def measure(source: str | Path, whole: bool, runs: int, growth: bool, tiny: bool) -> dict:
    """Everything that was found: `machine`, `agreement` with the reference where a change is exact, and rows of `cases`
    and `growth`. source: the LLM that continues sentences, or `whole`, a BLSP-Emo with it."""
    model, tokenizer = _llm_of(source) if whole else llm.load(source)  # first: a wrong name costs no minutes
    sizes, rows, more = cases.TINY if tiny else cases.Sizes(), [], []
    machine = hardware() | versions() | {"arithmetic": torch.backends.cpu.get_cpu_capability()}
    found = {"machine": machine, "runs": runs, "sizes": asdict(sizes), "llm": Path(source).name}
    found |= {"agreement": {}, "cases": rows, "growth": more}
    for stage in STAGES:
        steps, agreement = cases.training_steps(stage, sizes)
        found["agreement"][stage] = agreement
        print(f"{stage}: off the reference by {agreement['loss']:.1e} (loss), {agreement['gradient']:.1e} (gradient)")
        rows += _rows(stage, interleaved(steps, runs))
    functions, texts = cases.continuations(model, tokenizer, *((8, 8) if tiny else (64, 48)))
    rows += _rows("continuations", interleaved(functions, runs if whole else 1, warm=whole))
    reference, *others = texts.values()
    same = [sum(a == b for a, b in zip(reference, other, strict=True)) / len(reference) for other in others]
    found["agreement"]["continuations"] = dict(zip(list(texts)[1:], same, strict=True))
    print(f"continuations: share of texts that are those of the reference: {found['agreement']['continuations']}")
    rows += _rows("log-mel", interleaved(cases.log_mels(tokenizer, sizes.seconds[0]), runs))
    rows += _rows("first token", interleaved(cases.first_token(sizes), runs))
    if growth:
        more += _grown(sizes, TINY_GROWTH if tiny else GROWTH, tokenizer, min(runs, 3))
    return found


def _grown(sizes: cases.Sizes, growth: dict, tokenizer, runs: int) -> Iterator[dict]:
    """Rows of the reference and of ours as sizes grow; the largest is measured once."""
    for what, places in growth.items():
        for size, change in places.items():
            changed = replace(sizes, **change)
            functions = {stage: cases.training_steps(stage, changed)[0] for stage in STAGES}
            if what == CLIP:
                functions |= {"log-mel": cases.log_mels(tokenizer, size), "first token": cases.first_token(changed)}
            for case, found in functions.items():
                both = {name: found[name] for name in (cases.PLAIN, cases.REAL)}
                costs = interleaved(both, 1 if size == max(places) else runs)
                for row in _rows(case, costs, f", {what} {size}"):
                    yield {"of": what, "size": size, **row}


def _llm_of(folder: Path) -> tuple:
    model, processor = load_model(folder)
    return model.llm, processor.tokenizer


def _rows(case: str, costs: dict[str, Cost], at: str = "") -> Iterator[dict]:
    """A row for each function: median seconds, how many times as fast as the first, in every run, and peak GB."""
    first = next(iter(costs.values()))
    for name, cost in costs.items():
        ratios = [round(a / b, 2) for a, b in zip(first.seconds, cost.seconds, strict=True)]
        ratio, peak = round(first.median / cost.median, 2), None if cost.peak is None else round(cost.peak, 2)
        print(f"{case}{at}: {name}: {cost.median:.3f} s, {ratio:.2f} x [{min(ratios)}, {max(ratios)}], {peak} GB")
        yield {"case": case, "variant": name, "seconds": cost.median, "ratio": ratio, "ratios": ratios, "peak_gb": peak}
