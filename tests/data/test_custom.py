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
    folder = tmp_path / "own"
    (folder / "wav").mkdir(parents=True)
    soundfile.write(folder / "wav/a.wav", np.zeros(8000), 16_000)
    write_manifest(folder / "manifests/ravdess.test.jsonl", [ROW, replace(ROW, id="r-2", audio="wav/a.wav:100:400")])
    return folder


def test_its_manifest_is_taken_over_and_its_sound_found(own, tmp_path):
    rows = bring_corpus("ravdess", "test", own, tmp_path / "data")
    assert read_manifest(tmp_path / "data/manifests/ravdess.test.jsonl") == rows
    assert [len(load_audio(row.audio, tmp_path / "data")) for row in rows] == [8000, 400]


def test_a_corpus_that_is_not_there_is_named_with_source_and_licence(own, tmp_path):
    with pytest.raises(StudyError) as error:
        bring_corpus("iemocap", "train", own, tmp_path)
    for word in ("own/manifests/iemocap.train.jsonl", "https://sail.usc.edu/iemocap", "licence: by agreement"):
        assert word in str(error.value)
    with pytest.raises(StudyError, match="get it from its makers"):
        bring_corpus("mine", "train", own, tmp_path)


def test_sound_that_is_not_there_is_counted_and_the_first_named(own, tmp_path):
    write_manifest(own / "manifests/ravdess.test.jsonl", [ROW, replace(ROW, audio="wav/b.wav")])
    with pytest.raises(StudyError, match="1 sound files are not there, the first is .*wav/b.wav"):
        bring_corpus("ravdess", "test", own, tmp_path)


def test_a_row_of_another_split_is_named_by_its_line(own, tmp_path):
    write_manifest(own / "manifests/ravdess.test.jsonl", [ROW, replace(ROW, split="train")])
    with pytest.raises(StudyError, match="line 2: of ravdess, train; wanted is ravdess, test"):
        bring_corpus("ravdess", "test", own, tmp_path)
