"""What a results file says besides its figures: on which machine, with which packages, at what cost."""

import json
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "numpy", "scipy", "espeakng-loader", "dvc")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, str | int]:
    """The processor, its cores as this process may use them, the threads that torch computes with where it is loaded,
    and the GPU where one is in use."""
    found: dict[str, str | int] = {"cpu": _processor(), "cores": core_count()}
    if "torch" in sys.modules:
        found["threads"] = sys.modules["torch"].get_num_threads()
    if cuda := _cuda():
        found |= {"gpu": cuda.get_device_name(), "gpus": cuda.device_count()}
    return found


def peak_memory() -> dict[str, float]:
    """The most memory held so far, in GB (10⁹ bytes); of each kind where there is a GPU. At most that much: this
    process's own, and that of the largest of those it has begun and seen end, as if both had peaked at once."""
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found = {"peak_memory_gb": round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)}
    if cuda := _cuda():
        found["peak_gpu_memory_gb"] = round(cuda.max_memory_allocated() / 1e9, 3)
    return found


def write_json(path: str | Path, value) -> None:
    """Write JSON whole or not at all: into a file beside it, which then takes its name.

    Arrays and tensors become lists, numbers that are not finite become null.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    plain = json.dumps(value, default=lambda one: one.tolist() if hasattr(one, "tolist") else str(one))
    finite = json.loads(plain, parse_constant=lambda _: None)
    half.write_text(json.dumps(finite, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cuda():
    """torch.cuda where torch is already loaded and has a GPU: asking must not load it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
