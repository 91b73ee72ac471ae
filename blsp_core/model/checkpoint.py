"""Saving and loading: a checkpoint holds what was trained; the frozen backbones are named, not copied."""

import os
import shutil
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.errors import StudyError, refused
from blsp_core.model.card import model_card
from blsp_core.model.configuration import BlspEmoConfig
from blsp_core.model.lora import bare_state_dict, is_lora

WEIGHTS = "model.safetensors"
_OWN = ("adapter.", "emotion_head.", "layer_mix.")  # and partial LoRA
_FLOATS = {"F64", "F32", "F16", "BF16"}  # as safetensors names them
_HUB = ("cache_dir", "force_download", "local_files_only", "token")
_IGNORED = ("trust_remote_code", "adapter_kwargs", "_from_auto")  # AutoModel passes them on; remote code is never run


class Checkpoints:
    """The part of the model that builds it from its parts, writes it to a folder and reads it back.

    A checkpoint folder has `config.json` and `model.safetensors` (adapter, emotion head, partial LoRA). A backbone with
    a name is loaded by it; one without (trained here, or never saved) lies in the subfolder `encoder` or `llm`.
    """

    @classmethod
    def from_parts(
        cls, encoder, llm, processor=None, *, dtype: torch.dtype = torch.float32, encoder_dtype=None, **settings
    ):
        """A model around an encoder and an LLM, with a new adapter, emotion head and partial LoRA.

        encoder: a WhisperEncoder, or a folder or hub name of one (with or without a decoder).
        llm: a causal language model, or its folder or hub name. It is modified in place by LoRA.
        processor: a BlspEmoProcessor, for the settings that it shares with the model.
        dtype: of backbones that are loaded; encoder_dtype: of the encoder, if different. Trained weights are float32.
        settings: as in BlspEmoConfig, `encoder_revision` and `llm_revision` among them.
        """
        settings = {**(processor.model_settings if processor is not None else {}), **settings}
        if not isinstance(encoder, nn.Module):
            source = settings["encoder_name"] = _absolute(encoder)
            encoder = load_encoder(source, settings.get("encoder_revision"), encoder_dtype or dtype)
        if not isinstance(llm, nn.Module):
            source = settings["llm_name"] = _absolute(llm)
            llm = load_llm(source, settings.get("llm_revision"), dtype)
        configs = {"encoder_config": encoder.config.to_dict(), "llm_config": llm.config.to_dict()}
        return cls(BlspEmoConfig(**configs, **_known(settings)), encoder, llm).eval()

    @classmethod
    def from_pretrained(
        cls,
        path,
        *,
        config: BlspEmoConfig | None = None,
        revision: str | None = None,
        dtype: torch.dtype | str | None = None,
        encoder_dtype: torch.dtype | None = None,
        device_map=None,
        attn_implementation: str | None = None,
        quantization_config=None,
        **settings,
    ):
        """The model in a checkpoint folder or hub repository, in evaluation mode.

        dtype, encoder_dtype: as in `from_parts`; "auto" is as each backbone was saved. device_map, quantization_config:
        of the LLM; all else is on the device of its embeddings. attn_implementation: of both backbones. settings:
        `cache_dir`, `force_download`, `local_files_only` and `token`, as in transformers; or settings of BlspEmoConfig,
        instead of the saved ones: `lora_rank` gives a model without partial LoRA a new one.
        Raises StudyError when a backbone is not where the checkpoint says, needs code that is not part of transformers,
        or when the weights do not fit the config or are not finite.
        """
        hub = {name: settings.pop(name) for name in _HUB if name in settings}
        dtype = settings.pop("torch_dtype", dtype)  # transformers' earlier name, which AutoModel still passes on
        folder = _folder(path, revision, hub)
        saved = _config(str(folder), "BLSP-Emo checkpoint", BlspEmoConfig.model_type)
        had_lora, config = saved.lora_rank > 0, config or saved
        config.update(_known({name: value for name, value in settings.items() if name not in _IGNORED}))
        config._attn_implementation = attn_implementation or config._attn_implementation
        how = {**hub, "attn_implementation": config._attn_implementation}
        dtype = _dtype(dtype)
        config.encoder_name, source = _found(folder, config.encoder_name, "encoder")
        encoder = load_encoder(source, config.encoder_revision, encoder_dtype or dtype, **how)
        _check_sizes(folder, "encoder", encoder.config, config.encoder_config, "d_model", "num_mel_bins")
        config.llm_name, source = _found(folder, config.llm_name, "llm")
        how |= {"device_map": device_map, "quantization_config": quantization_config}
        llm = load_llm(source, config.llm_revision, dtype, **how)
        _check_sizes(folder, "llm", llm.config.get_text_config(), config.get_text_config(), "hidden_size", "vocab_size")
        with refused(f"{folder}/config.json: no model can be made of it; fetch it again"):
            model = cls(config, encoder, llm)
        model._load_own(folder / WEIGHTS, had_lora)
        for name, part in model.named_children():
            if name != "llm":
                part.to(model.get_input_embeddings().weight.device)
        return model.eval()

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Write the weights of this model, and the names of backbones that are not part of it."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = BlspEmoConfig.from_dict(self.config.to_dict())
        config.architectures = [type(self).__name__]
        config.encoder_config._name_or_path = config.llm_config._name_or_path = ""  # paths of this machine
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

    def export(self, folder, processor=None) -> None:
        """Write a self-contained folder with both backbones, a model card, and the processor where one is given."""
        names = {name: getattr(self.config, name) for name in ("encoder_name", "llm_name")}
        self.config.update(dict.fromkeys(names))
        try:
            self.save_pretrained(folder)
        finally:
            self.config.update(names)
        if processor is not None:
            processor.save_pretrained(folder)
        (Path(folder) / "README.md").write_text(model_card(self.config), encoding="utf-8")

    def _own_state_dict(self) -> dict[str, torch.Tensor]:
        state = self.state_dict()
        return {name: state[name].contiguous() for name in state if name.startswith(_OWN) or is_lora(name)}

    def _load_own(self, path: Path, had_lora: bool) -> None:
        own = {name: value for name, value in self._own_state_dict().items() if had_lora or not is_lora(name)}
        with refused(f"{path}: cannot be read, the file is damaged; save or fetch it again"):
            saved = load_file(path)
        for name in own.keys() ^ saved.keys():
            where = "is missing" if name in own else "has no place in this model"
            raise StudyError(f"{path}: {name} {where}; the weights and config.json are not of one model")
        for name, value in saved.items():
            if value.shape != own[name].shape:
                raise StudyError(f"{path}: {name} is {tuple(value.shape)}, config.json wants {tuple(own[name].shape)}")
            if not value.is_floating_point() or value.element_size() < 2:
                raise StudyError(f"{path}: {name} is {value.dtype}, wanted are numbers of 16 or 32 bits; save it again")
        _check_finite(path, saved)
        self.load_state_dict(saved, strict=False)


class _Encoder(WhisperEncoder):
    _keys_to_ignore_on_load_unexpected = (r".",)  # of a decoder in the same file: no warning


def load_encoder(source: str, revision: str | None = None, dtype: torch.dtype = torch.float32, **how) -> WhisperEncoder:
    """Whisper's encoder from a folder or the hub, with or without a decoder in it; `how`: as in transformers."""
    revision, hub = revision or "main", {name: how[name] for name in _HUB if name in how}
    config = _config(source, "speech encoder", "whisper", revision=revision, **hub)
    how |= {"key_mapping": {r"^(model\.)?encoder\.": ""}, "output_loading_info": True, "ignore_mismatched_sizes": True}
    with refused(f"{source}: the weights of the speech encoder cannot be read; fetch them again, or correct settings"):
        encoder, report = _Encoder.from_pretrained(source, config=config, revision=revision, dtype=dtype, **how)
    return _checked(source, "speech encoder", encoder, report)


def save_encoder(encoder: WhisperEncoder, folder: Path) -> None:
    """A folder that `load_encoder` reads."""
    encoder.config.save_pretrained(folder)
    weights = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_llm(source: str, revision: str | None = None, dtype: torch.dtype = torch.float32, **how) -> nn.Module:
    """A causal LLM from a folder or the hub; `how`: as in transformers."""
    revision, hub = revision or "main", {name: how[name] for name in _HUB if name in how}
    how = {"revision": revision, "dtype": dtype, "trust_remote_code": False, "output_loading_info": True, **how}
    how["ignore_mismatched_sizes"] = True  # they are reported below
    config = _config(source, "LLM", **hub, revision=revision)
    with refused(f"{source}: the weights of the LLM cannot be read; fetch them again, or correct settings"):
        llm, report = AutoModelForCausalLM.from_pretrained(source, config=config, **how)
    return _checked(source, "LLM", llm, report)


def _checked(source: str, part: str, model: nn.Module, report: dict) -> nn.Module:
    """A backbone whose weights are all there, in the sizes of its config, floating and finite."""
    missing, mismatched = sorted(report["missing_keys"]), sorted(report["mismatched_keys"])
    if missing or mismatched:
        raise StudyError(
            f"{source}: of the {len(model.state_dict())} weights of the {part}, {len(missing)} are missing and "
            f"{len(mismatched)} have another size than config.json says, first {(missing or mismatched)[0]}; put "
            "weights and config of one model there"
        )
    if getattr(model, "quantization_method", None) is None:
        for path in Path(source).glob("*.safetensors") if Path(source).is_dir() else ():
            with safe_open(path, "pt") as file:
                kinds = {file.get_slice(name).get_dtype() for name in file.keys()}
            if not kinds <= _FLOATS:
                raise StudyError(f"{path}: holds {', '.join(sorted(kinds))}; wanted are {', '.join(sorted(_FLOATS))}")
        _check_finite(source, dict(model.named_parameters()))
    return model


def _check_finite(source, weights: dict[str, torch.Tensor]) -> None:
    for name, value in weights.items():
        if value.device.type != "meta" and not value.isfinite().all():
            raise StudyError(f"{source}: {name} holds NaN or infinity; its training diverged, use an earlier one")


def _check_sizes(folder: Path, part: str, found: PreTrainedConfig, wanted: PreTrainedConfig, *names: str) -> None:
    for name in names:
        if getattr(found, name) != getattr(wanted, name):
            raise StudyError(
                f"{folder}/config.json: {name} of {part}_config is {getattr(wanted, name)}, that of the {part} it "
                f"names is {getattr(found, name)}; fetch both together"
            )


def _config(source: str, part: str, wanted: str | None = None, **hub) -> PreTrainedConfig:
    """The config of a folder or hub repository whose code is part of transformers, or of this package."""
    with refused(f"{source}: no {part} can be read there; its config.json is missing or broken"):
        kind = PreTrainedConfig.get_config_dict(source, **hub)[0]["model_type"]
        if kind in CONFIG_MAPPING and kind == (wanted or kind):
            try:
                return AutoConfig.from_pretrained(source, trust_remote_code=False, **hub)
            except StudyError as error:  # of BlspEmoConfig, which does not know the folder
                raise StudyError(f"{source}/config.json: {error}") from None
    if wanted is not None:
        raise StudyError(f"{source}: model_type in config.json is {kind}, wanted is {wanted}")
    raise StudyError(
        f"{source}: model_type in config.json is {kind}, which transformers {transformers.__version__} does not have; "
        "code in a checkpoint is never run, so use a model of a type that transformers has"
    )


def _dtype(asked: torch.dtype | str | None) -> torch.dtype | str:
    """float32 where none is asked for; "auto", as each backbone was saved, is left to transformers."""
    if asked == "auto":
        return asked
    found = getattr(torch, asked.removeprefix("torch."), None) if isinstance(asked, str) else asked or torch.float32
    if not isinstance(found, torch.dtype):
        raise StudyError(f"dtype: {asked!r}; wanted is float32, bfloat16, float16 or auto")
    return found


def _known(settings: dict) -> dict:
    for name in settings:
        if not hasattr(BlspEmoConfig, name):
            raise StudyError(f"{name}: BlspEmoConfig has no such setting")
    return settings


def _absolute(source) -> str:
    """A folder by its absolute path, anything else as a hub name."""
    return str(Path(source).resolve()) if Path(source).is_dir() else str(source)


def _folder(path, revision: str | None, hub: dict) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        if str(path).startswith((".", "/", "~")) or str(path).count("/") != 1:
            raise StudyError(f"{path}: there is no such folder; wanted is a BLSP-Emo checkpoint")
        with refused(f"{path}: there is no such folder, and the hub gives no such model; correct the name"):
            config = snapshot_download(str(path), revision=revision, allow_patterns=["config.json"], **hub)
            _config(config, "BLSP-Emo checkpoint", BlspEmoConfig.model_type)  # before many GB of another model
            folder = Path(snapshot_download(str(path), revision=revision, **hub))
    if not (folder / "config.json").is_file() or not (folder / WEIGHTS).is_file():
        raise StudyError(f"{folder}: not a BLSP-Emo checkpoint; wanted are config.json and {WEIGHTS}")
    return folder


def _found(folder: Path, name: str | None, part: str) -> tuple[str | None, str]:
    """Where a checkpoint's backbone is: (its name from now on, where to read it)."""
    if not name or not isinstance(name, str):
        raise StudyError(f"{folder}/config.json: {part}_name is {name!r}; wanted is a hub name or a folder")
    if not name.startswith((".", "/")):
        return name, name
    path = (folder / name).resolve()
    if not path.is_dir():
        raise StudyError(f"{folder}/config.json: {part}_name is {name}, but {path} is not there; put the {part} there")
    return (None if path == (folder / part).resolve() else str(path)), str(path)
