"""What can be converted, what is refused, and that nothing half-written stays behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from blsp_core.cli import convert_app as app
from blsp_core.convert.released import convert, new_places
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

RELEASED = Path(__file__).parent / "data/released"


@pytest.fixture
def source(tmp_path):
    return Path(shutil.copytree(RELEASED, tmp_path / "source"))


def weights(folder):
    return torch.load(folder / "pytorch_model.bin", weights_only=True)


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, value in changes.items():
        section, _, inner = name.partition("__")
        if inner:
            config[section][inner] = value
        else:
            config[section] = value
    path.write_text(json.dumps(config))


def write_shards(folder, state, save, suffix):
    (folder / "pytorch_model.bin").unlink()
    keys, name = sorted(state), "pytorch_model.bin" if suffix == "bin" else "model.safetensors"
    weight_map = {}
    for i in range(3):
        file = f"{name.split('.')[0]}-{i + 1:05}-of-00003.{suffix}"
        save({key: state[key].contiguous().clone() for key in keys[i::3]}, folder / file)
        weight_map.update(dict.fromkeys(keys[i::3], file))
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def all_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("save, suffix", [(torch.save, "bin"), (save_file, "safetensors")])
def test_shards_of_either_kind_give_the_same_model(source, tmp_path, save, suffix):
    convert(RELEASED, tmp_path / "whole")
    write_shards(source, weights(source), save, suffix)
    convert(source, tmp_path / "sharded")
    one, other = (
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "sharded")
    )
    assert all_equal(one, other)


def test_files_of_the_oldest_torch_format_are_read(source, tmp_path):
    state = weights(source)
    torch.save(state, source / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    convert(source, tmp_path / "out")


def test_a_first_stage_checkpoint_without_lora_is_read(source, tmp_path):
    state = {
        key.replace("qwen_model.model.", "qwen_model."): value
        for key, value in weights(source).items()
        if "lora_" not in key
    }
    torch.save(state, source / "pytorch_model.bin")
    change_config(source, lora_config={})
    convert(source, tmp_path / "stage1")
    convert(RELEASED, tmp_path / "stage2")
    first = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "stage1")
    second = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "stage2")
    assert first.config.lora_rank == 0
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(first(ids).logits, second(ids).logits)


def test_a_checkpoint_without_an_emotion_head_says_so(source, tmp_path):
    state = weights(source)
    del state["hidden2emotion.weight"]
    torch.save(state, source / "pytorch_model.bin")
    report = convert(source, tmp_path / "out")
    assert any("hidden2emotion.weight" in note for note in report.notes)
    assert BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out").emotion_head.weight.abs().sum() == 0


def test_a_plain_qwen_becomes_a_plain_qwen2(source, tmp_path):
    state = {
        key.replace("qwen_model.model.", ""): value
        for key, value in weights(source).items()
        if key.startswith("qwen_model") and "lora_" not in key
    }
    state["transformer.rotary_emb.inv_freq"] = torch.ones(8)
    torch.save(state, source / "pytorch_model.bin")
    (source / "config.json").write_text(
        json.dumps(json.loads((source / "config.json").read_text())["qwen_config"] | {"model_type": "qwen"})
    )
    report = convert(source, tmp_path / "out")
    assert report.left_out == {"transformer.rotary_emb.inv_freq": "recomputed by this model"}
    llm, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "out"),
        AutoTokenizer.from_pretrained(tmp_path / "out"),
    )
    reference = np.load(RELEASED.parent / "released_reference.npz")
    ids = [reference[f"single2/{part}_ids"][0] for part in ("start", "instruction", "input", "suffix")]
    with torch.no_grad():
        logits = llm(torch.from_numpy(np.concatenate(ids)).long()[None]).logits[0, -43:]
    np.testing.assert_allclose(logits, reference["single2/text_response_logits"], atol=1e-4, rtol=0)
    assert llm.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(
        ["<|im_end|>", "<|im_start|>", "<|endoftext|>"]
    )


def test_the_report_names_every_key(tmp_path):
    report = convert(RELEASED, tmp_path / "out")
    assert report.used.keys() == weights(RELEASED).keys()
    assert json.loads((tmp_path / "out/conversion.json").read_text())["used"] == report.used


def test_half_precision_is_kept_or_made(source, tmp_path):
    torch.save({key: value.half() for key, value in weights(source).items()}, source / "pytorch_model.bin")
    convert(source, tmp_path / "kept")
    convert(source, tmp_path / "made", torch.bfloat16)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "kept/llm").dtype == torch.float16
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "made/llm").dtype == torch.bfloat16


def test_up_and_gate_are_not_mistaken():
    places = [new_places(f"transformer.h.3.mlp.{old}.weight", torch.zeros(2, 2))[0][0] for old in ("w1", "w2")]
    assert places == ["llm.model.layers.3.mlp.up_proj.weight", "llm.model.layers.3.mlp.gate_proj.weight"]


def test_sequences_beyond_the_trained_length_are_refused(source, tmp_path):
    change_config(source, qwen_config__seq_length=64)
    convert(source, tmp_path / "out")
    model = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "out")
    model(torch.zeros(1, 64, dtype=torch.long))
    with pytest.raises(StudyError, match="65 tokens, but this converted model is correct up to 64 only"):
        model(torch.zeros(1, 65, dtype=torch.long))
    with pytest.raises(StudyError, match="tokens, but this converted model"):
        model.generate(torch.ones(1, 64, dtype=torch.long), max_new_tokens=4)
    prompt = torch.arange(60)[None]
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, eos_token_id=None)
    assert out.shape[1] == 64


def damage(folder):
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-5000])


def drop(key):
    def change(folder):
        state = weights(folder)
        del state[key]
        torch.save(state, folder / "pytorch_model.bin")

    return change


def add(key, value=None):
    def change(folder):
        torch.save({**weights(folder), key: torch.zeros(1) if value is None else value}, folder / "pytorch_model.bin")

    return change


def poison(folder):
    torch.save({"a": Path("x")}, folder / "pytorch_model.bin")


def lose_a_shard(folder):
    write_shards(folder, weights(folder), torch.save, "bin")
    (folder / "pytorch_model-00002-of-00003.bin").unlink()


def half_a_vocabulary(folder):
    lines = (folder / "qwen.tiktoken").read_bytes().splitlines(keepends=True)
    (folder / "qwen.tiktoken").write_bytes(
        b"".join(lines + [b"%s %d\n" % (b"AAAA" * (i + 1), 304 + i) for i in range(9)])
    )


LORA_KEY = "qwen_model.model.transformer.h.1.mlp.w2.lora_B.default.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: is not there"),
        (lambda folder: change_config(folder, qwen_config=None), "model_type is None; wanted is a released"),
        (lambda folder: change_config(folder, qwen_config={}), "config.json: vocab_size is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: is not JSON"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "no weights; wanted is"),
        (lambda folder: (folder / "qwen.tiktoken").unlink(), "qwen.tiktoken: is not there"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json: is not there"),
        (damage, "pytorch_model.bin: .*damaged"),
        (poison, "pytorch_model.bin: holds more than weights"),
        (lose_a_shard, "names pytorch_model-00002-of-00003.bin, which is not there"),
        (half_a_vocabulary, "qwen.tiktoken: 313 tokens and 208 special ones do not match the embedding's 512 rows"),
        (lambda folder: (folder / "qwen.tiktoken").write_text("x"), "qwen.tiktoken, line 1"),
        (drop(LORA_KEY), "pytorch_model.bin: nothing gives .*layers.1.mlp.gate_proj.lora_B"),
        (drop("adapter.fc1.weight"), "nothing gives adapter.down.weight"),
        (add("adapter.fc3.weight"), "pytorch_model.bin: adapter.fc3.weight is not known"),
        (add("qwen_model.model.transformer.h.7.ln_1.weight"), "h.7.ln_1.weight has no place"),
        (add("hidden2emotion.weight", torch.zeros(7, 64)), r"hidden2emotion.weight gives .* \(7, 64\)"),
        (lambda folder: change_config(folder, adapter_type="cformer"), "adapter_type is cformer"),
        (lambda folder: change_config(folder, lora_scope="global"), "lora_scope is global"),
        (lambda folder: change_config(folder, lora_config__target_modules=["wte"]), "target_modules has wte"),
        (lambda folder: change_config(folder, qwen_config__rotary_pct=0.5), "rotary_pct is 0.5"),
    ],
)
def test_what_is_not_understood_is_named_and_nothing_is_left(source, tmp_path, change, message):
    change(source)
    result = CliRunner().invoke(app, [str(source), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    with pytest.raises(StudyError, match=message):
        convert(source, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_the_command_converts(tmp_path):
    result = CliRunner().invoke(app, [str(RELEASED), str(tmp_path / "out")])
    assert result.exit_code == 0 and "87 tensors converted, 0 left out" in result.output
    assert BlspEmoProcessor.from_pretrained(tmp_path / "out").speech_token_id == 512
    again = CliRunner().invoke(app, [str(RELEASED), str(tmp_path / "out")])
    assert again.exit_code == 1 and "is there already" in again.stderr


TEXTS = [
    "I just need an ID, don't I?",
    "  leading and   inner  spaces \n\n and\tlines\r\n\r\nhere",
    "naïve café 你好，世界 😀 Ελληνικά русский",
    "12345 3.14 ~~~ !!! x=1;\n\n\n",
    "e\u0301 is normalised",
    "THEY'RE we'Ll 'tis",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_fast_tokenizer_gives_tiktokens_ids(text, tmp_path):
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is needed to compare with")
    import unicodedata

    from blsp_core.convert.tokenizer import PIECES, fast_tokenizer, read_tiktoken

    path = RELEASED / "qwen.tiktoken"
    theirs = tiktoken.Encoding("qwen", pat_str=PIECES, mergeable_ranks=read_tiktoken(path), special_tokens={})
    ours = fast_tokenizer(path, 100)
    ids = ours(text, add_special_tokens=False).input_ids
    assert ids == theirs.encode(unicodedata.normalize("NFC", text))
    assert ours.decode(ids) == unicodedata.normalize("NFC", text)
