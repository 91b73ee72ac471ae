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


def test_its_manifest_is_taken_over_and_its_sound_found_or_what_is_wrong_is_named(tmp_path):
    own, manifest = tmp_path / "own", tmp_path / "own/manifests/ravdess.test.jsonl"
    (own / "wav").mkdir(parents=True)
    soundfile.write(own / ROW.audio, np.zeros(8000), 16_000)
    write_manifest(manifest, [ROW, replace(ROW, id="r-2", audio="wav/a.wav:100:400")])
    rows = bring_corpus("ravdess", "test", own, tmp_path / "data")
    assert read_manifest(tmp_path / "data/manifests/ravdess.test.jsonl") == rows
    assert [len(load_audio(row.audio, tmp_path / "data")) for row in rows] == [8000, 400]
    for change, words in (
        ({"audio": "wav/b.wav"}, "1 sound files are not there, the first is .*wav/b.wav"),
        ({"split": "train"}, "line 2: of ravdess, train; wanted is ravdess, test"),
    ):
        write_manifest(manifest, [ROW, replace(ROW, **change)])
        with pytest.raises(StudyError, match=words):
            bring_corpus("ravdess", "test", own, tmp_path)


def test_a_corpus_that_is_not_there_is_named_with_source_and_licence(tmp_path):
    where = "manifests/iemocap.train.jsonl is not there.*https://sail.usc.edu/iemocap.*licence: by agreement"
    for name, words in (("iemocap", where), ("mine", "get it from its makers")):
        with pytest.raises(StudyError, match=words):
            bring_corpus(name, "train", tmp_path, tmp_path)
