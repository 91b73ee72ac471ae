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
        self.returncode, self.polls, self.said = code, polls, self

    def poll(self):
        self.polls -= 1
        return self.returncode if self.polls <= 0 else None

    def close(self):
        pass


def run(jobs: int, needs=NEEDS, **kinds):
    order, told = [], []

    def begin(name, threads):
        order.append((name, threads))
        return kinds.get(name, Stage)()

    repro.run_all(needs, jobs, begin, told.append)
    return [name for name, _ in order], order, told


def test_a_stage_begins_when_all_it_needs_is_done_and_what_most_wait_for_comes_first():
    order, _, told = run(1)
    assert order == ["a", "b", "c", "d", "e"]
    assert [line.split(":")[0] for line in told] == ["1/5 a", "2/5 b", "3/5 c", "4/5 d", "5/5 e"]


def test_stages_share_the_cores_and_one_alone_has_them_all(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    _, order, _ = run(2, {"a": set(), "b": set(), "c": {"a", "b"}})
    assert dict(order) == {"a": 4, "b": 4, "c": 8}
    _, order, _ = run(16, {name: set() for name in "abcdefghij"})
    assert {threads for _, threads in order} == {1}


def test_after_a_failure_nothing_begins_and_what_runs_is_waited_for():
    kinds = {"b": lambda: Stage(1, "begun\nthe corpus is not there\nERROR: failed to reproduce 'b': ..."), "a": Slow}
    with pytest.raises(StudyError, match="b: the corpus is not there$"):
        run(2, **kinds)
    assert Slow.asked > 3


class Slow(Stage):
    asked = 0

    def __init__(self):
        super().__init__(polls=5)

    def poll(self):
        Slow.asked += 1
        return super().poll()


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
        (tmp_path / f"{name}.py").write_text(WRITE.format(name=name, wait=3 if "side" in name else 0))
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("PYTHON", Path(sys.executable).as_posix()))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_dvc_itself_runs_the_stages_side_by_side_and_finds_nothing_to_do_afterwards(pipeline):
    done = CliRunner().invoke(repro.app, ["-j", "2"])
    assert done.exit_code == 0, done.output
    x, y, last = (
        json.loads((pipeline / name).read_text().replace("(", "[").replace(")", "]"))
        for name in ("side-x", "side-y", "last")
    )
    assert max(x[0], y[0]) < min(x[1], y[1]) and last[0] > max(x[1], y[1])
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=pipeline, capture_output=True, text=True)
    assert "up to date" in status.stdout
    again = CliRunner().invoke(repro.app, ["side"])
    assert again.output.count("unchanged") == 3 and "last" not in again.output


def test_a_target_that_is_no_stage_is_one_sentence(pipeline):
    missed = CliRunner().invoke(repro.app, ["nothing"])
    assert missed.exit_code == 1 and "nothing: no such stage; `dvc stage list` names them" in missed.output
