"""The toy corpora: each has the proportions of its role, and splits are disjoint."""

import re
from collections import Counter

import pytest

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import read_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, load_audio
from blsp_core.toy import corpora, lexicon
from blsp_core.toy.corpora import plan
from blsp_core.toy.grammar import object_of


def emotions_of(lines) -> Counter:
    return Counter(line.emotion for line in lines)


@pytest.mark.parametrize("role", corpora.ROLES)
def test_a_plan_depends_on_its_seed_and_no_sentence_and_no_voice_is_in_two_splits(role):
    plans = [plan(role, split, 200, 1) for split in ("train", "validation", "test")]
    assert plans[0] == plan(role, "train", 200, 1) != plan(role, "train", 200, 2) and len(plans[0]) == 200
    for of in lambda line: [turn.sentence.words for turn in line.spoken], lambda line: line.speaker.voice:
        sets = [{str(of(line)) for line in lines} for lines in plans]
        assert sum(map(len, sets)) == len(set().union(*sets))


def test_an_unknown_corpus_is_named_in_the_error():
    with pytest.raises(StudyError, match="no corpus 'opera' in the miniature; there are asr, broad, acted"):
        plan("opera", "test", 4, 1)


def test_emotions_have_the_shares_of_the_role():
    assert emotions_of(plan("acted", "train", 500, 1)) == dict.fromkeys(EMOTIONS, 100)
    statements = emotions_of(plan("statements", "test", 90, 1))
    assert statements == {"neutral": 10} | {emotion: 20 for emotion in EMOTIONS[1:]}
    talk = emotions_of(plan("talk", "train", 1000, 1))
    assert talk["neutral"] > 400 and set(talk) == set(EMOTIONS)
    assert emotions_of(plan("greek", "test", 30, 1)) == {"happy": 10, "sad": 10, "angry": 10}


def test_every_request_is_spoken_in_four_emotions_by_one_speaker():
    lines = plan("requests", "test", 40, 1)
    for group in (lines[start : start + 4] for start in range(0, 40, 4)):
        assert [line.emotion for line in group] == ["neutral", "happy", "sad", "angry"]
        assert len({(line.sentence, line.speaker) for line in group}) == 1 and group[0].sentence.request


def test_a_dialogue_names_its_object_once_and_has_one_speaker_and_independent_emotions():
    lines = plan("dialogues", "test", 200, 1)
    for line in lines:
        first, reply = line.earlier
        assert [object_of(text) for text in (first.text, reply, line.text)] == [line.sentence.object, None, None]
        assert first.speaker == line.speaker
    assert emotions_of(lines) == dict.fromkeys(EMOTIONS, 40)
    pairs = Counter((line.earlier[0].emotion, line.emotion) for line in lines)
    assert len(pairs) == 25 and max(pairs.values()) < 25


def test_the_whispers_data_has_follow_ups_and_foreign_sentences():
    lines = plan("broad", "train", 700, 1)
    assert 0.05 < sum(not line.sentence.object and line.speaker.language == "en" for line in lines) / 700 < 0.12
    languages = Counter(line.speaker.language for line in lines)
    assert set(languages) == {"en", "el", "fr", "ru"} and 0.12 < 1 - languages["en"] / 700 < 0.16


def test_in_the_control_the_prosody_is_independent_of_the_label_and_the_cue_agrees_with_it():
    lines = plan("control", "test", 500, 1)
    assert Counter(line.label for line in lines) == dict.fromkeys(EMOTIONS, 100)
    assert 60 < sum(line.label == line.emotion for line in lines) < 140
    cued = [line for line in lines if line.sentence.cue]
    assert len(cued) > 100 and all(line.sentence.cue in lexicon.CUES[line.label] for line in cued)


SCRIPTS = [("greek", "el", "α-ωά-ώ"), ("french", "fr", "a-zàèéêœ'"), ("russian", "ru", "а-яё")]


@pytest.mark.parametrize("corpus, code, script", SCRIPTS)
def test_a_foreign_corpus_is_in_its_language_by_the_speakers_of_the_english_ones(corpus, code, script):
    lines = plan(corpus, "test", 300, 1)
    assert len({line.text for line in lines}) > 100 and {line.speaker.language for line in lines} == {code}
    assert all(re.fullmatch(f"[{script} ]+", line.text) for line in lines)
    ours, english = ({x.speaker.voice.partition("+")[2] for x in of} for of in (lines, plan("acted", "test", 300, 1)))
    assert ours == english


def test_the_sound_does_not_depend_on_the_number_of_processes(monkeypatch):
    counts, pool, lines, found = [], corpora.ProcessPoolExecutor, plan("acted", "train", 12, 1), []
    monkeypatch.setattr(corpora, "_BATCH", 3)
    monkeypatch.setattr(corpora, "ProcessPoolExecutor", lambda workers: counts.append(workers) or pool(workers))
    for cores in (1, 3):
        monkeypatch.setattr(corpora, "core_count", lambda cores=cores: cores)
        found.append([spoken.sound.tobytes() for spoken in corpora.synthesise(lines, 1)])
    assert counts == [1, 3] and found[0] == found[1]


@pytest.mark.parametrize("role", ["acted", "dialogues"])
def test_a_corpus_is_written_with_the_sound_of_all_its_spoken_turns(role, tmp_path):
    rows, lines = corpora.build_corpus(role, "validation", 3, 1, tmp_path), plan(role, "validation", 3, 1)
    assert read_manifest(tmp_path / f"manifests/{role}.validation.jsonl") == rows
    for row, line in zip(rows, lines, strict=True):
        replies = [turn.text for turn in row.history if turn.role == "assistant"]
        assert row.speaker == line.speaker.name and replies == list(line.earlier[1:])
        for turn, spoken in zip(row.spoken, line.spoken, strict=True):
            assert (turn.text, turn.emotion) == (spoken.text, spoken.emotion)
            assert abs(len(load_audio(turn.audio, tmp_path)) / SAMPLE_RATE - turn.duration) < 1e-3
    assert len({turn.audio for row in rows for turn in row.spoken}) == sum(len(line.spoken) for line in lines)


def test_the_showcase_is_one_request_in_five_emotions_by_one_test_speaker(tmp_path):
    rows = corpora.build_showcase(1, tmp_path)
    assert [row.emotion for row in rows] == list(EMOTIONS) and (tmp_path / "manifests/showcase.jsonl").is_file()
    assert len({(row.text, row.speaker) for row in rows}) == 1 and rows[0].split == "test"


def test_sentences_of_a_text_file_are_spoken_in_place_of_the_grammars(tmp_path):
    path = tmp_path / "some.trans.txt"
    path.write_text("".join(f"84-121-{n:04} THE CAT NUMBER {n}\n" for n in range(60)) + "A plain line.\n\n")
    plans = {split: plan("asr", split, 4, 1, path) for split in ("train", "validation", "test")}
    texts = [line.text for lines in plans.values() for line in lines]
    assert len(set(texts)) == 12 and all(re.match("The cat number [0-9]+$|A plain line.$", text) for text in texts)
    again = plan("asr", "train", 100, 1, path)
    assert len({line.text for line in again}) < 61 < 90 < len({(line.text, line.speaker) for line in again})
    with pytest.raises(StudyError, match="some.trans.txt: has [0-9]+ sentences for validation, and asr is to have 40"):
        plan("asr", "validation", 40, 1, path)


def test_a_corpus_with_too_few_utterances_for_its_emotions_is_refused():
    with pytest.raises(StudyError, match="data.synthesise.requests: validation is 2, which is less than one for each"):
        plan("requests", "validation", 2, 1)
    assert plan("requests", "validation", 0, 1) == []


def test_contradictions_are_clips_of_the_control_whose_cue_is_not_the_emotion_of_the_voice(tmp_path):
    found = corpora.contradictions("control", "test", 30, 3)
    lines = {f"control-test-{number:05d}": line for number, line in enumerate(plan("control", "test", 30, 3))}
    assert found and all(lines[name].sentence.cue in lexicon.CUES[two["words"]] for name, two in found.items())
    assert all(lines[name].emotion == two["voice"] != two["words"] for name, two in found.items())
    rows = {row.id: row.emotion for row in corpora.build_corpus("control", "test", 30, 3, tmp_path)}
    assert all(rows[name] == two["words"] for name, two in found.items())
    assert corpora.contradictions("acted", "test", 30, 3) == {}
