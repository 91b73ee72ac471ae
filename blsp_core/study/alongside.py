"""Work that needs nothing of a notebook goes on beside it, in a process of its own."""

import atexit
import csv
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback

from blsp_core.errors import StudyError


class Alongside(TrainerCallback):
    """`work(**terms)` in another process. torch has half of the threads there and the other half here, at least one
    each, until the result is asked for.

    Given to a training as a callback, it stops that training when the work has failed. The process and all that it has
    begun are ended when this one ends, and when another Alongside begins, as in a cell that is run again by hand.
    """

    _latest: "Alongside | None" = None

    def __init__(self, work: Callable, **terms):
        if Alongside._latest:
            Alongside._latest.stop()
        Alongside._latest, self.name, self.threads = self, work.__name__, torch.get_num_threads()
        self.value, self.error = None, StudyError(f"{self.name} was given up; run the cell that begins it again")
        half, context = max(1, self.threads // 2), multiprocessing.get_context("spawn")
        self.answer, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(theirs, half, work, terms))
        self.process.start()
        theirs.close()  # then the end of the process is the end of the pipe
        atexit.register(self.stop)
        torch.set_num_threads(max(1, self.threads - half))

    def on_step_end(self, args, state, control, **kwargs):
        if self.answer and self._ended():
            self._receive()
        if not self.answer and self.error:
            self.result()

    def result(self, log: Path | None = None, steps: int = 0):
        """What the work returns, or the error that it raised. Until then a bar shows how far its training `log` is."""
        if self.answer:
            with tqdm(total=steps, unit="step", desc=self.name) as bar:
                while not self._ended(1):
                    bar.update(last_step(log) - bar.n)
                bar.update(steps - bar.n)
            self._receive()
        torch.set_num_threads(self.threads)
        if self.error:
            raise self.error
        return self.value

    def stop(self) -> None:
        """Give the work up if it still goes on, and take its threads back."""
        self._end()
        torch.set_num_threads(self.threads)

    def _ended(self, seconds: float = 0) -> bool:
        """Whether there is an answer, or nobody left to give one."""
        try:
            return self.answer.poll(seconds) or not self.process.is_alive()
        except OSError:  # on Windows, of a pipe whose other end is gone
            return True

    def _receive(self) -> None:
        try:
            self.value, self.error = self.answer.recv() if self.answer.poll() else _killed(self.name)
        except (EOFError, OSError):
            self.value, self.error = _killed(self.name)
        self._end()

    def _end(self) -> None:
        if self.answer:
            self.answer.close()
            self.answer = None
            if hasattr(os, "killpg"):
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):  # it has ended, or has not yet a group of its own
                    pass
            self.process.kill()
            self.process.join()
            atexit.unregister(self.stop)


def _killed(name: str) -> tuple[None, StudyError]:
    return None, StudyError(f"the process of {name} was killed, most often because memory ran out; run the stage again")


def _work(answer, threads: int, work: Callable, terms: dict) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own: an interrupted cell of the notebook is no reason to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        given = work(**terms), None
    except BaseException as error:
        error.add_note(traceback.format_exc())
        given = None, error
    try:
        answer.send(given)
    except Exception as error:  # what cannot be sent is told in words
        answer.send((None, StudyError(f"{work.__name__}: {error!r} on sending {given!r:.200}")))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def last_step(log: Path | None) -> int:
    """The step of the last row of a training's log; 0 where there is none yet."""
    if log is None or not log.is_file():
        return 0
    with open(log, newline="") as file:
        return max((int(row["step"]) for row in csv.DictReader(file) if row["step"]), default=0)
