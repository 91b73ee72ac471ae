"""`blsp-generate`: JSONL of sounds in, JSONL of replies out."""

import json

import numpy as np
import pytest
import soundfile
from tiny import make_llm, make_model, sound
from typer.testing import CliRunner

from blsp_core.apps import generate
from blsp_core.data import prompts


@pytest.fixture
def folder(processor, tmp_path):
    make_model(processor, llm=make_llm()).export(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    for name, seconds in {
        "a.wav": 1.0,
        "b.flac": 2.0,
        "c.ogg": 0.5,
        "d.mp3": 1.5,
        "long.wav": 11,
        "short.wav": 0.05,
    }.items():
        soundfile.write(tmp_path / name, sound(seconds), 16000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sound(1.0), sound(1.0, 1)], 1), 44100)
    (tmp_path / "text.wav").write_text("no sound")
    return tmp_path


GOOD = ["a.wav", "b.flac", "c.ogg", "d.mp3", "stereo.wav"]


def call(folder, rows, *options):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    places = ["--model", folder / "model", "--input", folder / "in.jsonl", "--output", folder / "out.jsonl"]
    settings = ["--audio-root", folder, "--max-new-tokens", 5, "--batch-size", 2]
    return CliRunner().invoke(generate.app, [str(word) for word in [*places, *settings, *options]])


def output(folder):
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_every_kind_of_sound_is_answered_in_the_order_of_the_input(folder):
    result = call(
        folder,
        [{"audio": name, "emotion": "sad"} for name in GOOD],
        "--instruction",
        "name it: ",
        "--reference-field",
        "emotion",
    )
    assert result.exit_code == 0 and "5 answered, 0 of them before, 0 errors" in result.output
    rows = output(folder)
    assert [row["audio"] for row in rows] == GOOD and [row["line"] for row in rows] == [1, 2, 3, 4, 5]
    assert {row["reference"] for row in rows} == {"sad"} and {row["prompt"] for row in rows} == {"name it: "}
    assert all(isinstance(row["response"], str) for row in rows)


def test_the_system_prompt_and_the_lines_own_instruction_count(folder):
    rows = [{"audio": "a.wav", "instruction": "say: "}, {"audio": "a.wav"}]
    call(folder, rows)
    plain = output(folder)
    (folder / "out.jsonl").unlink()
    call(folder, rows, "--empathy")
    kind = output(folder)
    assert [row["prompt"] for row in plain] == ["say: ", ""]
    assert len({row["response"] for row in plain + kind}) == 4


def test_bad_lines_are_reported_and_stop_nothing(folder):
    rows = [
        {"audio": "a.wav"},
        {"sound": "a.wav"},
        "{",
        {"audio": "gone.wav"},
        {"audio": "text.wav"},
        {"audio": "long.wav"},
        {"audio": "short.wav"},
        {"audio": "b.flac"},
    ]
    result = call(folder, rows)
    assert result.exit_code == 0 and "2 answered, 0 of them before, 6 errors" in result.output
    found = output(folder)
    assert [("response" in row) for row in found] == [True] + [False] * 6 + [True]
    wanted = ["no field audio", "JSON", "no such sound file", "not a sound file", "11.00 s long", "0.05 s long"]
    for row, words in zip(found[1:7], wanted, strict=True):
        assert words in row["error"]


def test_a_half_finished_output_is_gone_on_with(folder, monkeypatch):
    rows = [{"audio": name} for name in GOOD]
    call(folder, rows)
    whole = output(folder)
    lines = (folder / "out.jsonl").read_text().splitlines(keepends=True)
    (folder / "out.jsonl").write_text(lines[3] + lines[1] + lines[0][:20])
    asked = []
    answer = generate._answer
    monkeypatch.setattr(generate, "_answer", lambda m, p, rows, *rest: (asked.extend(rows), answer(m, p, rows, *rest)))
    result = call(folder, rows)
    assert "5 answered, 2 of them before, 0 errors" in result.output
    assert sorted(row["line"] for row in asked) == [1, 3, 5] and output(folder) == whole


def test_what_was_done_is_written_when_the_run_breaks_off(folder, monkeypatch):
    answer, calls = generate._answer, []

    def break_off(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        answer(*arguments)

    monkeypatch.setattr(generate, "_answer", break_off)
    call(folder, [{"audio": name} for name in GOOD])
    assert [row["audio"] for row in output(folder)] == ["stereo.wav", "c.ogg"]  # the shortest batch comes first


def test_an_output_of_another_run_is_left_alone(folder):
    call(folder, [{"audio": "a.wav"}])
    before = (folder / "out.jsonl").read_text()
    result = call(folder, [{"audio": "a.wav"}], "--empathy")
    assert result.exit_code == 1 and "empathy of line 1 is False there and True now" in result.stderr
    assert (folder / "out.jsonl").read_text() == before


def test_a_model_that_is_not_there_is_one_sentence(folder):
    (folder / "model" / "config.json").unlink()
    result = call(folder, [{"audio": "a.wav"}])
    assert result.exit_code == 1 and "not a BLSP-Emo checkpoint" in result.stderr
    assert not (folder / "out.jsonl").exists()


def test_replies_do_not_depend_on_the_batch_size(folder):
    rows = [{"audio": name} for name in GOOD]
    call(folder, rows)
    two = [row["response"] for row in output(folder)]
    (folder / "out.jsonl").unlink()
    call(folder, rows, "--batch-size", "1")
    assert [row["response"] for row in output(folder)] == two


def test_help_shows_both_uses_of_the_paper():
    text = CliRunner().invoke(generate.app, ["--help"]).output
    assert prompts.IDENTIFY.replace("\n", r"\n") in text and "--empathy" in text and "test_alpaca.jsonl" in text
