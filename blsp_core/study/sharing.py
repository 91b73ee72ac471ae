"""Finished work that several runs have in common is done by the first of them."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from blsp_core.study.record import remove


def give(shared: Path, places: Mapping[str, Path]) -> None:
    """Keep copies of the files and folders `places` (name -> where) in `shared`, all of them or none."""
    half = shared.with_name(f"{shared.name}.{os.getpid()}.half")  # of this process alone
    shutil.rmtree(half, ignore_errors=True)
    for name, place in places.items():
        _copy(place, half / name)
    shutil.rmtree(shared, ignore_errors=True)
    try:
        half.rename(shared)
    except OSError:  # another process has just given the same
        if not shared.is_dir():
            raise
        shutil.rmtree(half)


def take(shared: Path, places: Mapping[str, Path]) -> bool:
    """Put what another run gave where this one wants it; False where there is nothing to take."""
    if not shared.is_dir():
        return False
    for name, place in places.items():
        _copy(shared / name, place)
    return True


def _copy(source: Path, target: Path) -> None:
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
