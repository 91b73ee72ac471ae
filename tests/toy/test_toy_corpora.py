"""The toy corpora: each has the proportions of its role, and splits are disjoint."""

import re
from collections import Counter

import numpy as np
import pytest

from blsp_core.data.audio import SAMPLE_RATE, load_audio
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import read_manifest
from blsp_core.errors import StudyError
from blsp_core.toy import corpora, lexicon
from blsp_core.toy.corpora import Line, plan
from blsp_core.toy.grammar import object_of

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("role", corpora.ROLES)
def test_a_plan_depends_on_its_seed_alone(role):
    assert plan(role, "train", 40, 1) == plan(role, "train", 40, 1) != plan(role, "train", 40, 2)
    assert len(plan(role, "train", 40, 1)) == 40


def words(line: Line) -> str:
    return " / ".join(turn.sentence.words for turn in line.spoken)


@pytest.mark.parametrize("role", corpora.ROLES)
def test_no_sentence_and_no_voice_is_in_two_splits(role):
    for of in (words, lambda line: line.speaker.voice):
        sets = [{of(line) for line in plan(role, split, 200, 1)} for split in SPLITS]
        assert sum(map(len, sets)) == len(set().union(*sets))


def test_emotions_have_the_shares_of_the_role():
    acted = Counter(line.emotion for line in plan("acted", "train", 500, 1))
    assert set(acted.values()) == {100}
    statements = Counter(line.emotion for line in plan("statements", "test", 90, 1))
    assert statements == {"neutral": 10} | {emotion: 20 for emotion in EMOTIONS[1:]}
    talk = Counter(line.emotion for line in plan("talk", "train", 1000, 1))
    assert talk["neutral"] > 400 and set(talk) == set(EMOTIONS)


def test_every_request_is_spoken_in_four_emotions_by_one_speaker():
    lines = plan("requests", "test", 40, 1)
    for start in range(0, 40, 4):
        group = lines[start : start + 4]
        assert [line.emotion for line in group] == ["neutral", "happy", "sad", "angry"]
        assert len({(line.sentence, line.speaker) for line in group}) == 1 and group[0].sentence.request


def test_a_dialogue_names_its_object_once_and_has_one_speaker_and_independent_emotions():
    lines = plan("dialogues", "test", 200, 1)
    for line in lines:
        first, reply = line.earlier
        assert object_of(first.text) == line.sentence.object
        assert object_of(reply) is None and object_of(line.text) is None
        assert first.speaker == line.speaker
    assert set(Counter(line.emotion for line in lines).values()) == {40}
    emotions = Counter((line.earlier[0].emotion, line.emotion) for line in lines)
    assert len(emotions) == 25 and max(emotions.values()) < 25


def test_the_whispers_data_has_follow_ups_and_foreign_sentences_of_its_split():
    lines = plan("broad", "train", 700, 1)
    assert all(line.sentence.split == "train" for line in lines)
    assert 0.05 < sum(not line.sentence.object and line.speaker.language == "en" for line in lines) / 700 < 0.12
    foreign = Counter(line.speaker.language for line in lines)
    assert set(foreign) == {"en", "el", "fr", "ru"} and 0.12 < 1 - foreign["en"] / 700 < 0.16


def test_in_the_control_the_prosody_is_independent_of_the_label_and_the_cue_agrees_with_it():
    lines = plan("control", "test", 500, 1)
    assert set(Counter(line.label for line in lines).values()) == {100}
    assert 60 < sum(line.label == line.emotion for line in lines) < 140
    cued = [line for line in lines if line.sentence.cue]
    assert len(cued) > 100 and all(line.sentence.cue in lexicon.CUES[line.label] for line in cued)


@pytest.mark.parametrize(
    ("corpus", "code", "emotions", "script"),
    [
        ("greek", "el", {"happy", "sad", "angry"}, "α-ωά-ώ"),
        ("french", "fr", set(EMOTIONS), "a-zàèéêœ'"),
        ("russian", "ru", {"neutral", "happy", "sad", "angry"}, "а-яё"),
    ],
)
def test_a_foreign_corpus_has_the_emotions_of_its_role_and_many_sentences(corpus, code, emotions, script):
    lines = plan(corpus, "test", 300, 1)
    assert {line.emotion for line in lines} == emotions and len({line.text for line in lines}) > 100
    assert all(re.fullmatch(f"[{script} ]+", line.text) for line in lines)
    variants = {line.speaker.voice.partition("+")[2] for line in lines}
    assert {line.speaker.language for line in lines} == {code}
    assert variants == {line.speaker.voice.partition("+")[2] for line in plan("acted", "test", 300, 1)}


def test_an_unknown_corpus_is_named_in_the_error():
    with pytest.raises(StudyError, match="no corpus 'opera' in the miniature; there are asr, broad, acted"):
        plan("opera", "test", 4, 1)


def test_the_sound_does_not_depend_on_the_number_of_processes(monkeypatch):
    monkeypatch.setattr(corpora, "_BATCH", 3)
    lines = plan("acted", "train", 12, 1)
    alone, shared = (corpora.synthesise(lines, 1, workers) for workers in (1, 3))
    assert all(np.array_equal(a.sound, b.sound) for a, b in zip(alone, shared, strict=True))


def test_at_most_omp_num_threads_processes_synthesise(monkeypatch):
    counts = []

    class Pool(corpora.ProcessPoolExecutor):
        def __init__(self, workers):
            counts.append(workers)
            super().__init__(1)

    monkeypatch.setattr(corpora, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(corpora.os, "cpu_count", lambda: 8)
    for threads in ("2", "99", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        corpora.synthesise(plan("acted", "test", 1, 1), 1)
    assert counts == [2, 8, 8]


def test_a_corpus_is_written_with_its_manifest(tmp_path):
    rows = corpora.build_corpus("acted", "validation", 5, 1, tmp_path)
    assert read_manifest(tmp_path / "manifests/acted.validation.jsonl") == rows
    for row, line in zip(rows, plan("acted", "validation", 5, 1), strict=True):
        assert (row.text, row.emotion, row.speaker) == (line.text, line.emotion, line.speaker.name)
        assert abs(len(load_audio(row.audio, tmp_path)) / SAMPLE_RATE - row.duration) < 1e-3


def test_a_dialogue_is_written_with_the_sound_of_all_its_spoken_turns(tmp_path):
    rows = corpora.build_corpus("dialogues", "validation", 3, 1, tmp_path)
    assert read_manifest(tmp_path / "manifests/dialogues.validation.jsonl") == rows
    for row, line in zip(rows, plan("dialogues", "validation", 3, 1), strict=True):
        assert [turn.role for turn in row.history] == ["user", "assistant"] and row.history[1].text == line.earlier[1]
        for turn, spoken in zip(row.spoken, line.spoken, strict=True):
            assert (turn.text, turn.emotion) == (spoken.text, spoken.emotion)
            assert abs(len(load_audio(turn.audio, tmp_path)) / SAMPLE_RATE - turn.duration) < 1e-3
    assert len({turn.audio for row in rows for turn in row.spoken}) == 6


def test_the_showcase_is_one_request_in_five_emotions_by_one_test_speaker(tmp_path):
    rows = corpora.build_showcase(1, tmp_path)
    assert read_manifest(tmp_path / "manifests/showcase.jsonl") == rows
    assert [row.emotion for row in rows] == list(EMOTIONS)
    assert len({(row.text, row.speaker) for row in rows}) == 1 and rows[0].split == "test"
