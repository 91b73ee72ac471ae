"""The record of an utterance: written and read back, and every mistake named by its line."""

import json
from dataclasses import asdict

import pytest

from blsp_core.errors import StudyError
from blsp_core.speech.manifest import Utterance, read_jsonl, read_manifest, write_manifest

ROW = Utterance("corpora/a.flac:0:16000", "we saw the dog", "sad", "a-1", "m1", "en", 1.0, "acted", "train")


def test_what_is_written_is_read_back(tmp_path):
    rows = [ROW, Utterance("b.wav", "“Ça va ?” — 😀", "", "b-2", "ю", "fr", 2.5, "cafe", "test")]
    write_manifest(tmp_path / "manifests" / "a.jsonl", rows)
    assert read_manifest(tmp_path / "manifests" / "a.jsonl") == rows
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{not json", "line 2: not a JSON object"),
        (json.dumps(asdict(ROW) | {"emotion": "bored"}), "line 2: emotion 'bored' is outside the set neutral, happy"),
        (json.dumps({k: v for k, v in asdict(ROW).items() if k != "text"}), r"line 2: fields missing .*\['text'\]"),
        (json.dumps(asdict(ROW) | {"mood": "sad"}), r"line 2: fields missing or unknown: \['mood'\]"),
        ("[]", "line 2: fields missing or unknown: no object"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, line, sentence):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(asdict(ROW)) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(StudyError, match=sentence):
        read_manifest(path)


def test_no_manifest_and_an_empty_one_are_errors(tmp_path):
    with pytest.raises(StudyError, match="there is no such manifest; run the pipeline stage"):
        read_manifest(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(StudyError, match="the manifest is empty"):
        read_manifest(tmp_path / "a.jsonl")


def test_a_broken_line_of_any_jsonl_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(StudyError, match="line 2: not a JSON object"):
        read_jsonl(tmp_path / "a.jsonl")
