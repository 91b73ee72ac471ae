"""Corpora with manifests of your own: what is missing is named, with its source and licence."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from blsp_core.data.audio import load_audio
from blsp_core.data.corpora.custom import bring_corpus
from blsp_core.data.manifest import Utterance, read_manifest, write_manifest
from blsp_core.errors import StudyError

ROW = Utterance("wav/a.wav", "kids are talking", "angry", "r-1", "actor 1", "en", 0.5, "ravdess", "test")


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own/wav").mkdir(parents=True)
    soundfile.write(tmp_path / "own/wav/a.wav", np.zeros(8000), 16_000)
    return tmp_path / "own"


def test_its_manifest_is_taken_over_and_its_sound_found(own, tmp_path):
    write_manifest(own / "manifests/ravdess.test.jsonl", [ROW, replace(ROW, id="r-2", audio="wav/a.wav:100:400")])
    rows = bring_corpus("ravdess", "test", own, tmp_path / "data")
    assert read_manifest(tmp_path / "data/manifests/ravdess.test.jsonl") == rows
    assert [len(load_audio(row.audio, tmp_path / "data")) for row in rows] == [8000, 400]


def test_a_corpus_that_is_not_there_is_named_with_source_and_licence(own, tmp_path):
    where = "own/manifests/iemocap.train.jsonl.*https://sail.usc.edu/iemocap.*licence: by agreement"
    for name, words in (("iemocap", where), ("mine", "get it from its makers")):
        with pytest.raises(StudyError, match=words):
            bring_corpus(name, "train", own, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"audio": "wav/b.wav"}, "1 sound files are not there, the first is .*wav/b.wav"),
        ({"split": "train"}, "line 2: of ravdess, train; wanted is ravdess, test"),
    ],
)
def test_sound_that_is_not_there_and_a_row_of_another_split_are_named(own, tmp_path, change, words):
    write_manifest(own / "manifests/ravdess.test.jsonl", [ROW, replace(ROW, **change)])
    with pytest.raises(StudyError, match=words):
        bring_corpus("ravdess", "test", own, tmp_path)
