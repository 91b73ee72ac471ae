"""What can be converted, what is refused, and that nothing half-written stays behind."""

import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from blsp_core.cli import convert_app
from blsp_core.convert.released import convert
from blsp_core.convert.tokenizer import PIECES, fast_tokenizer, read_tiktoken
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration

BIN = "pytorch_model.bin"


@pytest.fixture
def source(released, tmp_path):
    return Path(shutil.copytree(released, tmp_path / "source"))


def load(folder):
    return BlspEmoForConditionalGeneration.from_pretrained(folder)


def weights(folder):
    return torch.load(folder / BIN, weights_only=True)


def change_config(folder, section=None, **changes):
    config = json.loads((folder / "config.json").read_text())
    (config[section] if section else config).update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def write_shards(folder, suffix="bin"):
    state = weights(folder)
    (folder / BIN).unlink()
    save, name = (torch.save, BIN) if suffix == "bin" else (save_file, "model.safetensors")
    keys, weight_map = sorted(state), {}
    for i in range(3):
        file = f"{name.split('.')[0]}-{i + 1:05}-of-00003.{suffix}"
        save({key: state[key].contiguous().clone() for key in keys[i::3]}, folder / file)
        weight_map.update(dict.fromkeys(keys[i::3], file))
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def write_oldest_format(folder):
    torch.save(weights(folder), folder / BIN, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [write_shards, lambda f: write_shards(f, "safetensors"), write_oldest_format])
def test_weights_in_every_format_give_the_same_model(source, converted, tmp_path, write):
    write(source)
    report = convert(source, tmp_path / "out")
    one, other = load(converted).state_dict(), load(tmp_path / "out").state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    used = json.loads((converted / "conversion.json").read_text())["used"]
    assert report.used == used and len(used) == 87


def test_a_first_stage_checkpoint_without_lora_or_emotion_head_is_read(source, converted, tmp_path):
    state = {
        key.replace("qwen_model.model.", "qwen_model."): value
        for key, value in weights(source).items()
        if "lora_" not in key and key != "hidden2emotion.weight"
    }
    torch.save(state, source / BIN)
    change_config(source, lora_config={})
    report = convert(source, tmp_path / "stage1")
    first, second = load(tmp_path / "stage1"), load(converted)
    assert first.config.lora_rank == 0 and first.emotion_head.weight.abs().sum() == 0
    assert any("hidden2emotion.weight" in note for note in report.notes)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(first(ids).logits, second(ids).logits)


def test_a_plain_qwen_becomes_a_plain_qwen2(source, released, tmp_path):
    state = {
        key.replace("qwen_model.model.", ""): value
        for key, value in weights(source).items()
        if key.startswith("qwen_model") and "lora_" not in key
    }
    torch.save({**state, "transformer.rotary_emb.inv_freq": torch.ones(8)}, source / BIN)
    config = json.loads((source / "config.json").read_text())["qwen_config"]
    (source / "config.json").write_text(json.dumps({**config, "model_type": "qwen"}))
    report = convert(source, tmp_path / "out")
    assert report.left_out == {"transformer.rotary_emb.inv_freq": "recomputed by this model"}
    llm = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    reference = np.load(released.parent / "released_reference.npz")
    ids = [reference[f"single2/{part}_ids"][0] for part in ("start", "instruction", "input", "suffix")]
    with torch.no_grad():
        logits = llm(torch.from_numpy(np.concatenate(ids)).long()[None]).logits[0, -43:]
    np.testing.assert_allclose(logits, reference["single2/text_response_logits"], atol=1e-4, rtol=0)
    ends = AutoTokenizer.from_pretrained(tmp_path / "out").convert_tokens_to_ids(
        ["<|im_end|>", "<|im_start|>", "<|endoftext|>"]
    )
    assert llm.generation_config.eos_token_id == ends


def test_half_precision_is_kept_or_made(source, tmp_path):
    torch.save({key: value.half() for key, value in weights(source).items()}, source / BIN)
    for given, expected in ((None, torch.float16), (torch.bfloat16, torch.bfloat16)):
        convert(source, tmp_path / str(given), given)
        assert AutoModelForCausalLM.from_pretrained(tmp_path / str(given) / "llm").dtype == expected


def test_sequences_beyond_the_trained_length_are_refused(source, tmp_path):
    change_config(source, "qwen_config", seq_length=64)
    convert(source, tmp_path / "out")
    model = load(tmp_path / "out")
    model(torch.zeros(1, 64, dtype=torch.long))
    with pytest.raises(StudyError, match="65 tokens, but this converted model is correct up to 64 only"):
        model(torch.zeros(1, 65, dtype=torch.long))
    with pytest.raises(StudyError, match="tokens, but this converted model"):
        model.generate(torch.ones(1, 64, dtype=torch.long), max_new_tokens=4)
    prompt = torch.arange(60)[None]
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, eos_token_id=None)
    assert out.shape[1] == 64


def lose(name):
    return lambda folder: (folder / name).unlink()


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def settings(section=None, **changes):
    return lambda folder: change_config(folder, section, **changes)


def state(**changes):
    """Weights with these values; without those that are None."""

    def change(folder):
        values = {**weights(folder), **changes}
        torch.save({key: value for key, value in values.items() if value is not None}, folder / BIN)

    return change


def damage(folder):
    (folder / BIN).write_bytes((folder / BIN).read_bytes()[:-5000])


def lose_a_shard(folder):
    write_shards(folder)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()


def longer_vocabulary(folder):
    with (folder / "qwen.tiktoken").open("ab") as file:
        file.writelines(b"%s %d\n" % (b"AAAA" * (i + 1), 304 + i) for i in range(9))


LAYER, ZERO = "qwen_model.model.transformer.h", torch.zeros(1)


@pytest.mark.parametrize(
    "change, message",
    [
        (lose("config.json"), "config.json: is not there"),
        (write("config.json", "{"), "config.json: is not JSON"),
        (settings(qwen_config=None), "model_type is None; wanted is a released"),
        (settings(qwen_config={}), "config.json: vocab_size is missing"),
        (settings(adapter_type="cformer"), "adapter_type is cformer"),
        (settings("lora_config", target_modules=["wte"]), "target_modules has wte"),
        (lose("preprocessor_config.json"), "preprocessor_config.json: is not there"),
        (lose("qwen.tiktoken"), "qwen.tiktoken: is not there"),
        (write("qwen.tiktoken", "x"), "qwen.tiktoken, line 1"),
        (longer_vocabulary, "qwen.tiktoken: 313 tokens and 208 special ones do not match the embedding's 512 rows"),
        (lose(BIN), "no weights; wanted is"),
        (lose_a_shard, "names pytorch_model-00002-of-00003.bin, which is not there"),
        (damage, "pytorch_model.bin: .*damaged"),
        (state(a=Path("x")), "pytorch_model.bin: cannot be read"),
        (state(**{f"{LAYER}.1.mlp.w2.lora_B.default.weight": None}), "nothing gives .*layers.1.mlp.gate_proj.lora_B"),
        (state(**{"adapter.fc3.weight": ZERO}), "pytorch_model.bin: adapter.fc3.weight is not known"),
        (state(**{f"{LAYER}.7.ln_1.weight": ZERO}), "h.7.ln_1.weight has no place"),
        (state(**{"hidden2emotion.weight": torch.zeros(7, 64)}), r"hidden2emotion.weight gives .* \(7, 64\)"),
    ],
)
def test_what_is_not_understood_is_one_sentence_and_nothing_is_left(source, tmp_path, change, message):
    change(source)
    result = CliRunner().invoke(convert_app, [str(source), str(tmp_path / "out")])
    assert result.exit_code == 1 and len(result.stderr.strip().splitlines()) == 1
    assert re.search(message, result.stderr)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


TEXTS = [
    "I just need an ID, don't I? THEY'RE we'Ll 'tis",
    "  leading and   inner  spaces \n\n and\tlines\r\n\r\nhere",
    "naïve café 你好，世界 😀 Ελληνικά русский",
    "12345 3.14 ~~~ !!! x=1;\n\n\n",
    "e\u0301 is normalised",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_fast_tokenizer_gives_tiktokens_ids(text, released):
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is needed to compare with")
    path, normalised = released / "qwen.tiktoken", unicodedata.normalize("NFC", text)
    theirs = tiktoken.Encoding("qwen", pat_str=PIECES, mergeable_ranks=read_tiktoken(path), special_tokens={})
    ours = fast_tokenizer(path, 100)
    ids = ours(text, add_special_tokens=False).input_ids
    assert ids == theirs.encode(normalised) and ours.decode(ids) == normalised
