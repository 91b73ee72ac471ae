"""Several stages at a time: each as soon as all it needs is done, and none after a failure."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blsp_core.apps import repro
from blsp_core.errors import StudyError

NEEDS = {"a": set(), "b": set(), "c": {"a"}, "d": {"c", "b"}, "e": set()}


class Stage:
    """A stage that says what it says and ends at once, or when it has been asked often enough."""

    def __init__(self, code: int = 0, said: str = "Running stage", polls: int = 1):
        self.process, self.output, self.begun = self, said, time.perf_counter()
        self.returncode, self.polls, self.ended = code, polls, False

    def poll(self):
        self.polls -= 1
        return self.returncode if self.polls <= 0 else None

    def end(self):
        self.ended = True


def run(jobs: int, **kinds):
    order, told = [], []

    def begin(name):
        order.append(name)
        return kinds.get(name, Stage)()

    repro.run_all(NEEDS, jobs, begin, told.append)
    return order, told


def test_a_stage_begins_when_all_it_needs_is_done_and_what_most_wait_for_comes_first():
    order, told = run(1)
    assert order == ["a", "b", "c", "d", "e"]
    assert [line.split(":")[0] for line in told] == ["1/5 a", "2/5 b", "3/5 c", "4/5 d", "5/5 e"]


def test_no_more_than_so_many_are_at_work():
    at_work, most = set(), []

    class Counted(Stage):
        def __init__(self):
            super().__init__(polls=2)
            at_work.add(self)
            most.append(len(at_work))

        def poll(self):
            ended = super().poll()
            if ended is not None:
                at_work.discard(self)
            return ended

    run(3, **dict.fromkeys(NEEDS, Counted))
    assert max(most) == 3


EXIT = "ERROR: failed to reproduce 'b': failed to run: python, exited with 1"
MISSING = "ERROR: failed to reproduce 'b': missing data 'source': data/x"


@pytest.mark.parametrize(
    ("said", "cause"),
    [(f"begun\nno corpus is there\n{EXIT}", "no corpus is there"), (MISSING, MISSING), ("", "it said nothing")],
)
def test_after_a_failure_nothing_begins_and_what_runs_is_waited_for(said, cause):
    slow = Stage(polls=5)
    with pytest.raises(StudyError) as raised:
        run(2, b=lambda: Stage(1, said), a=lambda: slow)
    assert str(raised.value) == f"b: {cause}" and slow.polls == 0


def test_an_interruption_ends_what_is_at_work():
    class Interrupted(Stage):
        def poll(self):
            raise KeyboardInterrupt

    other = Stage(polls=100)
    with pytest.raises(KeyboardInterrupt):
        run(2, a=lambda: other, b=Interrupted)
    assert other.ended


SLEEPER = """
import pathlib, time
try:
    pathlib.Path("begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path("ended").touch()
"""
PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as `repro` does: these tests may run in the background
subprocess.run([sys.executable, "sleeper.py"])
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_a_stage_ends_with_all_that_it_has_begun(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    process = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    repro.Running(process, None).end()
    assert process.returncode and (tmp_path / "ended").exists()


WRITE = """
import pathlib, time
begun = time.time()
time.sleep({wait})
pathlib.Path("{name}").write_text(repr([begun, time.time()]))
"""
PIPELINE = """
stages:
  first: {cmd: "PYTHON first.py", deps: [first.py], outs: [first]}
  side:
    matrix: {of: [x, y]}
    cmd: "PYTHON side-${item.of}.py"
    deps: [first, "side-${item.of}.py"]
    outs: ["side-${item.of}"]
  last: {cmd: "PYTHON last.py", deps: [side-x, side-y, last.py], outs: [last]}
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    for name in ("first", "side-x", "side-y", "last"):
        (tmp_path / f"{name}.py").write_text(WRITE.format(name=name, wait=6 if "side" in name else 0))
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("PYTHON", Path(sys.executable).as_posix()))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_dvc_itself_runs_the_stages_side_by_side_and_finds_nothing_to_do_afterwards(pipeline):
    done = CliRunner().invoke(repro.app, ["-j", "2"])
    assert done.exit_code == 0, done.output
    x, y, last = (json.loads((pipeline / name).read_text()) for name in ("side-x", "side-y", "last"))
    assert max(x[0], y[0]) < min(x[1], y[1]) and last[0] > max(x[1], y[1])
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=pipeline, capture_output=True, text=True)
    assert "up to date" in status.stdout
    again = CliRunner().invoke(repro.app, ["side"])
    assert again.output.count("unchanged") == 3 and "last" not in again.output


def test_a_target_that_is_no_stage_is_one_sentence(pipeline):
    missed = CliRunner().invoke(repro.app, ["nothing"])
    assert missed.exit_code == 1 and "nothing: no such stage; `dvc stage list` names them" in missed.output
