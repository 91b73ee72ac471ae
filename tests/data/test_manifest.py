"""The record of an utterance: written and read back, and every mistake named by its line."""

import json
import pickle
from dataclasses import replace

import pytest
from torch.utils.data import DataLoader

from blsp_core.data import manifest
from blsp_core.data.manifest import JsonlRows, Turn, Utterance, as_row, read_jsonl, read_manifest, write_manifest
from blsp_core.errors import StudyError

ROW = Utterance("corpora/a.flac:0:16000", "we saw the dog", "sad", "a-1", "m1", "en", 1.0, "acted", "train")
BEFORE = {"text": "we saw the cat", "audio": "a.flac:5:9", "emotion": "happy", "duration": 0.5}
LATER = replace(ROW, history=(Turn("user", **BEFORE), Turn("assistant", "please go on.")))


def test_what_is_written_is_read_back(tmp_path):
    odd = replace(ROW, id="a-2", text="“Ça va ?” — 😀\u2028next\u2029line\x85\x0c\r\nend", emotion="", speaker="ю")
    rows = [ROW, replace(LATER, id="a-3"), odd]
    write_manifest(tmp_path / "manifests/a.jsonl", rows)
    assert read_manifest(tmp_path / "manifests/a.jsonl") == rows
    assert list(JsonlRows(tmp_path / "manifests/a.jsonl")) == read_jsonl(tmp_path / "manifests/a.jsonl")
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["a.jsonl"]


def test_a_line_has_a_history_where_something_went_before_whose_turns_are_utterances_of_their_own():
    assert "history" not in as_row(ROW)
    assert as_row(LATER)["history"] == [{"role": "user", **BEFORE}, {"role": "assistant", "text": "please go on."}]
    assert manifest.of_row({**as_row(LATER), "output": "what a study adds"}) == LATER
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
        (changed(text=None), "line 2: text is None; wanted is a text with words"),
        (changed(text=7), "line 2: text is 7; wanted is a text"),
        (changed(text=" "), "line 2: text is ' '; wanted is a text with words"),
        (changed(text="say <|speech|>"), r"line 2: text has <\|speech\|>, a control token"),
        (changed(audio=["a.wav"]), r"line 2: audio is \['a.wav'\]; wanted is a text"),
        (changed(id=""), "line 2: id is ''; wanted is a text that is not empty"),
        (changed(emotion=1), "line 2: emotion is 1; wanted is a text"),
        (changed(duration="1.0"), "line 2: duration is '1.0'; wanted is seconds above 0"),
        (changed(duration=-3), "line 2: duration is -3; wanted is seconds above 0"),
        (changed(duration=float("nan")), "line 2: duration is nan; wanted is seconds above 0"),
        (changed(duration=True), "line 2: duration is True; wanted is seconds above 0"),
        (changed(), "line 2: the id 'a-1' is that of .*line 1 too; wanted is one of its own"),
        ("[]", r"line 2: not a JSON object \(a list\)"),
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
    with pytest.raises(StudyError, match="there is no such file; check its name"):
        read_manifest(path)
    for content, sentence in ((b"", "the manifest is empty"), ("é".encode("latin-1"), "a.jsonl, line 1: not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(StudyError, match=sentence):
            read_manifest(path)
    path.write_bytes(b"\xef\xbb\xbf" + f"{changed()}\r\n{changed(id='a-2')}\r\n".encode())
    assert read_manifest(path) == [ROW, replace(ROW, id="a-2")]


def test_a_broken_line_is_named_and_ignored_only_at_the_end_of_an_unfinished_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "é"}\n{"a": "é'.encode()[:-1])
    assert read_jsonl(path, unfinished=True) == [{"a": "é"}]
    path.write_text('{"a": 1}\n{"a": \n')
    for unfinished in (False, True):
        with pytest.raises(StudyError, match="line 2: not a JSON object"):
            read_jsonl(path, unfinished)


ODD = [{"text": f"row {i}: é\u2028next\u2029line\x85\x0b\x0cend" + "x" * (i % 7 * 99)} for i in range(3000)]


@pytest.fixture
def odd(tmp_path):
    manifest.write_jsonl(tmp_path / "odd.jsonl", ODD)
    return tmp_path / "odd.jsonl"


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("end", [b"\n", b""], ids=["line-feed", "none"])
def test_rows_read_on_demand_are_those_of_the_whole_file(odd, start, end):
    odd.write_bytes(start + odd.read_bytes()[:-1] + end)
    rows = JsonlRows(odd)
    assert len(rows) == len(ODD) and list(rows) == read_jsonl(odd) == ODD
    assert [rows[i] for i in (2999, 0, -1, 7)] == [ODD[i] for i in (2999, 0, -1, 7)]
    assert len(pickle.dumps(rows)) < 9 * len(ODD)  # offsets only
    with pytest.raises(IndexError):
        rows[3000]


def test_rows_are_read_by_forked_workers_and_by_spawned_ones_which_get_them_pickled(odd):
    rows = JsonlRows(odd)
    assert list(DataLoader(rows, batch_size=None, num_workers=2)) == ODD
    assert pickle.loads(pickle.dumps(rows))[2] == ODD[2]


def test_rows_name_a_missing_file_and_a_broken_line_when_it_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(StudyError, match="there is no such file"):
        JsonlRows(path)
    path.write_bytes(b'{"a": 1}\n{"a": \n[2]\n\xff\n')
    rows = JsonlRows(path)
    assert len(rows) == 4 and rows[0] == {"a": 1}
    for index, words in ((1, "line 2: not a JSON object"), (2, r"line 3: .*\(a list\)"), (3, "line 4: not UTF-8")):
        with pytest.raises(StudyError, match=words):
            rows[index]
    for content in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        assert len(JsonlRows(path)) == 0 and read_jsonl(path) == []
