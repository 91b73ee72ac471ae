"""Inference over many inputs by several processes, one a device: each loads the model and takes every n-th batch.

A process keeps its results in a file of its own, a line a batch. They are collected in the `unfinished` file of the
calling process, which then goes on as after a kill, with all batches done.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from accelerate import PartialState

from blsp_core import processes
from blsp_core.data.manifest import read_jsonl, write_jsonl
from blsp_core.inference import batches

LEAST = 2000  # inputs for which the model is loaded in several processes


def ahead(load: Callable, work: Callable, model, inputs: list, unfinished: Path | None, **settings) -> None:
    """Let several processes fill `unfinished`, of `run_in_batches`, before this one calls it.

    Each process calls `work(*load(source), inputs, **settings)`, where `source` is what `model` was `loaded_from`.
    Nothing is done where there is one device, for a model that was not loaded, and for fewer inputs than `LEAST`.
    """
    source = getattr(model, "loaded_from", None)
    if not (unfinished and source and len(inputs) >= LEAST and processes.devices() > 1 and batches.SHARE == (0, 1)):
        return
    collect(unfinished)
    folder = unfinished.with_name(f"{unfinished.stem}-job")
    job = {"load": load, "work": work, "source": source, "inputs": inputs}
    processes.run(__spec__.name, folder, job | {"settings": settings | {"unfinished": unfinished.resolve()}})
    collect(unfinished)
    shutil.rmtree(folder)


def collect(unfinished: Path) -> None:
    """Move what the processes have computed, now or before a kill, to the file that they work for."""
    parts = sorted(unfinished.parent.glob(f"{unfinished.name}.[0-9]*"))
    files = [*([unfinished] if unfinished.is_file() else []), *parts]
    if parts:
        write_jsonl(unfinished, [row for path in files for row in read_jsonl(path, unfinished=True)])
    for part in parts:
        part.unlink()


def main(folder: Path, job: dict, state: PartialState) -> None:
    """What each process does: its share of the job."""
    batches.SHARE = state.process_index, state.num_processes
    job["work"](*job["load"](job["source"]), job["inputs"], **job["settings"])


if __name__ == "__main__":
    processes.do(main)
