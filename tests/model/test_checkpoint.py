"""A checkpoint holds what was trained and the names of what was not; it loads as any transformers model does."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import ask, make_encoder, make_llm, make_model, make_tokenizer, sound
from transformers import AutoModelForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, backbones, checkpoint
from blsp_core.model.checkpoint import load_encoder, load_llm, save_encoder

CHATS = [ask("listen: ", sound(1.0)), ask(sound(2.0, 1), "?")]
ADAPTER = {"type": "convolution", "kernel_sizes": [5, 5], "inner_dim": 16}


@pytest.fixture
def folders(tmp_path, extractor):
    """Backbones in folders of their own."""
    save_encoder(make_encoder(), tmp_path / "backbones/whisper")
    extractor.save_pretrained(tmp_path / "backbones/whisper")
    make_llm().save_pretrained(tmp_path / "backbones/llm")
    make_tokenizer().save_pretrained(tmp_path / "backbones/llm")
    return tmp_path / "backbones/whisper", tmp_path / "backbones/llm"


@pytest.fixture
def parts(folders):
    processor = BlspEmoProcessor.from_parts(*folders, adapter=ADAPTER)
    return make_model(processor, *folders), processor


def change(path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def keys(path):
    with safe_open(path, "pt") as file:
        return set(file.keys())


def logits(model, processor):
    with torch.no_grad():
        return model(**processor(CHATS)).logits


AUTO = """
from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor
processor = AutoProcessor.from_pretrained("x")
assert type(processor).__name__ == "BlspEmoProcessor" and processor.adapter["kernel_sizes"] == [5, 5]
assert type(AutoConfig.from_pretrained("x")).__name__ == "BlspEmoConfig"
for auto in (AutoModel, AutoModelForMultimodalLM):
    model = auto.from_pretrained("x", device_map="cpu", dtype="bfloat16", attn_implementation="eager", lora_rank=3)
assert type(model).__name__ == "BlspEmoForConditionalGeneration" and model.config.lora_rank == 3
assert {part.config._attn_implementation for part in (model.llm, model.encoder)} == {"eager"}
assert str(model.dtype) == "torch.bfloat16"
model.generate(**processor([{"role": "user", "content": "a"}]), max_new_tokens=2)
"""


@pytest.mark.slow
def test_auto_classes_load_it_after_import_blsp_core(parts, folders, tmp_path):
    model = make_model(parts[1], *folders, lora_rank=0)
    model.save_pretrained(tmp_path / "x")
    parts[1].save_pretrained(tmp_path / "x")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    for first in (
        "import blsp_core, sys",
        "import blsp_core, sys, peft",
        "import sys, transformers.pipelines, blsp_core",
    ):
        subprocess.run([sys.executable, "-c", f"{first}\n{AUTO}"], check=True, cwd=tmp_path, env=environment)


def test_the_same_numbers_come_back(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "models/x")
    assert torch.equal(logits(loaded, processor), logits(model, processor))
    assert loaded.generation_config.eos_token_id == 258


def test_it_holds_what_is_trained_and_names_the_rest(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "models/x")
    assert {path.name for path in (tmp_path / "models/x").iterdir()} == {"config.json", "model.safetensors"}
    saved = keys(tmp_path / "models/x/model.safetensors")
    assert all(key.startswith(("adapter.", "emotion_head.")) or ".lora_" in key for key in saved)
    config = json.loads((tmp_path / "models/x/config.json").read_text())
    assert (config["encoder_name"], config["llm_name"]) == ("../../backbones/whisper", "../../backbones/llm")


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


def test_trained_weights_of_a_model_in_half_precision_are_float32(parts, tmp_path):
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
    shutil.rmtree(tmp_path / "backbones")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path.parent / f"{tmp_path.name}_moved/models/x")
    assert torch.equal(logits(loaded, processor), logits(model, processor))


def test_an_exported_folder_needs_nothing_else(parts, tmp_path):
    model, processor = parts
    expected = logits(model, processor)
    model.export(tmp_path / "out", processor)
    shutil.rmtree(tmp_path / "backbones")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(loaded, BlspEmoProcessor.from_pretrained(tmp_path / "out")), expected)
    assert torch.equal(logits(model, processor), expected) and model.config.llm_name.endswith("backbones/llm")
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers") and "AutoModel.from_pretrained" in card
    assert keys(tmp_path / "out/llm/model.safetensors") == set(make_llm().state_dict())


def test_no_product_names_a_path_of_this_machine(parts, tmp_path):
    model, processor = parts
    for write in (model.save_pretrained, processor.save_pretrained):
        write(tmp_path / "models/x")
    model.export(tmp_path / "out", processor)
    again = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    again.export(tmp_path / "out2", BlspEmoProcessor.from_pretrained(tmp_path / "out"))
    files = [path for name in ("models", "out", "out2") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert len(files) > 20 and not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_an_exported_folder_can_be_saved_over(parts, tmp_path):
    model, processor = parts
    model.export(tmp_path / "out")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    loaded.save_pretrained(tmp_path / "out")
    again = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(again, processor), logits(model, processor))


def test_a_backbone_that_is_gone_is_named(parts, tmp_path):
    model, _ = parts
    model.save_pretrained(tmp_path / "models/x")
    shutil.rmtree(tmp_path / "backbones/llm")
    with pytest.raises(StudyError, match="llm_name is ../../backbones/llm, but .*backbones/llm is not there"):
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
    save_file({**whole, "adapter.up.weight": whole["adapter.up.weight"] / 0}, path)
    with pytest.raises(StudyError, match="adapter.up.weight holds NaN or infinity"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StudyError, match="damaged"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    with pytest.raises(StudyError, match="there is no such folder"):
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "nowhere")


def test_the_second_stage_starts_from_the_first_with_new_lora(parts, folders, tmp_path):
    _, processor = parts
    first = make_model(processor, *folders, lora_rank=0)
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


def test_options_of_transformers_reach_the_backbones(parts, tmp_path, monkeypatch):
    model, _ = parts
    model.save_pretrained(tmp_path / "x")
    load, passed = AutoModelForCausalLM.from_pretrained, {}

    def watch(source, quantization_config=None, **how):
        passed.update(how, quantization_config=quantization_config)
        return load(source, **how)

    monkeypatch.setattr(checkpoint.AutoModelForCausalLM, "from_pretrained", watch)
    options = {"device_map": {"": "cpu"}, "quantization_config": {"a": 1}, "local_files_only": True}
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x", **options, attn_implementation="eager")
    assert options.items() <= passed.items() and passed["trust_remote_code"] is False
    assert loaded.encoder.config._attn_implementation == "eager"


def test_code_in_a_folder_is_never_run(folders):
    (folders[1] / "code.py").write_text("raise SystemExit('was run')")
    change(
        folders[1] / "config.json",
        model_type="mine",
        auto_map={"AutoConfig": "code.A", "AutoModelForCausalLM": "code.B"},
    )
    with pytest.raises(StudyError, match="model_type in config.json is mine, which transformers .* does not have"):
        load_llm(str(folders[1]))
    change(folders[1] / "config.json", model_type="qwen2")
    assert type(load_llm(str(folders[1]))).__name__ == "Qwen2ForCausalLM"
    (folders[1] / "tokenizer.json").unlink()
    change(folders[1] / "config.json", model_type="mine")
    change(folders[1] / "tokenizer_config.json", tokenizer_class="Mine", auto_map={"AutoTokenizer": ["code.A", None]})
    with pytest.raises(StudyError, match="no feature extractor or tokenizer can be read"):
        BlspEmoProcessor.from_parts(*folders)


def resolve(name, part, tmp_path):
    return backbones.resolve(str(name), "main", part, tmp_path / "here", tmp_path / "log.csv")


def test_a_backbone_is_copied_and_can_be_loaded(folders, tmp_path):
    assert resolve(folders[1], "llm", tmp_path) == {"name": str(folders[1]), "revision": "main"}
    assert load_llm(str(tmp_path / "here")).config.model_type == "qwen2"
    assert (tmp_path / "log.csv").read_text() == "step,loss\n" and not backbones.has_decoder(folders[0])


def test_a_backbone_of_the_hub_is_recorded_with_its_commit(folders, tmp_path, monkeypatch):
    snapshot = shutil.copytree(folders[1], tmp_path / "snapshots/0123abcd")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    assert resolve("some/llm", "llm", tmp_path) == {"name": "some/llm", "revision": "0123abcd"}


def test_what_is_wrong_with_a_backbone_is_named(folders, tmp_path):
    whisper, llm = folders
    weights = whisper / "model.safetensors"
    whole = {f"model.encoder.{name}": value.half() for name, value in load_file(weights).items()}
    save_file(whole, weights)
    resolve(whisper, "encoder", tmp_path)
    with pytest.raises(StudyError, match="holds no preprocessor_config.json; a complete folder of the encoder"):
        resolve(llm, "encoder", tmp_path)
    change(whisper / "config.json", encoder_ffn_dim=48)
    with pytest.raises(StudyError, match=r"of the 37 weights .* 0 are missing and 6 have another size .*layers.0.fc1"):
        resolve(whisper, "encoder", tmp_path)
    change(whisper / "config.json", encoder_ffn_dim=64)
    change(whisper / "preprocessor_config.json", feature_size=128)
    with pytest.raises(StudyError, match="128 mel bands and 250 frames, the encoder of config.json reads 80 and 250"):
        resolve(whisper, "encoder", tmp_path)
    save_file({name: value for name, value in whole.items() if ".layers.1." not in name}, weights)
    with pytest.raises(StudyError, match=r"of the 37 weights .* 15 are missing .* first layers.1.fc1.bias"):
        resolve(whisper, "encoder", tmp_path)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StudyError, match="the weights cannot be read .* fetch them again"):
        resolve(whisper, "encoder", tmp_path)
    shutil.copy(llm / "config.json", whisper)
    with pytest.raises(StudyError, match="model_type in config.json is qwen2, wanted is whisper"):
        resolve(whisper, "encoder", tmp_path)
    change(llm / "config.json", model_type="qwen")
    with pytest.raises(StudyError, match="run `blsp-convert"):
        resolve(llm, "llm", tmp_path)
    with pytest.raises(StudyError) as error:
        resolve("openai/whisper-large-v2", "encoder", tmp_path)
    for words in ("https://huggingface.co/openai/whisper-large-v2", "licence: Apache-2.0", "whisper: source"):
        assert words in str(error.value)
