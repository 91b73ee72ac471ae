"""Saving and loading: a checkpoint holds what was trained; the frozen backbones are named, not copied."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.errors import StudyError
from blsp_core.model.configuration import BlspEmoConfig
from blsp_core.model.encoder import check_weights
from blsp_core.model.lora import bare_state_dict, is_lora

WEIGHTS = "model.safetensors"
_OWN = ("adapter.", "emotion_head.", "emotion_pooling.", "layer_mix.")  # and partial LoRA
_OF_AUTO_MODEL = ("adapter_kwargs", "trust_remote_code")  # AutoModel.from_pretrained hands them on to every model


class Checkpoints:
    """The part of the model that makes it from its parts, writes it to a folder and reads it back.

    A checkpoint folder has `config.json` and `model.safetensors` (adapter, emotion head, partial LoRA). A backbone with
    a name is looked up by it; one without (trained here, or never saved) lies in the subfolder `encoder` or `llm`.
    """

    @classmethod
    def from_parts(
        cls, encoder, llm, processor=None, *, dtype: torch.dtype = torch.float32, encoder_dtype=None, **settings
    ):
        """A model around an encoder and an LLM; the adapter, the emotion head and partial LoRA begin from their start.

        encoder: a WhisperEncoder, or a folder or hub name of one (with or without a decoder beside it).
        llm: a causal language model, or its folder or hub name. It is taken, not copied: LoRA goes into it.
        processor: a BlspEmoProcessor, for the settings that it shares with the model.
        dtype: of backbones that are read; encoder_dtype: of the encoder, where it is another. What learns is float32.
        settings: as in BlspEmoConfig, `encoder_revision` and `llm_revision` among them.
        """
        if processor is not None:
            settings = {**processor.model_settings, **settings}
        names = {}
        if not isinstance(encoder, nn.Module):
            names["encoder_name"], source = _named(encoder)
            encoder = load_encoder(source, settings.get("encoder_revision"), encoder_dtype or dtype)
        if not isinstance(llm, nn.Module):
            names["llm_name"], source = _named(llm)
            llm = load_llm(source, settings.get("llm_revision"), dtype)
        config = BlspEmoConfig(
            encoder_config=encoder.config.to_dict(), llm_config=llm.config.to_dict(), **{**names, **settings}
        )
        return cls(config, encoder, llm).eval()

    @classmethod
    def from_pretrained(
        cls, path, *, config=None, revision=None, dtype: torch.dtype | None = None, encoder_dtype=None, **settings
    ):
        """The model in a checkpoint folder (or hub repository), in evaluation mode.

        dtype, encoder_dtype: as in `from_parts`. settings: of BlspEmoConfig, in place of the saved ones; `lora_rank`
        gives a model without partial LoRA a new one, `emotion_pooling` one without attention likewise.
        Raises StudyError when a backbone is not where the checkpoint says, or the weights do not fit the config.
        """
        folder = Path(path)
        if not folder.is_dir():
            if str(path).startswith((".", "/", "~")) or not str(path).count("/") == 1:
                raise StudyError(f"{path}: there is no such folder; wanted is a BLSP-Emo checkpoint")
            folder = Path(snapshot_download(str(path), revision=revision))
        if not (folder / "config.json").is_file() or not (folder / WEIGHTS).is_file():
            raise StudyError(f"{folder}: not a BLSP-Emo checkpoint; wanted are config.json and {WEIGHTS}")
        config = BlspEmoConfig.from_pretrained(folder) if config is None else config
        if not isinstance(config, BlspEmoConfig):
            raise StudyError(f"{folder}/config.json: model_type is {config.model_type}, wanted is blsp_emo")
        had_lora, had_pooling = config.lora_rank > 0, config.emotion_pooling == "attention"
        for name, value in settings.items():
            if name in _OF_AUTO_MODEL:
                continue
            if not hasattr(config, name):
                raise StudyError(f"from_pretrained({name}=...): BlspEmoConfig has no such setting")
            setattr(config, name, value)
        dtype = torch.float32 if dtype in (None, "auto") else dtype
        config.encoder_name, source = _found(folder, config.encoder_name, "encoder")
        encoder = load_encoder(source, config.encoder_revision, encoder_dtype or dtype)
        config.llm_name, source = _found(folder, config.llm_name, "llm")
        llm = load_llm(source, config.llm_revision, dtype)
        model = cls(config, encoder, llm)
        model._load_own(
            folder / WEIGHTS, lambda name: not had_lora if is_lora(name) else not had_pooling and _is_pooling(name)
        )
        return model.eval()

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Write what is this model's own, and the names of what is not."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = BlspEmoConfig.from_dict(self.config.to_dict())
        config.architectures = [type(self).__name__]
        if config.encoder_name is None:
            save_encoder(self.encoder, folder / "encoder")
            config.encoder_name = "./encoder"
        if config.llm_name is None:
            self.llm.save_pretrained(folder / "llm", state_dict=bare_state_dict(self.llm))
            config.llm_name = "./llm"
        for part in ("encoder", "llm"):
            name = getattr(config, f"{part}_name")
            if os.path.isabs(name):
                relative = os.path.relpath(name, folder)
                setattr(config, f"{part}_name", relative if relative.startswith(".") else f"./{relative}")
            elif name != f"./{part}" and (folder / part).is_dir():
                shutil.rmtree(folder / part)  # of an earlier save
        config.save_pretrained(folder)
        save_file(self._own_state_dict(), folder / WEIGHTS, metadata={"format": "pt"})

    def export(self, folder) -> None:
        """Write a self-contained folder: both backbones are copied into it, `from_pretrained` needs nothing else."""
        names = {name: getattr(self.config, name) for name in ("encoder_name", "llm_name")}
        self.config.encoder_name = self.config.llm_name = None
        try:
            self.save_pretrained(folder)
        finally:
            self.config.update(names)

    def _own_state_dict(self) -> dict[str, torch.Tensor]:
        state = self.state_dict()
        own = [name for name in state if name.startswith(_OWN) or is_lora(name)]
        return {name: state[name].contiguous() for name in own}

    def _load_own(self, path: Path, is_new: Callable[[str], bool]) -> None:
        """`is_new`: names of weights that the checkpoint cannot have yet."""
        own = {name: value for name, value in self._own_state_dict().items() if not is_new(name)}
        try:
            saved = load_file(path)
        except Exception as error:  # safetensors raises its own kind for a damaged file
            raise StudyError(f"{path}: cannot be read ({error}); the file is damaged, save or fetch it again") from None
        for name in own.keys() ^ saved.keys():
            where = "is missing" if name in own else "has no place in this model"
            raise StudyError(f"{path}: {name} {where}; the weights and config.json are not of one model")
        for name, value in saved.items():
            if value.shape != own[name].shape:
                raise StudyError(f"{path}: {name} is {tuple(value.shape)}, config.json wants {tuple(own[name].shape)}")
        self.load_state_dict(saved, strict=False)


def _is_pooling(name: str) -> bool:
    return name.startswith("emotion_pooling.")


class _Encoder(WhisperEncoder):
    _keys_to_ignore_on_load_unexpected = (r".",)  # the decoder's, which may lie beside it: no warning


def load_encoder(source: str, revision: str | None = None, dtype: torch.dtype = torch.float32) -> WhisperEncoder:
    """Whisper's encoder from a folder or the hub, with or without a decoder beside it, of either precision."""
    config = _config(source, revision, "speech encoder")
    if config.model_type != "whisper":
        raise StudyError(f"{source}: model_type is {config.model_type}, wanted is a whisper encoder")
    if any(Path(source).glob("*.safetensors")):
        check_weights(source, config)
    encoder, report = _Encoder.from_pretrained(
        source,
        config=config,
        revision=revision or "main",
        dtype=dtype,
        key_mapping={r"^(model\.)?encoder\.": ""},
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise StudyError(f"{source}: no weights for {sorted(report['missing_keys'])[0]} of the speech encoder")
    return encoder


def save_encoder(encoder: WhisperEncoder, folder: Path) -> None:
    """A folder that `load_encoder` reads."""
    encoder.config.save_pretrained(folder)
    weights = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_llm(source: str, revision: str | None = None, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A causal LLM from a folder or the hub."""
    config = _config(source, revision, "LLM")
    return AutoModelForCausalLM.from_pretrained(source, config=config, revision=revision or "main", dtype=dtype)


def _config(source: str, revision: str | None, part: str):
    try:
        return AutoConfig.from_pretrained(source, revision=revision or "main")
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise StudyError(f"{source}: no {part} can be read there ({first_line})") from None


def _named(source) -> tuple[str, str]:
    """A folder by its absolute path, anything else as a hub name; (name, where to read it)."""
    name = str(Path(source).resolve()) if Path(source).is_dir() else str(source)
    return name, name


def _found(folder: Path, name: str | None, part: str) -> tuple[str | None, str]:
    """Where a checkpoint's backbone lies: (its name from now on, where to read it)."""
    if name is None:
        raise StudyError(f"{folder}/config.json: {part}_name is missing")
    if not name.startswith((".", "/")):
        return name, name
    path = (folder / name).resolve()
    if not path.is_dir():
        raise StudyError(f"{folder}/config.json: {part}_name is {name}, but {path} is not there; put the {part} there")
    inside = path == (folder / part).resolve()
    return (None if inside else str(path)), str(path)
