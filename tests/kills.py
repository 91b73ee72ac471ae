"""Kills the study at random moments and compares what it makes in the end with what a run without kills makes.

    python tests/kills.py          # 40 kills, 10 of them aimed

Every kill is SIGKILL, without notice: of `blsp-repro` alone, of one process below it, or of all at once; the aimed ones
hit all while a checkpoint is being written. Then `blsp-repro` is started again.
"""

import glob
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from study_copy import Copy

ALL = [sys.executable, "-c", "from blsp_core.repro import app; app()", "core", "-j", "2"]
TIMES = re.compile(r"second|minute|hardware|memory|share_waiting", re.I)  # names of values that hold times
UNCOMPARED = "executed/", "notebooks/", "report.html", "cost"  # times and progress, or made of such


def study(folder: Path) -> Copy:
    """A study at scale smoke whose checkpoints are large, and as many as there are updates."""
    copy = Copy(folder)
    copy.change("llm", "size", to={"width": 256, "layers": 4, "heads": 4, "ffn": 1024})
    for section in ("llm", "whisper"):
        copy.change(section, "training", "steps", to=8)
    for section in ("stage1", "stage2"):
        copy.change(section, "steps", to=8)
    for section in ("llm", "whisper", "stage1", "stage2"):
        copy.change(section, "save_steps", to=1)
    copy.commit()
    return copy


def products(root: Path) -> dict[str, bytes]:
    """The products at scale smoke by path, without values that hold times."""
    found = {}
    for folder in ("data/smoke", "figures/smoke"):
        for path in sorted(path for path in (root / folder).rglob("*") if path.is_file()):
            name = str(path.relative_to(root))
            if not any(part in name for part in UNCOMPARED):
                found[name] = _without_times(path)
    return found


def _without_times(path: Path) -> bytes:
    if path.suffix == ".json":
        return json.dumps(_kept(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True).encode()
    if path.name == "log.csv":
        rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        kept = [i for i, name in enumerate(rows[0]) if not TIMES.search(name)]
        return "\n".join(",".join(row[i] for i in kept if i < len(row)) for row in rows).encode()
    return path.read_bytes()


def _kept(value):
    if isinstance(value, dict):
        return {name: _kept(item) for name, item in value.items() if not TIMES.search(name)}
    return [_kept(item) for item in value] if isinstance(value, list) else value


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def kill(copy: Copy, command: list[str], draw: random.Random, aimed: bool) -> str | None:
    """Start the command, kill it, and wait until nothing of it runs. What was killed; None when it ended before.

    Raises AssertionError when it failed by itself, or when a process outlives it.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=copy.root, env=copy.environment, stdout=output, stderr=output)
        seen, end = _unfinished(copy.root), time.monotonic() + draw.uniform(4, 40)
        while process.poll() is None:
            if _unfinished(copy.root).items() - seen.items() if aimed else time.monotonic() > end:
                break
            time.sleep(0.002 if aimed else 0.1)
        if process.poll() is not None:
            output.seek(0)
            assert process.returncode == 0, output.read().decode()
            return None
        below = psutil.Process(process.pid).children(recursive=True)
        how = "all" if aimed else draw.choice(["the command alone", "one process below it", "all"])
        chosen = [draw.choice(below)] if how == "one process below it" and below else [psutil.Process(process.pid)]
        for victim in chosen + (below if how == "all" else []):
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                pass
        process.wait(timeout=120)
        alive = psutil.wait_procs(below, timeout=30)[1]
        assert not alive, f"{how} was killed, and {alive} lives on"
        cut = [path for path, _ in _unfinished(copy.root).items() - seen.items()]
        return how + (f", while {cut[0].parent.parent.name} wrote {cut[0].name}" if cut else "")


def _unfinished(root: Path) -> dict[Path, int]:
    """The checkpoints that are not whole, and when their folders were last changed."""
    found = {}
    for path in map(Path, glob.glob(f"{root}/.scratch/*/checkpoints/*/*/checkpoint-*")):  # Path.glob fails in a race
        state = path / "trainer_state.json"
        try:
            if not state.is_file() or not state.read_bytes().endswith(b"}\n"):
                found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:  # removed meanwhile
            pass
    return found


def survive(folder: Path, kills: int, aimed: int, seed: int, command: list[str] = ALL) -> list[str]:
    """One line a kill of the command. Raises AssertionError when a run fails, or when products differ in the end."""
    draw, killed = random.Random(seed), []
    left = [True] * aimed + [False] * (kills - aimed)
    draw.shuffle(left)
    whole = study(folder / "whole")
    whole.run(*command)
    wanted, number = products(whole.root), 0
    while left:
        number += 1
        copy, ended = study(folder / f"killed-{number}"), False
        while left and not ended:
            done = kill(copy, command, draw, left[-1])
            ended = done is None
            if not ended:
                left.pop()
                killed.append(done)
                print(f"kill {len(killed)} of {kills}: {done}", flush=True)
        copy.run(*command)
        found = differences(wanted, products(copy.root))
        assert not found, f"other than without kills: {', '.join(found)}"
        print(f"study {number}: {len(wanted)} products as without kills", flush=True)
        shutil.rmtree(copy.root)
    return killed


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        survive(Path(place), kills=40, aimed=10, seed=1)
