"""Reading and writing checkpoints tensor by tensor, so that memory holds one shard and never the whole."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from blsp_core.errors import StudyError

MAX_SHARD_SIZE = "1GB"


class Source:
    """The tensors of a checkpoint, by key. `files`: the file of every key; `shapes`: tensors without data.

    Files are mapped, and mapped again for every tensor, so that what was read before does not stay in memory. Pickles
    are read as weights only. Raises StudyError for a file that is damaged or holds code, and for a key that two files
    have.
    """

    def __init__(self, folder: Path):
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, torch.Tensor] = {}
        files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
        if not files:
            raise StudyError(f"{folder}: no weights; wanted is model*.safetensors or pytorch_model*.bin")
        for file in files:
            for key, tensor in _mapped(file).items():
                if key in self.files:
                    raise StudyError(f"{file}: {key} is in {self.files[key].name} too; wanted is every key once")
                self.files[key], self.shapes[key] = file, tensor.to("meta")

    def __getitem__(self, key: str) -> torch.Tensor:
        return _mapped(self.files[key], key)[key]


def _mapped(file: Path, key: str | None = None) -> dict[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                return {name: opened.get_tensor(name) for name in ([key] if key else opened.keys())}
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise StudyError(f"{file}: holds more than weights, or is damaged; fetch it again") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise StudyError(f"{file}: cannot be read ({str(error).splitlines()[0]}); fetch it again") from None


def write_shards(folder: Path, shapes: dict[str, torch.Tensor], read: Callable[[str], torch.Tensor]) -> None:
    """Write tensors into safetensors shards, with the names that transformers looks for.

    shapes: tensors without data, in the dtypes to write; read(name) gives the tensor, shard after shard.
    """
    # huggingface_hub plans the shards, but its save_torch_state_dict wants all tensors at once.
    plan = split_torch_state_dict_into_shards(shapes, max_shard_size=MAX_SHARD_SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    for file, names in plan.filename_to_tensors.items():
        shard = {name: read(name).to(shapes[name].dtype, copy=True).contiguous() for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
