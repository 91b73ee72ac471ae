"""Corpora with manifests of your own: what is missing is named, with its source and licence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from blsp_core.data.corpora.custom import bring_corpus, requested
from blsp_core.data.manifest import Utterance, as_row, read_manifest, write_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import load_audio

ROW = Utterance("wav/a.wav", "kids are talking", "angry", "r-1", "actor 1", "en", 0.5, "ravdess", "test")
NOISE = np.random.default_rng(0).normal(0, 0.1, 8000)


def test_its_manifest_is_taken_over_and_its_sound_found_or_what_is_wrong_is_named(tmp_path):
    own, manifest = tmp_path / "own", tmp_path / "own/manifests/ravdess.test.jsonl"
    (own / "wav").mkdir(parents=True)
    soundfile.write(own / ROW.audio, NOISE, 16_000)
    write_manifest(manifest, [ROW, replace(ROW, id="r-2", audio="wav/a.wav:100:4000", duration=0.25)])
    rows, _ = bring_corpus("ravdess", "test", own, tmp_path / "data")
    assert read_manifest(tmp_path / "data/manifests/ravdess.test.jsonl") == rows
    assert [len(load_audio(row.audio, tmp_path / "data")) for row in rows] == [8000, 4000]
    write_manifest(manifest, [ROW, replace(ROW, id="r-2", split="train")])
    with pytest.raises(StudyError, match="line 2: of ravdess, train; wanted is ravdess, test"):
        bring_corpus("ravdess", "test", own, tmp_path)


@pytest.mark.parametrize(
    ("sound", "audio", "duration", "reason"),
    [
        (None, "wav/b.wav", 0.5, "there is no such sound file"),
        (b"", "wav/b.wav", 0.5, "not a sound file that can be read"),
        (b"RIFF and nothing more", "wav/b.wav", 0.5, "not a sound file that can be read"),
        (np.append(NOISE, np.nan), "wav/b.wav", 0.5, "1 of 8001 samples are not finite"),
        (np.append(NOISE, np.inf), "wav/b.wav", 0.5, "1 of 8001 samples are not finite"),
        (np.zeros(8000), "wav/b.wav", 0.5, "is silent, or its channels cancel"),
        (np.stack([NOISE, -NOISE], axis=1), "wav/b.wav", 0.5, "is silent, or its channels cancel"),
        (NOISE[:160], "wav/b.wav", 0.01, "is 0.01 s long; wanted are 0.1 to 30 s"),
        (np.tile(NOISE, 64), "wav/b.wav", 32.0, "is 32.00 s long; wanted are 0.1 to 30 s"),
        (NOISE, "wav/b.wav", 1e4, "is 0.50 s long; duration says 10000.0"),
        (NOISE, "wav/b.wav:7000:4000", 0.25, "1000 frames from 7000 on, but the manifest asks for 4000"),
        (NOISE, "wav/b.wav:9000:4000", 0.25, "b.wav"),
        (NOISE, "wav/b.wav:²:³", 0.5, "there is no such sound file"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named_with_its_line_and_the_reason(tmp_path, sound, audio, duration, reason):
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / ROW.audio, NOISE, 16_000)
    if isinstance(sound, bytes):
        (tmp_path / "wav/b.wav").write_bytes(sound)
    elif sound is not None:
        soundfile.write(tmp_path / "wav/b.wav", sound, 16_000, subtype="FLOAT")
    bad = replace(ROW, id="r-2", audio=audio, duration=duration)
    write_manifest(tmp_path / "manifests/ravdess.test.jsonl", [ROW, bad])
    with pytest.raises(StudyError) as refused:
        bring_corpus("ravdess", "test", tmp_path, tmp_path / "data")
    said = str(refused.value)
    assert "ravdess.test.jsonl, line 2: " in said and reason in said and "1 of 2 rows" in said and "\n" not in said
    assert not (tmp_path / "data/manifests").exists()


def test_a_corpus_that_is_not_there_is_named_with_source_and_licence(tmp_path):
    where = "manifests/iemocap.train.jsonl is not there.*https://sail.usc.edu/iemocap.*licence: by agreement"
    for name, words in (("iemocap", where), ("mine", "get it from its makers")):
        with pytest.raises(StudyError, match=words):
            bring_corpus(name, "train", tmp_path, tmp_path)


def test_good_rows_beside_bad_ones_are_kept_and_the_bad_counted_where_that_is_asked(tmp_path):
    (tmp_path / "own/wav").mkdir(parents=True)
    soundfile.write(tmp_path / "own" / ROW.audio, NOISE, 16_000)
    soundfile.write(tmp_path / "own/wav/silent.wav", NOISE * 0, 16_000)
    good, silent = as_row(ROW), as_row(replace(ROW, id="r-2", audio="wav/silent.wav"))
    lines = [good, {**good, "id": "r-3", "duration": "1.0"}, silent, {**good, "id": "r-4", "split": "train"}, good]
    manifest = tmp_path / "own/manifests/ravdess.test.jsonl"
    manifest.parent.mkdir()
    manifest.write_text("\n".join(["not json", *map(json.dumps, lines)]))
    (wanted,) = requested({"ravdess": {"splits": ["test"], "incomplete": True}})
    rows, faults = bring_corpus(*wanted[:2], tmp_path / "own", tmp_path / "data", wanted[2])
    assert [row.id for row in rows] == [ROW.id] and read_manifest(tmp_path / "data/manifests" / manifest.name) == rows
    assert [fault.partition(": ")[0].rpartition(" ")[2] for fault in faults] == ["1", "3", "6", "4", "5"]
    assert not any(str(tmp_path) in fault for fault in faults)
    assert list(requested({"a": ["train", "test"]})) == [("a", "train", False), ("a", "test", False)]
