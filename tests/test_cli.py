"""The commands: replies to clips and to JSONL files, conversion, export."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import make_model, make_processor, sound
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from blsp_core import cli, params
from blsp_core.data import prompts
from blsp_core.inference import answers
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

RELEASED = next(Path(__file__).parent.glob("*/data/released"))  # of the tests of convert
GOOD = ["a.wav", "b.flac", "c.ogg", "d.mp3", "stereo.wav"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a tiny model, trained nowhere, and sounds of every kind."""
    folder = tmp_path_factory.mktemp("cli")
    processor = make_processor()
    make_model(processor).export(folder / "model", processor)
    lengths = {"a.wav": 1.0, "b.flac": 2.0, "c.ogg": 0.5, "d.mp3": 1.5, "long.wav": 11, "short.wav": 0.05}
    for name, seconds in lengths.items():
        soundfile.write(folder / name, sound(seconds), 16000)
    soundfile.write(folder / "stereo.wav", np.stack([sound(1.0), sound(1.0, 1)], 1), 44100)
    soundfile.write(folder / "cancelling.wav", np.stack([sound(1.0), -sound(1.0)], 1), 16000)
    (folder / "text.wav").write_text("no sound")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def load(folder):
    return BlspEmoForConditionalGeneration.from_pretrained(folder), BlspEmoProcessor.from_pretrained(folder)


def run(app, *arguments):
    return CliRunner().invoke(app, [str(word) for word in arguments])


def generate(folder, *arguments, model="model"):
    settings = ["--audio-root", folder, "--max-new-tokens", 5, "--batch-size", 2, "--model", folder / model]
    return run(cli.generate_app, *settings, *arguments)


def answer(folder, rows, *options):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    return generate(folder, "--input", folder / "in.jsonl", "--output", folder / "out.jsonl", *options)


def output(folder):
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().split(b"\n")[:-1]]


def one_sentence(result, words):
    assert result.exit_code == 1 and words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_each_clip_gets_a_line_with_its_emotion_and_reply(folder):
    result = generate(folder, *GOOD)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and [line.split()[0] for line in lines] == GOOD
    assert result.stderr.startswith("warning: this model was trained on a speech synthesiser")  # a toy, named or not
    answer(folder, [{"audio": "a.wav"}], "--empathy")
    (row,) = output(folder)
    best = max(row["emotion"], key=row["emotion"].get)
    assert lines[0].startswith(f"a.wav  [{best} {row['emotion'][best]:.2f}]  ")
    assert " ".join(row["response"].split()) in lines[0]


def test_a_clip_that_cannot_be_read_fails_alone(folder):
    result = generate(folder, "a.wav", "gone.wav", "b.flac")
    assert result.exit_code == 1 and [line.split()[0] for line in result.stdout.splitlines()] == ["a.wav", "b.flac"]
    assert "no such sound file" in result.stderr and "2 of 3 answered, 1 failed" in result.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["a.wav", "--input", "in", "--output", "out"], ["--input", "in"], ["--output", "out"]]
)
def test_clips_or_input_with_output_are_wanted(folder, arguments):
    one_sentence(generate(folder, *arguments), "both --input and --output")


def test_the_default_model_is_that_of_the_study_and_comes_with_a_warning(folder, monkeypatch):
    (folder / "models").mkdir()
    (folder / "models/mini").symlink_to(folder / "model")
    monkeypatch.setattr(params, "find_root", lambda: folder)
    monkeypatch.setattr(params, "read_params", lambda root: {"scale": "mini"})
    result = run(cli.generate_app, folder / "a.wav", "--max-new-tokens", 2)
    assert result.exit_code == 0 and "about a hundred words" in result.stderr
    (folder / "models/mini").unlink()
    one_sentence(run(cli.generate_app, "a.wav"), "run `dvc repro`, or name a model")
    (folder / "data/mini/models").mkdir(parents=True)
    (folder / "data/mini/models/blsp-emo").symlink_to(folder / "model")
    assert params.default_model() == folder / "data/mini/models/blsp-emo"


def test_every_kind_of_sound_is_answered_in_order_and_as_by_the_model_itself_alone(folder):
    rows = [{"audio": name, "emotion": "sad"} for name in GOOD]
    result = answer(folder, rows, "--reference-field", "emotion")
    assert result.exit_code == 0 and "5 of 5 answered, 0 failed" in result.stderr
    found = output(folder)
    assert [row["audio"] for row in found] == GOOD and [row["line"] for row in found] == [1, 2, 3, 4, 5]
    assert {row["reference"] for row in found} == {"sad"}
    assert all(sum(row["emotion"].values()) == pytest.approx(1, abs=1e-3) for row in found)
    (folder / "out.jsonl").unlink()
    answer(folder, rows, "--batch-size", "1")
    assert [row["response"] for row in output(folder)] == [row["response"] for row in found]
    model, processor = load(folder / "model")
    content = [{"type": "audio", "audio": answers.load_audio("a.wav", folder)}]
    batch = processor([{"role": "system", "content": prompts.SYSTEM}, {"role": "user", "content": content}])
    ids = model.generate(**batch, max_new_tokens=5, do_sample=False)[0, batch["input_ids"].shape[1] :]
    assert found[0]["response"] == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_the_system_prompt_and_the_lines_own_instruction_count(folder):
    rows = [{"audio": "a.wav", "instruction": "say: "}, {"audio": "a.wav"}]
    answer(folder, rows)
    plain = output(folder)
    (folder / "out.jsonl").unlink()
    answer(folder, rows, "--empathy")
    assert [row["prompt"] for row in plain] == ["say: ", ""]
    assert len({row["response"] for row in plain + output(folder)}) == 4


BAD = {
    "no field audio": {"sound": "a.wav"},
    "not a JSON object": "{",
    "no such sound file": {"audio": "gone.wav"},
    "not a sound file": {"audio": "text.wav"},
    "²:²: there is no such sound file": {"audio": "a.wav:²:²"},
    "silent, or its channels cancel each other out": {"audio": "cancelling.wav"},
    "11.00 s long": {"audio": "long.wav"},
    "0.05 s long": {"audio": "short.wav"},
    "audio is 5": {"audio": 5},
    "instruction is 5": {"audio": "a.wav", "instruction": 5},
    "contains <|im_end|>": {"audio": "a.wav", "instruction": "a<|im_end|>b"},
    "contains <|speech|>": {"audio": "a.wav", "instruction": "a<|speech|>b"},
    "lone surrogate": {"audio": "a.wav", "instruction": "a\ud800b"},
    "the LLM takes 1024 in all": {"audio": "a.wav", "instruction": "words " * 200},
}


def test_bad_lines_are_reported_with_their_reasons_and_the_others_answered(folder):
    result = answer(folder, [{"audio": "a.wav"}, *BAD.values(), {"audio": "b.flac"}])
    assert result.exit_code == 1 and "2 of 16 answered, 14 failed" in result.stderr
    found = output(folder)
    assert ["response" in row for row in found] == [True] + [False] * 14 + [True]
    for row, words in zip(found[1:-1], BAD, strict=True):
        assert words in row["error"]
    assert not any({"response", "error"} <= row.keys() for row in found)


def test_lines_end_at_newlines_only_and_any_character_is_kept(folder):
    notes = ["a\u2028b\x85 é", "\ud800"]
    rows = [json.dumps({"audio": "a.wav", "note": note}, ensure_ascii=note == "\ud800") for note in notes]
    assert answer(folder, rows, "--reference-field", "note").exit_code == 0
    assert [row["reference"] for row in output(folder)] == notes


def test_every_batch_is_written_when_it_is_done_and_a_run_that_was_stopped_is_continued(folder, monkeypatch):
    rows = [{"audio": name} for name in GOOD] + [{"audio": "gone.wav"}]
    answer(folder, rows)
    whole, before, asked = output(folder), answers._generate, []
    (folder / "out.jsonl").unlink()

    def watched(model, processor, rows, root):
        asked.extend(row["line"] for row in rows)
        if len(asked) > 3:
            raise KeyboardInterrupt
        before(model, processor, rows, root)

    monkeypatch.setattr(answers, "_generate", watched)
    answer(folder, rows)
    assert [row["line"] for row in output(folder) if "response" in row] == [5, 3, 1]  # the shortest come first
    with (folder / "out.jsonl").open("a") as file:
        file.write('{"line": 1, "audi')
    asked.clear()
    result = answer(folder, rows)
    assert result.exit_code == 1 and "5 of 6 answered, 1 failed" in result.stderr
    assert sorted(asked) == [2, 4] and output(folder) == whole


def test_a_finished_run_loads_no_model(folder, monkeypatch):
    answer(folder, [{"audio": "a.wav"}])
    before = (folder / "out.jsonl").read_bytes()
    monkeypatch.delattr(answers, "load_model")
    assert answer(folder, [{"audio": "a.wav"}]).exit_code == 0
    assert (folder / "out.jsonl").read_bytes() == before


def test_a_row_that_fails_in_the_model_fails_alone(folder, monkeypatch):
    before = answers._generate

    def out_of_memory(model, processor, rows, root):
        if any(row["audio"] == "b.flac" for row in rows):
            raise RuntimeError("out of memory")
        before(model, processor, rows, root)

    monkeypatch.setattr(answers, "_generate", out_of_memory)
    assert answer(folder, [{"audio": name} for name in GOOD]).exit_code == 1
    assert [row.get("error") for row in output(folder)] == [None, "out of memory", None, None, None]


@pytest.mark.parametrize("option", [["--empathy"], ["--instruction", "x"], ["--max-new-tokens", "6"]])
def test_an_output_with_other_settings_is_left_as_it_is(folder, option):
    answer(folder, [{"audio": "a.wav"}])
    before = (folder / "out.jsonl").read_bytes()
    one_sentence(answer(folder, [{"audio": "a.wav"}], *option), "of line 1 is")
    assert (folder / "out.jsonl").read_bytes() == before


@pytest.mark.parametrize("text", ["notes of mine", '{"audio": "a.wav"}\n', "[]\n{}\n", '{"line": 1}\n'])
def test_a_file_that_holds_something_else_is_not_overwritten(folder, text):
    (folder / "out.jsonl").write_text(text)
    one_sentence(answer(folder, [{"audio": "a.wav"}]), "not an answer of blsp-generate")
    assert (folder / "out.jsonl").read_text() == text


def test_the_output_cannot_be_the_input(folder):
    (folder / "out.jsonl").symlink_to(folder / "in.jsonl")
    one_sentence(answer(folder, [{"audio": "a.wav"}]), "is the input as well")
    assert (folder / "in.jsonl").read_text() == '{"audio": "a.wav"}\n'


@pytest.mark.parametrize("model", ["gone", "sounds"])
def test_a_model_that_is_not_there_is_one_sentence(folder, model):
    (folder / "sounds").mkdir()
    one_sentence(answer(folder, [{"audio": "a.wav"}], "--model", folder / model), "")
    assert not (folder / "out.jsonl").exists()


def test_a_released_checkpoint_is_converted_once(tmp_path):
    result = run(cli.convert_app, RELEASED, tmp_path / "out")
    assert result.exit_code == 0 and "87 tensors converted, 0 left out" in result.output
    assert BlspEmoProcessor.from_pretrained(tmp_path / "out").speech_token_id == 512
    one_sentence(run(cli.convert_app, RELEASED, tmp_path / "out"), "there already")


def test_an_exported_model_stands_alone_and_answers_alike(folder):
    named, processor = load(folder / "model")
    llm = AutoModelForCausalLM.from_pretrained(folder / "model/llm").bfloat16()
    llm.save_pretrained(folder / "half")
    named.config.llm_name = str(folder / "half")  # a backbone that lies elsewhere
    for part in (named, processor):
        part.save_pretrained(folder / "named")
    assert not (folder / "named/llm").exists()
    result = run(cli.export_app, folder / "named", folder / "exported/mini")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (folder / "exported").iterdir()} == {"mini"}
    weights = "llm/model.safetensors"
    assert (folder / "exported/mini" / weights).stat().st_size < 0.7 * (folder / "model" / weights).stat().st_size
    lines = [generate(folder, *GOOD, model=name).stdout for name in ("named", "exported/mini")]
    assert lines[0] == lines[1]


def test_export_overwrites_nothing_and_leaves_nothing_unfinished(folder):
    before = sorted(folder.iterdir())
    one_sentence(run(cli.export_app, folder / "model", folder / "a.wav"), "exists already")
    assert run(cli.export_app, folder / "gone", folder / "new").exit_code == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("app", ["generate_app", "convert_app", "export_app"])
def test_help_comes_with_examples_and_without_loading_torch_and_the_version_is_shown(app):
    program = f"import sys; sys.argv[0] = 'blsp-x'; from blsp_core.cli import {app} as run"
    shown = "run(standalone_mode=False); print('loaded:', {'torch', 'transformers'} & sys.modules.keys())"
    command = [sys.executable, "-c", f"{program}; {shown}", "--help"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Example" in found and "--version" in found and "--install-completion" in found
    assert found.endswith("loaded: set()\n")
    assert run(getattr(cli, app), "--version").output.startswith("blsp_core 0.")


def test_chat_wants_gradio_a_model_and_for_a_study_its_products(folder, monkeypatch):
    monkeypatch.setattr(cli, "find_root", lambda: folder)
    monkeypatch.setattr(cli, "read_params", lambda root: {"scale": "mini", "evaluation": {"judge": {"model": "toy"}}})
    one_sentence(run(cli.chat_app, "--study"), "whisper does not exist yet; `dvc repro` makes it, or leave out --study")
    one_sentence(run(cli.chat_app, "gone"), "gone: ")
    pages = []
    monkeypatch.setattr("blsp_core.chat.launch", lambda blocks, **how: pages.append(how))
    assert run(cli.chat_app, folder / "model", "--port", 0, "--no-browser").exit_code == 0
    assert pages == [{"host": "127.0.0.1", "port": 0, "browser": False}]
    monkeypatch.setitem(sys.modules, "blsp_core.chat", None)
    monkeypatch.delattr("blsp_core.chat", raising=False)
    one_sentence(run(cli.chat_app), 'run pip install -e ".[chat]"')
