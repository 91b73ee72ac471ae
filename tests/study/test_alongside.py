"""Work in another process: its result, its error, and its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from blsp_core.errors import StudyError
from blsp_core.study.alongside import Alongside, last_step


def threads_and(word):
    return torch.get_num_threads(), word


def fail():
    raise StudyError("the voice is lost")


def unsendable():
    return lambda: None


def rest(marker):
    """Writes down the ids of two processes, its own and that of one it begins, and waits."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    marker.write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(600)


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def alive(marker):
    """Whether one of the processes that `rest` wrote down still runs."""
    return any(_runs(int(process)) for process in marker.read_text().split())


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def test_the_result_comes_and_the_threads_are_shared(tmp_path):
    log = tmp_path / "log.csv"
    work = Alongside(threads_and, word="done")
    assert torch.get_num_threads() == 2 and last_step(log) == 0
    log.write_text("step,loss\n10,1.0\n20,0.5\n")
    assert last_step(log) == 20
    assert work.result(log, 40) == (2, "done") == work.result()
    assert torch.get_num_threads() == 4


def test_an_error_ends_the_training_that_it_looks_on():
    work = Alongside(fail)
    with pytest.raises(StudyError, match="the voice is lost"):
        until(lambda: work.on_step_end(None, None, None), 120)
    with pytest.raises(StudyError, match="the voice is lost"):
        work.result()


def test_work_that_is_done_leaves_a_training_as_it_is():
    work = Alongside(threads_and, word="done")
    assert until(work._ended, 120)
    work.on_step_end(None, None, None)
    assert torch.get_num_threads() == 2, "a training would not end as it does when the work takes longer"
    assert work.result() == (2, "done")


def test_a_second_piece_of_work_takes_the_place_of_the_first(tmp_path):
    first = Alongside(rest, marker=tmp_path / "first")
    assert until((tmp_path / "first").is_file, 120)
    second = Alongside(rest, marker=tmp_path / "second")
    assert until(lambda: not alive(tmp_path / "first"), 30) and torch.get_num_threads() == 2
    with pytest.raises(StudyError, match="rest was given up; run the cell that begins it again"):
        first.result()
    torch.set_num_threads(2)
    second.process.kill()
    with pytest.raises(StudyError, match="the process of rest was killed"):
        second.result()
    assert torch.get_num_threads() == 4


def test_what_cannot_be_sent_is_told(tmp_path):
    with pytest.raises(StudyError, match="unsendable.*on sending"):
        Alongside(unsendable).result()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals as on Linux and macOS")
@pytest.mark.parametrize("end", ["normally", "killed"])
def test_it_never_outlives_the_process_that_began_it(tmp_path, end):
    script, marker = tmp_path / "parent.py", tmp_path / "marker"
    script.write_text(
        "import sys, time; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_alongside import Alongside, rest\n"
        "if __name__ == '__main__':\n"
        f"    marker = Path({str(marker)!r})\n"
        "    Alongside(rest, marker=marker)\n"
        "    while not marker.is_file() or not marker.read_text(): time.sleep(0.05)\n"
        f"    time.sleep({0 if end == 'normally' else 600})\n"
    )
    parent = subprocess.Popen([sys.executable, script])
    try:
        assert until(lambda: marker.is_file() and marker.read_text(), 120)
        if end == "normally":
            parent.wait(60)
    finally:
        parent.kill()
        parent.wait(60)
    assert until(lambda: not alive(marker), 30)
