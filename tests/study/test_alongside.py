"""Work in another process: its result, its error, and its end."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from blsp_core.errors import StudyError
from blsp_core.study.alongside import Alongside


def threads_and(word):
    return torch.get_num_threads(), word


def fail():
    raise StudyError("the voice is lost")


def rest(marker):
    marker.write_text(str(os.getpid()))
    time.sleep(600)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def alive(process):
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def test_the_result_comes_and_the_threads_are_shared(tmp_path):
    log = tmp_path / "log.csv"
    work = Alongside(threads_and, word="done")
    assert torch.get_num_threads() == 1
    log.write_text("step,loss\n10,1.0\n20,0.5\n")
    assert work.result(log, 40) == (1, "done") == work.result()
    assert torch.get_num_threads() == 2


def test_an_error_ends_the_training_that_it_looks_on():
    work = Alongside(fail)
    with pytest.raises(StudyError, match="the voice is lost"):
        until(lambda: work.on_step_end(None, None, None), 60)
    with pytest.raises(StudyError, match="the voice is lost"):
        work.result()


def test_a_second_piece_of_work_takes_the_place_of_the_first(tmp_path):
    first = Alongside(rest, marker=tmp_path / "first")
    assert until((tmp_path / "first").is_file)
    second = Alongside(rest, marker=tmp_path / "second")
    assert not first.process.is_alive() and torch.get_num_threads() == 1
    second.process.kill()
    with pytest.raises(StudyError, match="the process of rest was killed; run the stage again"):
        second.result()
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals as on Linux and macOS")
@pytest.mark.parametrize("end", ["normally", "killed"])
def test_it_never_outlives_the_process_that_began_it(tmp_path, end):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(os.path.dirname(__file__))!r})\n"
        "from test_alongside import Alongside, rest\n"
        "if __name__ == '__main__':\n"
        f"    marker = Path({str(tmp_path / 'marker')!r})\n"
        "    Alongside(rest, marker=marker)\n"
        "    while not marker.is_file() or not marker.read_text(): time.sleep(0.05)\n"
        f"    time.sleep({0 if end == 'normally' else 600})\n"
    )
    parent = subprocess.Popen([sys.executable, script])
    marker = tmp_path / "marker"
    assert until(lambda: marker.is_file() and marker.read_text(), 120)
    if end == "killed":
        parent.kill()
    parent.wait(60)
    assert until(lambda: not alive(int(marker.read_text())), 30)
