"""The record of an utterance: written and read back, and every mistake named by its line."""

import json
from dataclasses import replace

import pytest

from blsp_core.data.manifest import Turn, Utterance, as_row, of_row, read_jsonl, read_manifest, write_manifest
from blsp_core.errors import StudyError

ROW = Utterance("corpora/a.flac:0:16000", "we saw the dog", "sad", "a-1", "m1", "en", 1.0, "acted", "train")
BEFORE = {"text": "we saw the cat", "audio": "a.flac:5:9", "emotion": "happy", "duration": 0.5}
LATER = replace(ROW, history=(Turn("user", **BEFORE), Turn("assistant", "please go on.")))


def test_what_is_written_is_read_back(tmp_path):
    odd = replace(ROW, text="“Ça va ?” — 😀\u2028next\u2029line\x85\x0c\r\nend", emotion="", speaker="ю")
    write_manifest(tmp_path / "manifests/a.jsonl", [ROW, LATER, odd])
    assert read_manifest(tmp_path / "manifests/a.jsonl") == [ROW, LATER, odd]
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["a.jsonl"]


def test_a_line_has_a_history_where_something_went_before_whose_turns_are_utterances_of_their_own():
    assert "history" not in as_row(ROW)
    assert as_row(LATER)["history"] == [{"role": "user", **BEFORE}, {"role": "assistant", "text": "please go on."}]
    assert of_row({**as_row(LATER), "output": "what a study adds"}) == LATER
    first = replace(ROW, id="a-1#0", **BEFORE)
    assert LATER.turns == [first, "please go on.", ROW]
    assert LATER.spoken == [first, ROW] and ROW.turns == ROW.spoken == [ROW]


def changed(**values) -> str:
    return json.dumps(as_row(ROW) | values)


def earlier(*changes: dict) -> str:
    """A line whose turns before are changed."""
    turns = as_row(LATER)["history"]
    return changed(history=[turn | change for turn, change in zip(turns, changes, strict=False)])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{not json", "line 2: not a JSON object"),
        (changed(emotion="bored"), "line 2: emotion 'bored' is outside the set neutral, happy"),
        (json.dumps({k: v for k, v in as_row(ROW).items() if k != "text"}), r"line 2: fields missing .*\['text'\]"),
        (changed(mood="sad"), r"line 2: fields missing or unknown: \['mood'\]"),
        ("[]", "line 2: fields missing or unknown: not an object"),
        (earlier({"emotion": "bored"}, {}), "line 2, history, turn 0: emotion 'bored' is outside the set"),
        (earlier({}, {"audio": "b.wav"}), r"line 2, history, turn 1: fields missing or unknown: \['audio'\]"),
        (earlier({}), r"line 2: history has the roles \['user'\]; wanted are user and assistant"),
        (changed(history="we saw"), r"line 2: history has the roles \[None\]"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, line, sentence):
    (tmp_path / "a.jsonl").write_text(f"{changed()}\n{line}\n", encoding="utf-8")
    with pytest.raises(StudyError, match=sentence):
        read_manifest(tmp_path / "a.jsonl")


def test_a_byte_order_mark_or_windows_line_ends_are_read_but_no_file_an_empty_or_a_latin_one_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(StudyError, match="there is no such file; run the pipeline stage"):
        read_manifest(path)
    for content, sentence in ((b"", "the manifest is empty"), ("é".encode("latin-1"), "a.jsonl: not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(StudyError, match=sentence):
            read_manifest(path)
    path.write_bytes(b"\xef\xbb\xbf" + f"{changed()}\r\n{changed()}\r\n".encode())
    assert read_manifest(path) == [ROW, ROW]


def test_a_broken_line_is_named_and_ignored_only_at_the_end_of_an_unfinished_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "é"}\n{"a": "é'.encode()[:-1])
    assert read_jsonl(path, unfinished=True) == [{"a": "é"}]
    path.write_text('{"a": 1}\n{"a": \n')
    for unfinished in (False, True):
        with pytest.raises(StudyError, match="line 2: not a JSON object"):
            read_jsonl(path, unfinished)
