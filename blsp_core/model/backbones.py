"""Backbones from a folder or the hub: found, checked, and copied to where the study reads them."""

import json
import shutil
from pathlib import Path

from safetensors import safe_open
from transformers import WhisperFeatureExtractor

from blsp_core.errors import StudyError, first_line, refused
from blsp_core.model.checkpoint import load_encoder

LICENCES = {
    "openai/whisper": "Apache-2.0",
    "Qwen/Qwen2.5": "Apache-2.0, some sizes under Qwen's own",
    "Qwen/Qwen-": "Tongyi Qianwen, to be accepted on its page",
}
# What each part consists of: for every entry one of the files.
FILES = {
    "encoder": [["config.json"], ["preprocessor_config.json"], ["*.safetensors"]],
    "llm": [["config.json"], ["*.safetensors"], ["tokenizer.json", "vocab.json", "tokenizer.model"]],
}
FILES["second_llm"] = FILES["llm"]
SETTING = {"encoder": "whisper: source", "llm": "llm: source", "second_llm": "llm: second: source"}  # in params.yaml


def save(folder: Path, *parts) -> None:
    """Write a model and what belongs to it (tokenizer, feature extractor) into one folder."""
    for part in parts:
        part.save_pretrained(folder)


def resolve(name: str, revision: str, part: str, target: Path, root: Path = Path()) -> dict[str, str]:
    """Copy a backbone into the folder `target`, from the folder `name`, which may start from `root`, else from the hub.

    part: "encoder" (a Whisper, with or without its decoder), "llm" or "second_llm". Its training log, log.csv, is empty
    where the folder has none. Returns name and revision, for the hub the commit. Raises StudyError when the backbone is
    neither here nor on the hub, with its source and licence; when a file is missing; and when an encoder's weights,
    config and feature extractor disagree.
    """
    if (root / name).is_dir():
        source = root / name
    else:
        source = _fetched(name, revision, part)
        revision = source.name  # of its snapshot: the commit
    for wanted in FILES[part]:
        if not any(found for pattern in wanted for found in source.glob(pattern)):
            raise StudyError(f"{name}: holds no {' or '.join(wanted)}; a complete folder of the {part} is wanted there")
    with refused(f"{source}/config.json: not the settings of a model; fetch it again"):
        kind = dict(json.loads((source / "config.json").read_text(encoding="utf-8"))).get("model_type")
    if kind == "qwen":
        raise StudyError(
            f"{name}: a Qwen of the first generation, whose code is not part of transformers; run "
            f"`blsp-convert {source} FOLDER` and name that folder in params.yaml, {SETTING[part]}"
        )
    if part == "encoder":
        _check_encoder(source)
    unwanted = shutil.ignore_patterns(".*", "*.bin", "*.h5", "*.msgpack")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=unwanted)
    if not (source / "log.csv").exists():
        (target / "log.csv").write_text("step,loss\n", encoding="utf-8")
    return {"name": name, "revision": revision}


def _check_encoder(folder: Path) -> None:
    config = load_encoder(str(folder), dtype="auto").config
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    frames = extractor.nb_max_frames // 2  # the stride of Whisper's second convolution
    if (extractor.feature_size, frames) != (config.num_mel_bins, config.max_source_positions):
        raise StudyError(
            f"{folder}: preprocessor_config.json makes {extractor.feature_size} mel bands and {frames} frames, the "
            f"encoder of config.json reads {config.num_mel_bins} and {config.max_source_positions}; fetch both together"
        )


def has_decoder(folder: Path) -> bool:
    """Whether the weights of a Whisper's folder include the decoder."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if any("decoder." in name for name in file.keys()):
                return True
    return False


def _fetched(name: str, revision: str, part: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, HFValidationError) as error:  # no network, no such name, gated
        licence = next((known for prefix, known in LICENCES.items() if name.startswith(prefix)), "see its page")
        raise StudyError(
            f"params.yaml, {SETTING[part]}: {name} (revision {revision}) is neither a folder nor in "
            f"{constants.HF_HUB_CACHE}, and could not be fetched ({first_line(error)}); it comes from "
            f"https://huggingface.co/{name} (licence: {licence}): run `hf download {name} --revision {revision}` where "
            f"there is a network, or put its folder anywhere and name that folder in {SETTING[part]}"
        ) from None
