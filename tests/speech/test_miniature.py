"""The corpora of the miniature: each has the shape of its role, and splits share nothing."""

import random
import re
from collections import Counter

import numpy as np
import pytest

from blsp_core.data.audio import SAMPLE_RATE, load_audio
from blsp_core.data.manifest import EMOTIONS, read_manifest
from blsp_core.errors import StudyError
from blsp_core.toy import corpora as miniature
from blsp_core.toy import lexicon
from blsp_core.toy.corpora import Line, plan
from blsp_core.toy.grammar import draw_follow_up, object_of

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("role", miniature.ROLES)
def test_a_plan_follows_from_its_seed_alone(role):
    assert plan(role, "train", 40, 1) == plan(role, "train", 40, 1) != plan(role, "train", 40, 2)
    assert len(plan(role, "train", 40, 1)) == 40


def words(line: Line) -> str:
    return " / ".join(turn.sentence.words for turn in line.spoken)


@pytest.mark.parametrize("role", miniature.ROLES)
def test_no_sentence_and_no_voice_is_in_two_splits(role):
    for of in (words, lambda line: line.speaker.voice):
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


def test_a_dialogue_names_its_object_in_the_first_turn_alone_and_has_one_voice_in_two_tones():
    lines = plan("dialogues", "test", 200, 1)
    for line in lines:
        (first, reply), last = line.earlier, line
        assert object_of(first.sentence.text) == last.sentence.object
        assert object_of(reply) is None and object_of(last.sentence.text) is None
        assert first.speaker == last.speaker
    assert set(Counter(line.tone for line in lines).values()) == {40}
    tones = Counter((line.earlier[0].tone, line.tone) for line in lines)
    assert len(tones) == 25 and max(tones.values()) < 25


def test_what_is_said_in_a_dialogues_last_turn_is_made_of_words_that_are_spoken_elsewhere():
    spoken = [*lexicon.SHAPES_STATEMENT, *lexicon.SHAPES_REQUEST, *lexicon.MOMENTS]
    spoken += [cue for cues in lexicon.CUES.values() for cue in cues]
    asked = {word for text in lexicon.SHAPES_FOLLOW_UP for word in text.split()} - {"{where}"}
    assert asked <= set(" ".join(spoken).split())


def test_a_follow_up_of_the_test_split_is_never_asked_in_training():
    asked = {split: {draw_follow_up(random.Random(i), split).words for i in range(2000)} for split in ("train", "test")}
    assert not asked["train"] & asked["test"] and len(asked["test"]) >= 8


def test_what_the_whisper_learns_from_has_follow_ups_and_other_languages_of_its_own_split():
    lines = plan("broad", "train", 700, 1)
    assert all(line.sentence.split == "train" for line in lines)
    assert 0.05 < sum(not line.sentence.object and line.speaker.language == "en" for line in lines) / 700 < 0.12
    foreign = Counter(line.speaker.language for line in lines)
    assert set(foreign) == {"en", "el", "fr", "ru"} and 0.12 < 1 - foreign["en"] / 700 < 0.16


def test_in_the_control_the_voice_tells_nothing_of_the_label_and_a_cue_does():
    lines = plan("control", "test", 1000, 1)
    assert set(Counter(line.label for line in lines).values()) == {200}
    assert 0.15 < sum(line.tone == line.label for line in lines) / 1000 < 0.25
    cued = [line for line in lines if line.sentence.cue]
    assert 0.28 < len(cued) / 1000 < 0.39
    assert all(line.sentence.cue in lexicon.CUES[line.label] for line in cued)


@pytest.mark.parametrize(
    ("corpus", "code", "tones", "script"),
    [
        ("greek", "el", {"happy", "sad", "angry"}, "α-ωά-ώ"),
        ("french", "fr", set(EMOTIONS), "a-zàèéêœ'"),
        ("russian", "ru", {"neutral", "happy", "sad", "angry"}, "а-яё"),
    ],
)
def test_a_foreign_corpus_has_the_tones_of_its_role_and_many_sentences_in_its_script(corpus, code, tones, script):
    lines = plan(corpus, "test", 300, 1)
    assert {line.tone for line in lines} == tones and len({line.sentence.text for line in lines}) > 100
    assert all(re.fullmatch(f"[{script} ]+", line.sentence.text) for line in lines)
    bodies = {line.speaker.voice.partition("+")[2] for line in lines}
    assert {line.speaker.language for line in lines} == {code}
    assert bodies == {line.speaker.voice.partition("+")[2] for line in plan("acted", "test", 300, 1)}


def test_a_role_that_is_not_there_is_named():
    with pytest.raises(StudyError, match="no corpus 'opera' in the miniature; there are asr, broad, acted"):
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


def test_a_dialogue_is_written_with_the_sound_of_all_its_turns(tmp_path):
    rows = miniature.build_corpus("dialogues", "validation", 3, 1, tmp_path)
    assert read_manifest(tmp_path / "manifests/dialogues.validation.jsonl") == rows
    for row, line in zip(rows, plan("dialogues", "validation", 3, 1), strict=True):
        assert [turn.role for turn in row.history] == ["user", "assistant"] and row.history[1].text == line.earlier[1]
        for heard, spoken in zip(row.spoken, line.spoken, strict=True):
            assert (heard.text, heard.emotion) == (spoken.sentence.text, spoken.tone)
            assert abs(len(load_audio(heard.audio, tmp_path)) / SAMPLE_RATE - heard.duration) < 1e-3
    assert len({turn.audio for row in rows for turn in row.spoken}) == 6


def test_the_controls_manifest_tells_the_label_and_not_the_voice(tmp_path):
    rows = miniature.build_corpus("control", "validation", 5, 1, tmp_path)
    assert [row.emotion for row in rows] == list(EMOTIONS)
    assert [line.tone for line in plan("control", "validation", 5, 1)] != list(EMOTIONS)


def test_a_foreign_manifest_tells_its_language(tmp_path):
    (row,) = miniature.build_corpus("greek", "test", 1, 1, tmp_path)
    assert (row.language, row.corpus) == ("el", "greek") and row.duration > 0.5


def test_the_showcase_is_one_request_in_five_tones_by_one_test_voice(tmp_path):
    rows = miniature.build_showcase(1, tmp_path)
    assert read_manifest(tmp_path / "manifests/showcase.jsonl") == rows
    assert [row.emotion for row in rows] == list(EMOTIONS)
    assert len({(row.text, row.speaker) for row in rows}) == 1 and rows[0].split == "test"
