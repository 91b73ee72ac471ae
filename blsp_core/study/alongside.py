"""Work that needs nothing of a notebook goes on beside it, in a process of its own."""

import atexit
import csv
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback

from blsp_core.errors import StudyError


class Alongside(TrainerCallback):
    """`work(**terms)` in another process, with half of this one's threads; this one goes on with the other half.

    As a callback of a training it ends that as soon as the work has failed, and gives it all threads when the work is
    done. The process ends with this one, however that ends; and where a second is begun, as by a cell that is run again
    by hand.
    """

    _latest: "Alongside | None" = None

    def __init__(self, work: Callable, **terms):
        if Alongside._latest:
            Alongside._latest.stop()
        Alongside._latest, self.name, self.threads = self, work.__name__, torch.get_num_threads()
        half, context = max(1, self.threads // 2), multiprocessing.get_context("spawn")
        self.answer, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(theirs, half, work, terms))
        self.process.start()
        theirs.close()  # then its end is heard here
        atexit.register(self.stop)
        torch.set_num_threads(max(1, self.threads - half))

    def on_step_end(self, args, state, control, **kwargs):
        if self.answer and self.answer.poll():
            self.result()

    def result(self, log: Path | None = None, steps: int = 0):
        """What the work returns, or the error that it raised. Until then a bar shows how far its training `log` is."""
        if self.answer:
            with tqdm(total=steps, unit="step", desc=self.name) as bar:
                while not self.answer.poll(1):
                    bar.update(_last_step(log) - bar.n)
                bar.update(steps - bar.n)
            try:
                self.value, self.error = self.answer.recv()
            except EOFError:
                self.value, self.error = None, StudyError(f"the process of {self.name} was killed; run the stage again")
            self.stop()
        if self.error:
            raise self.error
        return self.value

    def stop(self) -> None:
        """Give the work up if it still goes on, and take its threads back."""
        if self.answer:
            self.answer.close()
            self.answer = None
            self.process.terminate()
            self.process.join()
            torch.set_num_threads(self.threads)
            atexit.unregister(self.stop)


def _work(answer, threads: int, work: Callable, terms: dict) -> None:
    torch.set_num_threads(threads)
    os.environ["TQDM_DISABLE"] = "1"  # nobody sees the bars of this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        given = work(**terms), None
    except BaseException as error:
        error.add_note(traceback.format_exc())
        given = None, error
    answer.send(given)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _last_step(log: Path | None) -> int:
    if log is None or not log.is_file():
        return 0
    with open(log, newline="") as file:
        return max((int(row["step"]) for row in csv.DictReader(file) if row["step"]), default=0)
