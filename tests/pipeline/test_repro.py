"""Several stages at a time: each when what it needs is done, and none after a failure."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blsp_core import repro

ROOT = Path(__file__).resolve().parents[2]


def write(name: str) -> str:
    return f"python -c \"open('{name}', 'w')\""


def dvc_repo(folder: Path, code: str) -> Path:
    stages = {name: {"cmd": write(name), "outs": [name]} for name in "abcd"}
    stages["c"] |= {"cmd": code, "deps": ["a", "b"]}
    stages["d"]["deps"] = ["c"]
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "full").mkdir()
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    full = {"e": {"wdir": "..", "cmd": write("e"), "deps": ["d"], "outs": ["e"]}}
    (folder / "full/dvc.yaml").write_text(json.dumps({"stages": full}), encoding="utf-8")
    for arguments in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True)
    return folder


def test_core_leaves_full_out_and_full_takes_core_along():
    core, full = repro.wanted_stages(ROOT, "core"), repro.wanted_stages(ROOT, "full")
    assert "train@blsp-emo" in core and not any(name.startswith("full/") for name in core)
    assert set(core) - set(full) == {"explore", "report"} and "full/dvc.yaml:evaluate@salmonn" in full
    assert core["train@blsp-emo"] >= {"train@blsp", "continuations", "llm", "whisper"}


def test_the_longest_path_comes_first():
    lengths = repro.path_lengths(repro.wanted_stages(ROOT, "core"))
    assert lengths["clean"] > lengths["whisper"] > lengths["train@blsp"] > lengths["train@blsp-emo"] > lengths["report"]


def test_a_training_that_soon_runs_alone_has_all_cores(monkeypatch):
    monkeypatch.setattr(repro, "CORES", 4)
    needs = repro.wanted_stages(ROOT, "core")
    left = {name for name in needs if needs[name] & {"train@blsp", "train@blsp-emo"}} | {"train@blsp-emo", "report"}
    assert repro.threads_for("train@blsp-emo", needs, left) == 4
    assert 1 <= repro.threads_for("train@blsp", needs, {*needs} - {"clean", "llm", "whisper", "data"}) < 4
    full = repro.wanted_stages(ROOT, "full")
    assert repro.threads_for("full/dvc.yaml:train@multitask", full, {*full}) == 1


def test_every_stage_runs_once(tmp_path, monkeypatch):
    monkeypatch.chdir(dvc_repo(tmp_path, write("c")))
    first = CliRunner().invoke(repro.app, ["full", "-j", "2"])
    assert first.exit_code == 0 and first.output.count(": done") == 5 and (tmp_path / "e").exists(), first.output
    again = CliRunner().invoke(repro.app, ["full"])
    assert again.output.count(": unchanged") == 5, again.output


def test_after_a_failure_nothing_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(dvc_repo(tmp_path, "python -c \"raise SystemExit('no corpus there')\""))
    done = CliRunner().invoke(repro.app, ["core", "-j", "1"])
    assert done.exit_code == 1 and "c: failed" in done.output and "no corpus there" in done.output
    assert not (tmp_path / "d").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_ends_the_stages_of_a_background_job_too(tmp_path):
    dvc_repo(tmp_path, """python -c "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)" """)
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from blsp_core.repro import app; app()"
    job = subprocess.Popen([sys.executable, "-c", program, "core"], cwd=tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    job.terminate()
    assert job.wait(timeout=60) != 0
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
