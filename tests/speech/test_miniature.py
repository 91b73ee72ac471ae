"""The corpora of the miniature: each has the shape of its role, and splits share nothing."""

from collections import Counter

import numpy as np
import pytest

from blsp_core.errors import StudyError
from blsp_core.speech import miniature
from blsp_core.speech.audio import SAMPLE_RATE, load_audio
from blsp_core.speech.manifest import EMOTIONS, read_manifest
from blsp_core.speech.miniature import plan

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("role", miniature.ROLES)
def test_a_plan_follows_from_its_seed_alone(role):
    assert plan(role, "train", 40, 1) == plan(role, "train", 40, 1) != plan(role, "train", 40, 2)
    assert len(plan(role, "train", 40, 1)) == 40


@pytest.mark.parametrize("role", miniature.ROLES)
def test_no_sentence_and_no_voice_is_in_two_splits(role):
    for of in (lambda line: line.sentence.words, lambda line: line.speaker.voice):
        sets = [{of(line) for line in plan(role, split, 200, 1)} for split in SPLITS]
        assert sum(map(len, sets)) == len(set().union(*sets))


def test_tone_and_words_have_nothing_to_do_with_each_other_where_no_cue_says_so():
    cued = [line for line in plan("acted", "train", 600, 1) if line.sentence.cue]
    assert 0.25 < len(cued) / 600 < 0.42
    assert not any(line.sentence.cue for line in plan("statements", "test", 200, 1))


def test_each_role_has_its_shares_of_tones():
    acted = Counter(line.tone for line in plan("acted", "train", 500, 1))
    assert set(acted.values()) == {100}
    statements = Counter(line.tone for line in plan("statements", "test", 90, 1))
    assert statements == {"neutral": 10} | {tone: 20 for tone in EMOTIONS[1:]}
    talk = Counter(line.tone for line in plan("talk", "train", 1000, 1))
    assert talk["neutral"] > 400 and set(talk) == set(EMOTIONS)


def test_every_request_is_spoken_in_four_tones_by_one_voice():
    lines = plan("requests", "test", 40, 1)
    for start in range(0, 40, 4):
        group = lines[start : start + 4]
        assert [line.tone for line in group] == ["neutral", "happy", "sad", "angry"]
        assert len({(line.sentence, line.speaker) for line in group}) == 1 and group[0].sentence.request


def test_a_role_that_is_not_there_is_named():
    with pytest.raises(StudyError, match="no corpus 'opera' in the miniature; there are asr, acted"):
        plan("opera", "test", 4, 1)


def test_a_corpus_does_not_depend_on_who_speaks_which_part(monkeypatch):
    monkeypatch.setattr(miniature, "_BATCH", 3)
    lines = plan("acted", "train", 12, 1)
    alone, shared, again = (miniature.synthesise(lines, 1, workers) for workers in (1, 3, 3))
    for other in (shared, again):
        assert all(np.array_equal(a.sound, b.sound) for a, b in zip(alone, other, strict=True))


def test_a_corpus_is_written_with_its_manifest(tmp_path):
    rows = miniature.build_corpus("acted", "validation", 5, 1, tmp_path)
    assert read_manifest(tmp_path / "manifests/acted.validation.jsonl") == rows
    for row, line in zip(rows, plan("acted", "validation", 5, 1), strict=True):
        assert (row.text, row.emotion, row.speaker) == (line.sentence.text, line.tone, line.speaker.name)
        assert abs(len(load_audio(row.audio, tmp_path)) / SAMPLE_RATE - row.duration) < 1e-3


def test_the_showcase_is_one_request_in_five_tones_by_one_test_voice(tmp_path):
    rows = miniature.build_showcase(1, tmp_path)
    assert read_manifest(tmp_path / "manifests/showcase.jsonl") == rows
    assert [row.emotion for row in rows] == list(EMOTIONS)
    assert len({(row.text, row.speaker) for row in rows}) == 1 and rows[0].split == "test"
