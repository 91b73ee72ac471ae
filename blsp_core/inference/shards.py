"""Inference over many inputs by several processes, one a device: each loads the model and takes every n-th batch.

A process keeps its results in a file of its own, a line a batch. They are collected in the `unfinished` file of the
calling process, which then goes on as after a kill, with all batches done.
"""

import json
import shutil
from pathlib import Path

import torch
from accelerate import PartialState

from blsp_core import processes
from blsp_core.data.manifest import of_row, read_jsonl, write_jsonl
from blsp_core.inference import batches

LEAST = 2000  # inputs for which the model is loaded in several processes


def ahead(what: str, model, rows: list, unfinished: Path | None, **settings) -> None:
    """Let several processes fill `unfinished`, of `run_in_batches`, before this one calls it.

    what: a name in `WHAT`; rows: its inputs as JSON; settings: its other arguments. Nothing is done where there is one
    device, for a model that is not as `loaded_from` a folder or the hub, and for fewer inputs than `LEAST`.
    """
    source = getattr(model, "loaded_from", None)
    if not (unfinished and source and len(rows) >= LEAST and processes.devices() > 1 and batches.SHARE == (0, 1)):
        return
    collect(unfinished)
    folder = unfinished.with_name(f"{unfinished.stem}-job")
    write_jsonl(folder / "rows.jsonl", ({"row": row} for row in rows))
    job = {"what": what, "source": source, "unfinished": unfinished.resolve(), "settings": settings}
    (folder / "job.json").write_text(json.dumps(job, default=str), encoding="utf-8")
    processes.run(__spec__.name, folder)
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


def _answer(source: str, rows: list, **settings) -> None:
    from blsp_core.inference import llm

    llm.answer(*llm.load(source), rows, **settings)


def _reply(source: str, rows: list, root: str, **settings) -> None:
    from blsp_core.inference import speech

    speech.reply_with_emotion(*speech.load(source), [of_row(row) for row in rows], Path(root), **settings)


def _transcribe(source: str, rows: list, root: str, **settings) -> None:
    from blsp_core.inference import asr

    asr.transcribe_turns([of_row(row) for row in rows], asr.load_whisper(source), Path(root), **settings)


WHAT = {"answer": _answer, "reply": _reply, "transcribe": _transcribe}


def main(folder: Path) -> None:
    """What each process does: its share of the job in `folder`."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    state = PartialState(cpu=not torch.cuda.is_available())
    batches.SHARE = state.process_index, state.num_processes
    rows = [line["row"] for line in read_jsonl(folder / "rows.jsonl")]
    WHAT[job["what"]](job["source"], rows, unfinished=Path(job["unfinished"]), **job["settings"])
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    processes.do(main)
