"""Work that several processes share, one a device, started by `accelerate launch` with as many as there are GPUs.

`BLSP_PROCESSES` is another number, and `BLSP_LAUNCH` another command before `-m <module> <folder>`, as for Slurm:
"srun accelerate launch --num_machines 4 --num_processes 32 --config_file fsdp.yaml". The processes read the job from a
folder, which the machines share.
"""

import os
import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState

from blsp_core.errors import StudyError


def devices() -> int:
    """How many processes work: as many as there are GPUs, unless BLSP_PROCESSES says otherwise."""
    asked = os.environ.get("BLSP_PROCESSES") or str(max(1, torch.cuda.device_count()))
    if not asked.isdecimal() or int(asked) < 1:
        raise StudyError(f"BLSP_PROCESSES is {asked!r}; wanted is a number of processes from 1, or nothing")
    return int(asked)


def run(module: str, folder: Path, job: dict) -> None:
    """Run a module, which ends with `do`, in every process, with a job in `folder`; their output appears at once.
    Raises StudyError with the first error of a process."""
    command = [*_launcher(devices()), "-m", module, str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.pickle").write_bytes(pickle.dumps(job))
    (folder / "error.txt").unlink(missing_ok=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as child:
        try:
            for line in child.stdout:
                print(line, end="", flush=True)
        except BaseException:
            child.terminate()
            raise
    if (folder / "error.txt").is_file():
        raise StudyError((folder / "error.txt").read_text(encoding="utf-8"))
    if child.returncode:
        raise StudyError(f"{shlex.join(command)}: ended with status {child.returncode}; its output is above")


def do(work: Callable[[Path, dict, PartialState], None]) -> None:
    """The body of such a module: its argument is the folder with the job, where its error goes."""
    folder = Path(sys.argv[1])
    try:
        state = PartialState(cpu=not torch.cuda.is_available())
        work(folder, pickle.loads((folder / "job.pickle").read_bytes()), state)
        state.wait_for_everyone()
        state.destroy_process_group()
    except StudyError as error:
        (folder / "error.txt").write_text(str(error), encoding="utf-8")
        sys.exit(1)


def _launcher(processes: int) -> list[str]:
    if os.environ.get("BLSP_LAUNCH"):
        return shlex.split(os.environ["BLSP_LAUNCH"])
    if torch.cuda.is_available():
        how = f"--multi_gpu --num_machines 1 --num_processes {processes} --mixed_precision no --dynamo_backend no"
        return [sys.executable, "-m", "accelerate.commands.launch", *how.split(), "--main_process_port", "0"]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
