"""Finished work that several runs have in common is done by the first of them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from blsp_core.study.record import remove

_held: dict[Path, FileLock] = {}  # of work that this process has begun for all


def take(shared: Path, places: Mapping[str, Path]) -> bool:
    """Put what another run gave where this one wants it; False where there is nothing to take.

    Whoever finds nothing is to do the work and to `give` it: until then, or until its process ends, others wait here.
    """
    shared.parent.mkdir(parents=True, exist_ok=True)
    if shared not in _held:  # it may be: a notebook's cell is run again by hand
        lock = FileLock(f"{shared}.lock")
        lock.acquire()
        _held[shared] = lock
    if not shared.is_dir():
        return False
    for name, place in places.items():
        _copy(shared / name, place)
    _held.pop(shared).release()
    return True


def give(shared: Path, places: Mapping[str, Path]) -> None:
    """Keep copies of the files and folders `places` (name -> where) in `shared`, all of them or none."""
    half = shared.with_name(f"{shared.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    for name, place in places.items():
        _copy(place, half / name)
    shutil.rmtree(shared, ignore_errors=True)
    half.rename(shared)
    if shared in _held:
        _held.pop(shared).release()


def _copy(source: Path, target: Path) -> None:
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
