"""`blsp-repro`: `dvc repro` with several stages at a time, each still run by DVC as `dvc repro --single-item`."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal

import typer

from blsp_core.cli import STYLE, Version, errors_as_sentences
from blsp_core.errors import refused
from blsp_core.params import LEVELS, read_params
from blsp_core.record import core_count

app = typer.Typer(**STYLE)
FILES = {level: "dvc.yaml" if level == "core" else f"{level}/dvc.yaml" for level in LEVELS}
CORES = core_count()
MINUTES = {"train": 7, "data": 3, "continuations": 2, "probe": 2}  # about, of a stage at mini; others take one


def wanted_stages(root: Path, level: str) -> dict[str, set[str]]:
    """Stage -> the stages it depends on, for all stages of a level and what they need."""
    import networkx as nx  # which DVC brings
    from dvc.repo import Repo  # takes seconds

    read_params(root)
    with refused(f"{root}: DVC cannot read the stages; look at what was changed in params.yaml or dvc.yaml"):
        graph = Repo(str(root)).index.graph  # an edge leads from a stage to one that it depends on
    wanted = [stage for stage in graph if Path(stage.path_in_repo) == Path(FILES[level])]
    wanted += [need for stage in wanted for need in nx.descendants(graph, stage)]
    return {stage.addressing: {other.addressing for other in graph.successors(stage)} for stage in wanted}


def path_lengths(needs: dict[str, set[str]]) -> dict[str, float]:
    """Stage -> minutes from its start to the end of the longest chain of stages that wait for it."""
    lengths: dict[str, float] = {}
    for name in reversed([*TopologicalSorter(needs).static_order()]):  # from the last stages to the first
        lengths[name] = minutes(name) + max((lengths[other] for other in needs if name in needs[other]), default=0)
    return lengths


def minutes(name: str) -> float:
    return MINUTES.get(name.split(":")[-1].split("@")[0], 1)


def threads_for(name: str, needs: dict[str, set[str]], unfinished: set[str]) -> int:
    """The share of the cores that a stage gets: that of its work among the unfinished stages that do not wait for it.
    A training that soon runs alone has all of them; it keeps the number that it starts with."""
    waiting = {name}
    while found := {other for other in unfinished - waiting if needs[other] & waiting}:
        waiting |= found
    beside = sum(minutes(other) for other in unfinished - waiting)
    return max(1, round(CORES * minutes(name) / (minutes(name) + beside)))


def start(name: str, threads: int) -> tuple[subprocess.Popen, object]:
    """Begin a stage in a session of its own, to be interrupted with all that it has started."""
    output = tempfile.TemporaryFile()
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": str(threads), "BLSP_REPRO": str(os.getpid())}
    both = {"stdout": output, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, **both, env=environment, start_new_session=True), output


def lines_of(output) -> list[str]:
    """What a stage has printed; read without moving the place where it writes."""
    said = os.pread(output.fileno(), 1 << 20, max(0, os.fstat(output.fileno()).st_size - (1 << 20)))
    return [line for line in said.decode(errors="replace").splitlines() if line.strip()] or [""]


@app.command(epilog="Example:\n\n\b\nblsp-repro\nblsp-repro full --jobs 4")
def repro(
    level: Annotated[Literal[LEVELS], typer.Argument(help="A group of runs, with all that it needs")] = "core",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Stages at a time; each may take 3 GB")] = CORES,
    version: Version = False,
) -> None:
    """Reproduce the study with several stages at a time, those with the longest path behind them first."""
    begun = time.perf_counter()
    with errors_as_sentences():
        needs = wanted_stages(Path.cwd(), level)
    lengths, shown = path_lengths(needs), begun
    waiting, running, done, failed = set(needs), {}, set(), set()
    for asked in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs, and so stages, with SIGINT ignored
        signal.signal(asked, signal.default_int_handler)
    try:
        while (waiting and not failed) or running:
            ready = sorted((n for n in waiting if needs[n] <= done), key=lambda n: -lengths[n])
            chosen = ready[: 0 if failed else jobs - len(running)]
            for name in chosen:
                threads = max(CORES // jobs, threads_for(name, needs, waiting | {*running}))
                threads = int(os.environ.get("OMP_NUM_THREADS") or threads)
                running[name] = (*start(name, threads), time.perf_counter())
                waiting.discard(name)
            time.sleep(0.1)
            for name in [name for name, (process, *_) in running.items() if process.poll() is not None]:
                process, output, since = running.pop(name)
                (failed if process.returncode else done).add(name)
                ran = "done" if any(line.startswith("Running stage") for line in lines_of(output)) else "unchanged"
                how = "failed" if process.returncode else ran
                typer.echo(f"{len(done)}/{len(needs)} {name}: {how}, {time.perf_counter() - since:.0f} s")
                if process.returncode:
                    typer.echo("\n".join(lines_of(output)[-8:]), err=True)
            if time.perf_counter() > shown + 15:
                shown = time.perf_counter()
                for name, (_, output, _) in running.items():
                    typer.echo(f"  {name}: {lines_of(output)[-1]}")
    finally:
        for process, *_ in running.values():
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
    typer.echo(f"{(time.perf_counter() - begun) / 60:.1f} minutes")
    raise typer.Exit(bool(failed))
