"""`blsp-repro`: `dvc repro`, several stages at a time.

DVC runs one stage after another, and small models make poor use of several cores: two stages side by side, a thread
each, are done sooner than the same two in turn on two threads. Each stage still runs by DVC itself, as
`dvc repro --single-item`, once all that it depends on is done. Weights may differ in their last digits, as they do
between any two numbers of threads.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import typer

from blsp_core.errors import StudyError

app = typer.Typer(add_completion=False)


@app.command()
def repro(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages, with all they depend on; none: all")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Stages at a time; each may take 5 GB")] = 2,
) -> None:
    """Reproduce the study with several stages at a time, each on its share of the cores, or OMP_NUM_THREADS of them."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cores() // jobs))
    for asked in (signal.SIGINT, signal.SIGTERM):  # in the background SIGINT is ignored, by stages as well
        signal.signal(asked, signal.default_int_handler)
    try:
        needs = stages(Path.cwd(), targets or [])
        typer.echo(f"{len(needs)} stages, {jobs} at a time, threads each: {threads}")
        run_all(needs, jobs, partial(begin, threads=threads), typer.echo)
    except KeyboardInterrupt:
        typer.echo("interrupted; run again, every stage goes on from its last checkpoint", err=True)
        raise typer.Exit(130) from None
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def stages(root: Path, targets: list[str]) -> dict[str, set[str]]:
    """Stage -> the stages it depends on, in the order of dvc.yaml; with `targets` (a stage, or a whole matrix of them)
    only these and what they need. Raises StudyError for a target that is no stage, or where no pipeline is."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        graph = Repo(str(root)).index.graph  # an edge leads from a stage to one it depends on
    except DvcException as error:
        raise StudyError(f"{root}: {error}") from None
    needs = {stage.addressing: {other.addressing for other in graph.successors(stage)} for stage in graph}
    if not targets:
        return needs
    wanted: set[str] = set()
    for target in targets:
        found = {name for name in needs if name == target or name.startswith(f"{target}@")}
        if not found:
            raise StudyError(f"{target}: no such stage; `dvc stage list` names them")
        wanted |= found
    while more := {need for name in wanted for need in needs[name]} - wanted:
        wanted |= more
    return {name: of for name, of in needs.items() if name in wanted}


@dataclass
class Running:
    """A stage at work."""

    process: subprocess.Popen
    said: IO[str]
    begun: float = field(default_factory=time.perf_counter)

    @property
    def output(self) -> str:
        self.said.seek(0)
        return self.said.read()

    def end(self) -> None:
        """Interrupt the stage and all that it has begun, and wait until it is over."""
        if hasattr(os, "killpg"):
            os.killpg(self.process.pid, signal.SIGINT)
        else:  # Windows
            self.process.terminate()
        self.process.wait()


def run_all(
    needs: Mapping[str, set[str]], jobs: int, begin: Callable[[str], Running], tell: Callable[[str], None]
) -> None:
    """Run every stage as soon as all it needs is done, `jobs` at a time; those that most others wait for come first.

    When one fails, those at work are waited for and no other begins: then StudyError, with what the stage said.
    Whatever else ends this early ends the stages at work, too.
    """
    waiting, running, done, failed = list(needs), {}, set(), {}
    try:
        while (waiting and not failed) or running:
            ready = sorted(
                (name for name in waiting if needs[name] <= done), key=lambda name: -_waited_for(name, needs)
            )
            for name in ready[: 0 if failed else jobs - len(running)]:
                running[name] = begin(name)
                waiting.remove(name)
            time.sleep(0.1)
            for name in [name for name, stage in running.items() if stage.process.poll() is not None]:
                stage = running.pop(name)
                if stage.process.returncode:
                    failed[name] = _cause(stage.output)
                else:
                    done.add(name)
                how = "failed" if name in failed else _outcome(stage.output)
                tell(f"{len(done)}/{len(needs)} {name}: {how}, {time.perf_counter() - stage.begun:.0f} s")
    finally:
        for stage in running.values():
            stage.end()
    if failed:
        raise StudyError("\n".join(f"{name}: {cause}" for name, cause in failed.items()))


def begin(name: str, threads: int) -> Running:
    """Begin a stage, in a session of its own: it is ended when this program says so, with all that it has begun."""
    said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
    # Two stages that end at once must both write dvc.lock: without the option, the second would lose its work.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": str(threads)}
    how = {"stdout": said, "stderr": subprocess.STDOUT, "env": environment, "start_new_session": True}
    return Running(subprocess.Popen(command, **how), said)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _waited_for(name: str, needs: Mapping[str, set[str]]) -> int:
    """How many stages wait for this one, directly or not."""
    found, new = set(), {name}
    while new:
        found |= new
        new = {other for other, of in needs.items() if of & new} - found
    return len(found) - 1


def _outcome(output: str) -> str:
    if "Running stage" in output:
        return "done"
    return "restored" if "is cached" in output else "unchanged"


def _cause(output: str) -> str:
    """Why a stage failed: what DVC found, or the last that the stage itself said before DVC reported its exit."""
    lines = [line for line in output.splitlines() if line.strip()]
    place = next((i for i, line in enumerate(lines) if line.startswith("ERROR: ")), len(lines))
    own = " ".join(lines[place:])
    return own if own and "failed to run: " not in own else lines[place - 1] if place else "it said nothing"


def main() -> None:
    app()
