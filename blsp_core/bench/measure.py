"""Interleaved timings of functions in this process, with their peak memory."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """Seconds of every run: of the processor, or on a GPU of the clock. peak: most memory during a run, in GB, beyond
    what was in use before; None where the system does not tell."""

    seconds: list[float] = field(default_factory=list)
    peak: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def interleaved(functions: Mapping[str, Callable[[], object]], runs: int, warm: bool = True) -> dict[str, Cost]:
    """Run all functions in turn, `runs` times, so that a machine that slows down slows all of them. warm: once before,
    which does not count."""
    costs = {name: Cost() for name in functions}
    for run in range(runs + warm):
        for name, function in functions.items():
            before = _begin()
            start = _now()
            function()
            seconds, peak = _now() - start, _peak()
            if run or not warm:
                cost = costs[name]
                cost.seconds.append(seconds)
                if peak is not None:
                    cost.peak = max(cost.peak or 0.0, (peak - before) / 1e9)
    return costs


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _begin() -> int:
    """Forget the peak so far; bytes in use now."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if RESET.exists():
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5")
    return psutil.Process().memory_info().rss


def _peak() -> int | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if not RESET.exists():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
