"""A checkpoint holds what was trained and the names of what was not; it loads as any transformers model does."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from fixtures import make_llm, make_tokenizer, make_whisper
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import CHATS, make_encoder, make_extractor, make_model
from transformers import AutoModelForCausalLM

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, backbones, checkpoint
from blsp_core.model.checkpoint import load_encoder, load_llm, save_encoder

ADAPTER = {"type": "convolution", "kernel_sizes": [5, 5], "inner_dim": 16}


@pytest.fixture
def folders(tmp_path):
    """Backbones in folders of their own."""
    whisper, llm = tmp_path / "backbones/whisper", tmp_path / "backbones/llm"
    save_encoder(make_encoder(), whisper)
    for part, folder in ((make_extractor(), whisper), (make_llm(), llm), (make_tokenizer(), llm)):
        part.save_pretrained(folder)
    return whisper, llm


@pytest.fixture
def parts(folders):
    processor = BlspEmoProcessor.from_parts(*folders, adapter=ADAPTER)
    return make_model(processor, *folders), processor


def load(path, **settings):
    return BlspEmoForConditionalGeneration.from_pretrained(path, **settings)


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
    for first in ("import blsp_core", "import blsp_core, peft", "import transformers.pipelines, blsp_core"):
        subprocess.run([sys.executable, "-c", f"{first}\n{AUTO}"], check=True, cwd=tmp_path, env=environment)


def test_it_holds_what_is_trained_and_names_the_rest_wherever_the_tree_lies(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "models/x")
    assert {path.name for path in (tmp_path / "models/x").iterdir()} == {"config.json", "model.safetensors"}
    saved = keys(tmp_path / "models/x/model.safetensors")
    assert all(key.startswith(("adapter.", "emotion_head.")) or ".lora_" in key for key in saved)
    config = json.loads((tmp_path / "models/x/config.json").read_text())
    assert (config["encoder_name"], config["llm_name"]) == ("../../backbones/whisper", "../../backbones/llm")
    moved = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}_moved")) / "models/x"
    for name in ("llm", "whisper"):
        shutil.rmtree(tmp_path / "backbones" / name)
        with pytest.raises(StudyError, match=f"_name is ../../backbones/{name}, but .*backbones/{name} is not there"):
            load(tmp_path / "models/x")
    loaded = load(moved)
    assert torch.equal(logits(loaded, processor), logits(model, processor))
    assert loaded.generation_config.eos_token_id == 258


def test_a_trained_encoder_is_saved_too(parts, tmp_path):
    model, processor = parts
    model.set_trainable(encoder=True)
    for parameter in model.encoder.parameters():
        parameter.data += 0.1
    model.save_pretrained(tmp_path / "models/x")
    loaded = load(tmp_path / "models/x")
    assert torch.equal(logits(loaded, processor), logits(model, processor))
    assert not (tmp_path / "models/x/llm").exists()
    loaded.save_pretrained(tmp_path / "models/y")  # and it stays with the model when that is saved elsewhere
    assert (tmp_path / "models/y/encoder").is_dir()


def test_trained_weights_of_a_model_in_half_precision_are_float32(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path / "x")
    half = load(tmp_path / "x", dtype=torch.bfloat16)
    assert {half.encoder.dtype, half.llm.dtype} == {torch.bfloat16} and half.adapter.down.weight.dtype == torch.float32
    assert torch.cosine_similarity(logits(half, processor).float(), logits(model, processor), dim=-1).min() > 0.99
    half.set_trainable(encoder=True)
    assert {weight.dtype for weight in half.encoder.parameters()} == {torch.float32}
    half = load(tmp_path / "x", dtype=torch.bfloat16, encoder_dtype=torch.float32)
    assert (half.encoder.dtype, half.llm.dtype) == (torch.float32, torch.bfloat16)


def test_the_data_type_may_be_that_of_the_saved_backbones(parts, folders, tmp_path):
    load_llm(str(folders[1]), dtype=torch.bfloat16).save_pretrained(folders[1])
    parts[0].save_pretrained(tmp_path / "x")
    for asked in ({"dtype": "auto"}, {"torch_dtype": "auto"}):
        model = load(tmp_path / "x", **asked)
        assert (model.encoder.dtype, model.llm.dtype) == (torch.float32, torch.bfloat16)
    for asked in ({"dtype": "float16"}, {"torch_dtype": torch.float16}, {"dtype": "torch.float16"}):
        assert load(tmp_path / "x", **asked).llm.dtype == torch.float16
    assert load(tmp_path / "x").llm.dtype == torch.float32
    for wrong in ("half-ish", "Tensor", 16):
        with pytest.raises(StudyError, match=f"dtype: '?{wrong}'?; wanted is float32, bfloat16, float16 or auto"):
            load(tmp_path / "x", dtype=wrong)
    with pytest.raises(StudyError, match="weights of the LLM cannot be read; fetch them again, or correct"):
        load(tmp_path / "x", device_map="nowhere")


def test_a_name_that_is_no_folder_and_not_on_the_hub_is_one_sentence():
    for name, reason in (("models/mni", "the hub gives no such model; correct the name"), ("./x", "no such folder")):
        with pytest.raises(StudyError, match=reason):
            load(name)


def test_an_exported_folder_needs_nothing_else_and_names_no_path_of_this_machine(parts, tmp_path):
    model, processor = parts
    for write in (model.save_pretrained, processor.save_pretrained):
        write(tmp_path / "models/x")
    expected = logits(model, processor)
    model.export(tmp_path / "out", processor)
    assert keys(tmp_path / "out/llm/model.safetensors") == set(make_llm().state_dict())
    shutil.rmtree(tmp_path / "backbones")
    assert torch.equal(logits(model, processor), expected) and model.config.llm_name.endswith("backbones/llm")
    loaded, reader = load(tmp_path / "out"), BlspEmoProcessor.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(loaded, reader), expected)
    loaded.export(tmp_path / "out2", reader)
    loaded.save_pretrained(tmp_path / "out")  # over what it was loaded from
    assert all(torch.equal(logits(load(tmp_path / name), reader), expected) for name in ("out", "out2"))
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers") and "AutoModel.from_pretrained" in card
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20 and not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_the_second_stage_starts_from_the_first_with_new_lora(parts, folders, tmp_path):
    _, processor = parts
    first = make_model(processor, *folders, lora_rank=0)
    first.save_pretrained(tmp_path / "stage1")
    second = load(tmp_path / "stage1", lora_rank=2, lora_alpha=4)
    assert torch.equal(logits(second, processor), logits(first, processor))
    second.save_pretrained(tmp_path / "stage2")
    assert load(tmp_path / "stage2").config.lora_rank == 2
    with pytest.raises(StudyError, match="no such setting"):
        load(tmp_path / "stage1", lora_ranks=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_encoder_is_found_inside_a_whole_whisper(tmp_path, dtype):
    whisper = make_whisper().to(dtype)
    whisper.save_pretrained(tmp_path)
    expected = whisper.model.encoder.state_dict()
    found = load_encoder(str(tmp_path)).state_dict()
    assert all(torch.equal(value, expected[name].float()) for name, value in found.items())


def test_options_of_transformers_reach_the_backbones(parts, tmp_path, monkeypatch):
    parts[0].save_pretrained(tmp_path / "x")
    load_llm, passed = AutoModelForCausalLM.from_pretrained, {}

    def watch(source, quantization_config=None, **how):
        passed.update(how, quantization_config=quantization_config)
        return load_llm(source, **how)

    monkeypatch.setattr(checkpoint.AutoModelForCausalLM, "from_pretrained", watch)
    options = {"device_map": {"": "cpu"}, "quantization_config": {"a": 1}, "local_files_only": True}
    loaded = load(tmp_path / "x", **options, attn_implementation="eager")
    assert options.items() <= passed.items() and passed["trust_remote_code"] is False
    assert loaded.encoder.config._attn_implementation == "eager"


def test_code_in_a_folder_is_never_run(folders):
    llm, code = folders[1], {"AutoConfig": "code.A", "AutoModelForCausalLM": "code.B"}
    (llm / "code.py").write_text("raise SystemExit('was run')")
    change(llm / "config.json", auto_map=code)
    assert type(load_llm(str(llm))).__name__ == "Qwen2ForCausalLM"
    change(llm / "config.json", model_type="mine")
    with pytest.raises(StudyError, match="model_type in config.json is mine, which transformers .* does not have"):
        load_llm(str(llm))
    (llm / "tokenizer.json").unlink()
    change(llm / "tokenizer_config.json", tokenizer_class="Mine", auto_map={"AutoTokenizer": ["code.A", None]})
    with pytest.raises(StudyError, match="no feature extractor or tokenizer can be read"):
        BlspEmoProcessor.from_parts(*folders)


def resolve(name, part, tmp_path):
    return backbones.resolve(str(name), "main", part, tmp_path / "here")


def test_a_backbone_is_copied_and_one_of_the_hub_is_recorded_with_its_commit(folders, tmp_path, monkeypatch):
    assert resolve(folders[1], "llm", tmp_path) == {"name": str(folders[1]), "revision": "main"}
    assert load_llm(str(tmp_path / "here")).config.model_type == "qwen2"
    assert (tmp_path / "here/log.csv").read_text() == "step,loss\n" and not backbones.has_decoder(folders[0])
    (folders[1] / "log.csv").write_text("step,answer_ce\n1,2\n")  # as of one that was trained by the study
    backbones.resolve(folders[1].name, "main", "llm", tmp_path / "here", folders[1].parent)
    assert "answer_ce" in (tmp_path / "here/log.csv").read_text()
    snapshot = shutil.copytree(folders[1], tmp_path / "snapshots/0123abcd")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    assert resolve("some/llm", "llm", tmp_path) == {"name": "some/llm", "revision": "0123abcd"}


def test_what_is_wrong_with_a_backbone_is_named(folders, tmp_path):
    whisper, llm = folders
    weights = whisper / "model.safetensors"
    whole = {f"model.encoder.{name}": value.half() for name, value in load_file(weights).items()}
    save_file(whole, weights)
    resolve(whisper, "encoder", tmp_path)

    def refused(message, folder=whisper, part="encoder"):
        with pytest.raises(StudyError, match=message):
            resolve(folder, part, tmp_path)

    refused("holds no preprocessor_config.json; a complete folder of the encoder", llm)
    change(whisper / "preprocessor_config.json", feature_size=128)
    refused("128 mel bands and 250 frames, the encoder of config.json reads 80 and 250")
    save_file({name: value for name, value in whole.items() if ".layers.1." not in name}, weights)
    refused(r"of the 37 weights .* 15 are missing .* first layers.1.fc1.bias")
    weights.write_bytes(weights.read_bytes()[:-100])
    refused("the weights of the speech encoder cannot be read; fetch them again")
    shutil.copy(llm / "config.json", whisper)
    refused("model_type in config.json is qwen2, wanted is whisper")
    change(llm / "config.json", model_type="qwen")
    refused("run `blsp-convert", llm, "llm")
    hub = "openai/whisper-large-v2"
    refused(f"(?s)(?=.*https://huggingface.co/{hub})(?=.*licence: Apache-2.0).*whisper: source", hub)
