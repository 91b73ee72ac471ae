"""What one run has done, another takes over."""

import select
import subprocess
import sys

import pytest

from blsp_core.study import sharing


def products(folder):
    (folder / "model/part").mkdir(parents=True)
    (folder / "model/part/weights").write_bytes(b"123")
    (folder / "log.csv").write_text("step\n1\n")
    return {"model": folder / "model", "log.csv": folder / "log.csv"}


def test_what_one_run_gave_another_takes_byte_for_byte(tmp_path):
    shared, first = tmp_path / "shared/here", products(tmp_path / "first")
    second = {name: tmp_path / "second" / name for name in first}
    assert not sharing.take(shared, second) and not (tmp_path / "second").exists()
    sharing.give(shared, first)
    assert sharing.take(shared, second)
    assert (second["model"] / "part/weights").read_bytes() == b"123" and second["log.csv"].read_text() == "step\n1\n"


def test_the_last_gift_counts_and_a_half_one_never(tmp_path):
    shared, first = tmp_path / "shared", products(tmp_path / "first")
    sharing.give(shared, first)
    first["log.csv"].write_text("step\n2\n")
    sharing.give(shared, first)
    assert (shared / "log.csv").read_text() == "step\n2\n"
    first["log.csv"].unlink()
    with pytest.raises(FileNotFoundError):
        sharing.give(shared, first)
    assert (shared / "log.csv").read_text() == "step\n2\n"


def test_what_is_taken_replaces_what_an_earlier_run_had_left(tmp_path):
    shared, first = tmp_path / "shared", products(tmp_path / "first")
    second = products(tmp_path / "second")
    (second["model"] / "old").write_text("left")
    sharing.give(shared, first)
    assert sharing.take(shared, second) and not (second["model"] / "old").exists()


OTHER = """
import pathlib, sys
from blsp_core.study import sharing
here = pathlib.Path(sys.argv[1])
found = sharing.take(here / "shared", {"made": here / sys.argv[2]})
print(found, flush=True)
if not found:
    sys.stdin.readline()
    (here / sys.argv[2]).write_text("by " + sys.argv[2])
    sharing.give(here / "shared", {"made": here / sys.argv[2]})
    sys.stdin.readline()
"""


def test_a_second_run_waits_until_the_first_has_given(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first, second = (subprocess.Popen([sys.executable, "-c", OTHER, tmp_path, name], **pipes) for name in "ab")
    quick, slow = (first, second) if _speaks(first, second) else (second, first)
    assert quick.stdout.readline() == "False\n" and not select.select([slow.stdout], [], [], 0.5)[0]
    quick.stdin.write("\n")
    quick.stdin.flush()
    assert slow.stdout.readline() == "True\n"  # while the first is still at work on other things
    quick.communicate("\n")
    slow.communicate()
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_what_a_killed_run_had_begun_another_does(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen([sys.executable, "-c", OTHER, tmp_path, "a"], **pipes)
    assert first.stdout.readline() == "False\n"
    first.kill()
    first.communicate()
    second = subprocess.run([sys.executable, "-c", OTHER, tmp_path, "b"], input="\n\n", capture_output=True, text=True)
    assert second.stdout == "False\n" and (tmp_path / "shared/made").read_text() == "by b"


def test_who_was_interrupted_and_asks_again_does_not_wait_for_itself(tmp_path):
    here = products(tmp_path / "here")
    assert not sharing.take(tmp_path / "shared", here) and not sharing.take(tmp_path / "shared", here)
    sharing.give(tmp_path / "shared", here)
    assert sharing.take(tmp_path / "shared", here) and not sharing._held


def _speaks(first, second) -> bool:
    """Whether it is the first of two that says something first."""
    return first.stdout in select.select([first.stdout, second.stdout], [], [], 60)[0]
