"""A checkpoint holds what was trained and the names of what was not."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import ask, make_encoder, make_llm, make_model, make_tokenizer, sound
from transformers import AutoModel, AutoProcessor, WhisperConfig, WhisperForConditionalGeneration

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.checkpoint import load_encoder, save_encoder

CHATS = [ask("hear ", sound(1.0)), ask(sound(2.0, 1), "?")]


@pytest.fixture
def foundation(tmp_path, extractor):
    """Backbones in folders of their own."""
    save_encoder(make_encoder(), tmp_path / "foundation/asr")
    extractor.save_pretrained(tmp_path / "foundation/asr")
    make_llm().save_pretrained(tmp_path / "foundation/llm")
    make_tokenizer().save_pretrained(tmp_path / "foundation/llm")
    return tmp_path / "foundation"


@pytest.fixture
def parts(foundation):
    processor = BlspEmoProcessor.from_parts(foundation / "asr", foundation / "llm", adapter_kernel_sizes=(5, 5))
    return make_model(processor, foundation / "asr", foundation / "llm"), processor


def keys(path):
    with safe_open(path, "pt") as file:
        return set(file.keys())


def logits(model, processor):
    with torch.no_grad():
        return model(**processor(CHATS)).logits


def test_the_same_numbers_come_back(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    processor.save_pretrained(tmp_path / "models/x")
    loaded, reader = (
        AutoModel.from_pretrained(tmp_path / "models/x"),
        AutoProcessor.from_pretrained(tmp_path / "models/x"),
    )
    assert isinstance(loaded, BlspEmoForConditionalGeneration) and isinstance(reader, BlspEmoProcessor)
    assert reader.adapter_kernel_sizes == (5, 5)
    assert torch.equal(logits(loaded, reader), logits(model, processor))


def test_it_holds_what_is_trained_and_names_the_rest(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "models/x")
    assert {path.name for path in (tmp_path / "models/x").iterdir()} == {"config.json", "model.safetensors"}
    saved = keys(tmp_path / "models/x/model.safetensors")
    assert all(key.startswith(("adapter.", "emotion_head.")) or ".lora_" in key for key in saved)
    config = json.loads((tmp_path / "models/x/config.json").read_text())
    assert (config["encoder_name"], config["llm_name"]) == ("../../foundation/asr", "../../foundation/llm")


def test_a_trained_encoder_is_saved_too(parts, tmp_path):
    model, processor = parts
    model.set_trainable(encoder=True)
    for parameter in model.encoder.parameters():
        parameter.data += 0.1
    model.save_pretrained(tmp_path / "models/x")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x")
    assert torch.equal(logits(loaded, processor), logits(model, processor))
    assert not (tmp_path / "models/x/llm").exists()
    loaded.save_pretrained(tmp_path / "models/y")  # and it stays with the model when that is saved elsewhere
    assert (tmp_path / "models/y/encoder").is_dir()


def test_what_learns_of_a_model_of_half_precision_is_float32(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    half = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x", dtype=torch.bfloat16)
    assert {half.encoder.dtype, half.llm.dtype} == {torch.bfloat16} and half.adapter.down.weight.dtype == torch.float32
    assert torch.cosine_similarity(logits(half, processor).float(), logits(model, processor), dim=-1).min() > 0.99
    half.set_trainable(encoder=True)
    assert {weight.dtype for weight in half.encoder.parameters()} == {torch.float32}
    apart = {"dtype": torch.bfloat16, "encoder_dtype": torch.float32}
    half = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x", **apart)
    assert (half.encoder.dtype, half.llm.dtype) == (torch.float32, torch.bfloat16)


def test_the_whole_tree_can_move(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}_moved")
    shutil.rmtree(tmp_path / "foundation")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path.parent / f"{tmp_path.name}_moved/models/x")
    assert torch.equal(logits(loaded, processor), logits(model, processor))


def test_an_exported_folder_needs_nothing_else(parts, tmp_path):
    model, processor = parts
    expected = logits(model, processor)
    model.export(tmp_path / "out")
    shutil.rmtree(tmp_path / "foundation")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(loaded, processor), expected)
    assert torch.equal(logits(model, processor), expected) and model.config.llm_name.endswith("foundation/llm")


def test_an_exported_folder_can_be_saved_over(parts, tmp_path):
    model, processor = parts
    model.export(tmp_path / "out")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    loaded.save_pretrained(tmp_path / "out")
    again = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(again, processor), logits(model, processor))


def test_an_exported_llm_is_a_plain_one(parts, tmp_path):
    model, _ = parts
    model.export(tmp_path / "out")
    assert keys(tmp_path / "out/llm/model.safetensors") == set(make_llm().state_dict())


def test_a_backbone_that_is_gone_is_named(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "models/x")
    shutil.rmtree(tmp_path / "foundation/llm")
    with pytest.raises(StudyError, match="llm_name is ../../foundation/llm, but .*foundation/llm is not there"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x")


def test_weights_that_do_not_fit_are_named(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "x")
    path = tmp_path / "x/model.safetensors"
    whole = load_file(path)
    save_file({name: value for name, value in whole.items() if name != "adapter.up.weight"}, path)
    with pytest.raises(StudyError, match="adapter.up.weight is missing"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    save_file({**whole, "adapter.extra": torch.zeros(1)}, path)
    with pytest.raises(StudyError, match="adapter.extra has no place"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    save_file({**whole, "adapter.up.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(StudyError, match=r"adapter.up.weight is \(2, 2\), config.json wants \(48, 16\)"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StudyError, match="damaged"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    with pytest.raises(StudyError, match="there is no such folder"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "nowhere")


def test_the_second_stage_starts_from_the_first_with_new_lora(parts, foundation, tmp_path):
    _, processor = parts
    first = make_model(processor, foundation / "asr", foundation / "llm", lora_rank=0)
    first.save_pretrained(tmp_path / "stage1")
    second = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "stage1", lora_rank=2, lora_alpha=4)
    assert torch.equal(logits(second, processor), logits(first, processor))
    second.set_trainable(lora=True)
    second.save_pretrained(tmp_path / "stage2")
    assert BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "stage2").config.lora_rank == 2
    with pytest.raises(StudyError, match="no such setting"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "stage1", lora_ranks=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_encoder_is_found_inside_a_whole_whisper(tmp_path, dtype):
    torch.manual_seed(0)
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 60, "pad_token_id": 0}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    whisper = WhisperForConditionalGeneration(WhisperConfig(**sizes, **heads)).to(dtype)
    whisper.save_pretrained(tmp_path / "whole")
    encoder = load_encoder(str(tmp_path / "whole"))
    expected = whisper.model.encoder.state_dict()
    assert all(torch.equal(value, expected[name].float()) for name, value in encoder.state_dict().items())


def test_an_encoder_without_all_its_weights_is_refused(tmp_path):
    encoder = make_encoder()
    save_encoder(encoder, tmp_path)
    kept = {f"model.encoder.{k}": v for k, v in encoder.state_dict().items() if k != "conv1.weight"}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudyError, match="first that is missing is conv1.weight"):
        load_encoder(str(tmp_path))


def test_generation_stops_where_the_llm_stops(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "x")
    assert BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x").generation_config.eos_token_id == 258


def test_a_checkpoint_from_before_there_was_a_choice_is_read(parts, tmp_path):
    """What was saved without the settings of adapter and scope has convolutions, and updates where speech is."""
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    path = tmp_path / "models/x/config.json"
    config = json.loads(path.read_text())
    for name in ("adapter_type", "qformer_window", "qformer_width", "qformer_layers", "lora_scope"):
        del config[name]
    path.write_text(json.dumps(config))
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x")
    assert (loaded.config.adapter_type, loaded.config.lora_scope) == ("convolution", "speech")
    assert torch.equal(logits(loaded, processor), logits(model, processor))
