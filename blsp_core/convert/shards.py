"""Reading and writing checkpoints tensor by tensor, so that memory holds a shard and never the whole."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from blsp_core.errors import StudyError

_WHOLE = ("model.safetensors", "pytorch_model.bin")


def shard_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, by its index where it has one."""
    for name in _WHOLE:
        index = folder / f"{name}.index.json"
        if index.is_file():
            files = [folder / file for file in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
            for file in files:
                if not file.is_file():
                    raise StudyError(f"{index}: names {file.name}, which is not there; fetch the checkpoint again")
            return files
        if (folder / name).is_file():
            return [folder / name]
    raise StudyError(f"{folder}: no weights; wanted is {' or '.join(_WHOLE)}, in one file or in shards with an index")


def read_tensors(files: list[Path]) -> Iterator[tuple[Path, str, torch.Tensor]]:
    """(file, key, tensor) of every tensor; pickles are read as weights only.

    A file is mapped anew for every tensor, so that what was read before does not stay in memory.
    Raises StudyError for a file that is damaged or holds code, and for a key that two files have.
    """
    seen: dict[str, Path] = {}
    for file in files:
        is_safetensors = file.suffix == ".safetensors"
        for key, tensor in _read_safetensors(file) if is_safetensors else _read_pickle(file):
            if key in seen:
                raise StudyError(f"{file}: {key} is in {seen[key].name} too; wanted is every key once")
            seen[key] = file
            yield file, key, tensor


def _read_safetensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        with safe_open(file, "pt") as opened:
            keys = list(opened.keys())
    except SafetensorError as error:
        raise StudyError(f"{file}: cannot be read ({error}); the file is damaged, fetch it again") from None
    for key in keys:
        with safe_open(file, "pt") as opened:
            yield key, opened.get_tensor(key)


def _read_pickle(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with file.open("rb") as opened:
        can_be_mapped = opened.read(2) == b"PK"  # the oldest format cannot, and is loaded whole
    weights = _load_pickle(file, can_be_mapped)
    keys = list(weights)
    for key in keys:
        yield key, weights[key]
        if can_be_mapped:
            weights = _load_pickle(file, can_be_mapped)


def _load_pickle(file: Path, mapped: bool) -> dict[str, torch.Tensor]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        raise StudyError(f"{file}: holds more than weights, or is damaged; fetch it again from its source") from None
    except (RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"{file}: cannot be read ({reason}); the file is damaged, fetch it again") from None


class ShardWriter:
    """Writes tensors as they come into safetensors shards of a limited size, and the index that names them."""

    def __init__(self, folder: Path, dtype: torch.dtype | None, shard_bytes: int = 1 << 30):
        self.folder, self.dtype, self.shard_bytes = folder, dtype, shard_bytes
        self.held: dict[str, torch.Tensor] = {}
        self.files: list[tuple[Path, list[str]]] = []
        self.total = 0
        folder.mkdir(parents=True)

    def add(self, name: str, tensor: torch.Tensor) -> None:
        tensor = tensor.detach().to(self.dtype or tensor.dtype, copy=True).contiguous()
        self.held[name] = tensor
        self.total += tensor.nbytes
        if sum(value.nbytes for value in self.held.values()) >= self.shard_bytes:
            self._flush()

    def close(self) -> None:
        """Write what is left, and give the files the names that transformers looks for."""
        self._flush()
        if len(self.files) == 1:
            self.files[0][0].rename(self.folder / "model.safetensors")
            return
        weight_map = {}
        for i, (file, names) in enumerate(self.files, start=1):
            final = f"model-{i:05}-of-{len(self.files):05}.safetensors"
            file.rename(self.folder / final)
            weight_map.update(dict.fromkeys(names, final))
        index = {"metadata": {"total_size": self.total}, "weight_map": weight_map}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")

    def _flush(self) -> None:
        if self.held:
            file = self.folder / f"unfinished-{len(self.files)}.safetensors"
            save_file(self.held, file, metadata={"format": "pt"})
            self.files.append((file, list(self.held)))
            self.held = {}
