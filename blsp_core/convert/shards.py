"""Reading and writing checkpoints tensor by tensor, so that memory holds one shard and never the whole."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file

from blsp_core.errors import StudyError, refused

_WHOLE = ("model.safetensors", "pytorch_model.bin")


def shard_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, by its index where it has one."""
    for name in _WHOLE:
        index = folder / f"{name}.index.json"
        if index.is_file():
            with refused(f"{index}: no index of weights; fetch the checkpoint again"):
                names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            if lost := [name for name in names if not (folder / name).is_file()]:
                raise StudyError(f"{index}: names {lost[0]}, which is not there; fetch the checkpoint again")
            return [folder / name for name in names]
        if (folder / name).is_file():
            return [folder / name]
    raise StudyError(f"{folder}: no weights; wanted is {' or '.join(_WHOLE)}, in one file or in shards with an index")


class Source:
    """The tensors of a checkpoint, by key. `files`: the file of every key; `shapes`: tensors without data.

    Files are mapped, and mapped again for every tensor, so that what was read before does not stay in memory; only a
    pickle of the oldest format cannot be, and is kept until another file is read. Pickles are read as weights only.
    Raises StudyError for a file that is damaged or holds code, and for a key that two files have.
    """

    def __init__(self, folder: Path):
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, torch.Tensor] = {}
        self._loaded: tuple[Path, dict] | None = None
        for file in shard_files(folder):
            for key, tensor in self._open(file).items():
                if key in self.files:
                    raise StudyError(f"{file}: {key} is in {self.files[key].name} too; wanted is every key once")
                self.files[key], self.shapes[key] = file, tensor.to("meta")

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._open(self.files[key], key)[key]

    def _open(self, file: Path, key: str | None = None) -> dict[str, torch.Tensor]:
        if self._loaded and self._loaded[0] == file:
            return self._loaded[1]
        self._loaded = None
        with refused(f"{file}: cannot be read; the file is damaged, or holds more than weights: fetch it again"):
            if file.suffix == ".safetensors":
                with safe_open(file, "pt") as opened:
                    return {name: opened.get_tensor(name) for name in ([key] if key else opened.keys())}
            with file.open("rb") as opened:
                mapped = opened.read(2) == b"PK"
            tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
            for key, tensor in tensors.items():
                if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
                    raise StudyError(f"{file}: {key!r} is a {type(tensor).__name__}; wanted are tensors by their names")
        if not mapped:
            self._loaded = file, tensors
        return tensors


def write_shards(folder: Path, shapes: dict[str, torch.Tensor], read: Callable, max_shard_size="1GB") -> None:
    """Write tensors into safetensors shards, with the names that transformers looks for.

    shapes: tensors without data, in the dtypes to write; read(name) gives the tensor, shard after shard.
    """
    # huggingface_hub plans the shards, but its save_torch_state_dict wants all tensors at once.
    plan = split_torch_state_dict_into_shards(shapes, max_shard_size=max_shard_size)
    folder.mkdir(parents=True, exist_ok=True)
    for file, names in plan.filename_to_tensors.items():
        shard = {name: read(name).to(shapes[name].dtype, copy=True).contiguous() for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
