"""Model folders that were changed by hand, cut short or mixed: each is refused with one sentence before it answers."""

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_model, make_processor

from blsp_core.errors import StudyError
from blsp_core.inference.answers import load_model


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder, processor = tmp_path_factory.mktemp("models") / "good", make_processor()
    make_model(processor).export(folder, processor)
    load_model(folder)
    return folder


def set_json(name: str, place: str, value):
    """Change one value of a JSON file."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        *parents, last = place.split(".")
        inside = functools.reduce(lambda found, key: found[key], parents, content)
        inside[last] = value
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return change


def write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def weights(name: str, change):
    """Change the tensors of a file; `change` gets them as a dictionary."""

    def changed(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name, metadata={"format": "pt"})

    return changed


def first(tensors: dict) -> str:
    return next(name for name, value in sorted(tensors.items()) if value.dim() == 2)


def to_nan(tensors: dict) -> None:
    tensors[first(tensors)][0, 0] = torch.nan


def without_one(tensors: dict) -> None:
    del tensors[first(tensors)]


def smaller(tensors: dict) -> None:
    name = first(tensors)
    tensors[name] = tensors[name][:, :-1].contiguous()


def as_integers(tensors: dict) -> None:
    for name in tensors:
        tensors[name] = tensors[name].to(torch.int8)


def with_code(folder: Path) -> None:
    for place, value in (("auto_map", {"AutoConfig": "x.Y"}), ("model_type", "evil")):
        set_json("llm/config.json", place, value)(folder)


OWN, LLM, ENCODER = "model.safetensors", "llm/model.safetensors", "encoder/model.safetensors"
CONFIG, PROCESSOR = "config.json", "processor_config.json"
BAD = {
    **{f"{part} NaN": (weights(part, to_nan), "NaN or infinity") for part in (OWN, LLM, ENCODER)},
    **{f"{part} incomplete": (weights(part, without_one), "missing") for part in (OWN, LLM, ENCODER)},
    **{f"{part} smaller": (weights(part, smaller), "config.json") for part in (OWN, LLM, ENCODER)},
    **{f"{part} integers": (weights(part, as_integers), "wanted are") for part in (OWN, LLM, ENCODER)},
    **{f"{part} cut": (cut(part), "cannot be read") for part in (OWN, LLM, ENCODER)},
    **{f"{part} LFS": (write(part, b"version https://git-lfs"), "cannot be read") for part in (OWN, LLM, ENCODER)},
    "own weights gone": (remove(OWN), "wanted are config.json and model.safetensors"),
    "LLM's weights gone": (remove(LLM), "cannot be read"),
    "a pickle": (lambda folder: (folder / LLM).rename(folder / "llm/pytorch_model.bin"), "cannot be read"),
    **{f"config {text}": (write(CONFIG, text), "config.json") for text in (b"{", b"[1]", b"null", b"", b"\xff")},
    **{f"LLM's config {text}": (write("llm/config.json", text), "no LLM") for text in (b"{", b"[1]", b"null")},
    "LLM's config gone": (remove("llm/config.json"), "no LLM can be read"),
    "LLM of another type": (set_json("llm/config.json", "model_type", "evil"), "which transformers"),
    "code": (with_code, "is never run"),
    "other vocabulary": (set_json("llm/config.json", "vocab_size", 300), "another size"),
    "other vocabulary in config": (set_json(CONFIG, "llm_config.vocab_size", 99), "vocab_size of llm_config"),
    "other encoder in config": (set_json(CONFIG, "encoder_config.d_model", 64), "d_model of encoder_config"),
    "no LLM named": (set_json(CONFIG, "llm_name", ""), "llm_name is ''"),
    "a number for the encoder": (set_json(CONFIG, "encoder_name", 5), "encoder_name is 5"),
    "an encoder that is not there": (set_json(CONFIG, "encoder_name", "./nowhere"), "is not there"),
    "LLM's settings are a number": (set_json(CONFIG, "llm_config", 5), "config.json"),
    "positions": (set_json(CONFIG, "llm_config.max_position_embeddings", "many"), "max_position_embeddings"),
    "adapter a list": (set_json(CONFIG, "adapter", [1]), "adapter"),
    "adapter of no type": (set_json(CONFIG, "adapter.type", [1]), "adapter: type is [1]"),
    "adapter of other sizes": (set_json(CONFIG, "adapter.kernel_sizes", [5, 5]), "has no place in this model"),
    "adapter of a bad size": (set_json(CONFIG, "adapter.inner_dim", -1), "adapter"),
    "LoRA negative": (set_json(CONFIG, "lora_rank", -1), "lora_rank"),
    "LoRA a text": (set_json(CONFIG, "lora_rank", "4"), "lora_rank"),
    "LoRA without targets": (set_json(CONFIG, "lora_targets", []), "lora_targets"),
    "LoRA not a number": (set_json(CONFIG, "lora_alpha", float("nan")), "lora_alpha"),
    "an emotion twice": (set_json(CONFIG, "emotions", ["sad", "sad", "happy", "angry", "neutral"]), "emotions"),
    "emotions a text": (set_json(CONFIG, "emotions", "abcde"), "emotions"),
    "emotions numbers": (set_json(CONFIG, "emotions", [1, 2, 3, 4, 5]), "emotions"),
    "emotions fewer": (set_json(CONFIG, "emotions", ["sad", "happy"]), "config.json wants"),
    "8 kHz": (set_json(PROCESSOR, "feature_extractor.sampling_rate", 8000), "sampling_rate of the processor is 8000"),
    "128 mels": (set_json(PROCESSOR, "feature_extractor.feature_size", 128), "feature_size of the processor is 128"),
    "another hop": (set_json(PROCESSOR, "feature_extractor.hop_length", 160), "number of frames of the processor"),
    "another window": (set_json(PROCESSOR, "feature_extractor.n_fft", 400), "n_fft of the processor is 400"),
    "frames a text": (set_json(CONFIG, "real_frames", "no"), "real_frames"),
    "no hop": (set_json(PROCESSOR, "feature_extractor.hop_length", 0), "processor_config.json"),
    "another adapter": (set_json(PROCESSOR, "adapter.kernel_sizes", [5, 5]), "adapter of the processor"),
    "another speech token": (set_json(PROCESSOR, "speech_token", "<|im_end|>"), "speech_token_id of the processor"),
    "a number for a token": (set_json(PROCESSOR, "speech_token", 5), "processor_config.json"),
    "processor a list": (write(PROCESSOR, b"[]"), "processor_config.json"),
    "processor broken": (write(PROCESSOR, b"{"), "processor_config.json"),
    "tokenizer gone": (remove("tokenizer.json"), "tokenizer"),
    "tokenizer broken": (write("tokenizer.json", b"{"), "tokenizer"),
    "tokenizer empty": (write("tokenizer.json", b"{}"), "tokenizer"),
    "template gone": (remove("chat_template.jinja"), "chat template"),
    "generation settings a list": (write("llm/generation_config.json", b"[]"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_is_no_model_is_refused_with_one_sentence(original, tmp_path, name):
    folder = Path(shutil.copytree(original, tmp_path / "model"))
    change, words = BAD[name]
    change(folder)
    with pytest.raises(StudyError) as refused:
        load_model(folder)
    said = str(refused.value)
    assert words in said and "\n" not in said and len(said) < 700
    assert str(folder) in said or "adapter" in said, said
