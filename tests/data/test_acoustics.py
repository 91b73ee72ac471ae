"""Acoustic measures, the linear classifier, and the tables of corpora."""

from dataclasses import replace

import numpy as np
import pytest

from blsp_core.data import acoustics
from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance
from blsp_core.errors import StudyError

ROW = Utterance("a.wav", "we saw the dog", "sad", "a-1", "m1", "en", 2.0, "acted", "train")


def voice(hertz: float, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (sum(np.sin(2 * np.pi * k * hertz * times) / k for k in range(1, 6)) / 10).astype(np.float32)


@pytest.mark.parametrize("hertz", [80, 120, 200, 350])
def test_pitch_is_that_of_the_voice(hertz):
    assert acoustics.pitch(voice(hertz)) == pytest.approx(hertz, rel=0.03)


def test_noise_has_no_pitch():
    assert np.isnan(acoustics.pitch(np.random.default_rng(0).normal(size=SAMPLE_RATE)))


def test_level_is_in_decibels_of_full_scale():
    square = np.sign(voice(100))
    assert acoustics.level(square) == pytest.approx(0, abs=0.1)
    assert acoustics.level(0.1 * square) == pytest.approx(-20, abs=0.1)
    assert np.isfinite(acoustics.level(np.zeros(1000)))


def test_prosody_has_a_row_for_every_utterance():
    frame = acoustics.prosody([ROW, ROW], [voice(100), voice(200)])
    assert list(frame["emotion"]) == ["sad", "sad"] and list(frame["rate, words/s"]) == [2.0, 2.0]


def test_the_linear_probe_separates_what_is_separable_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = list(EMOTIONS) * 40
    noise = rng.normal(size=(200, 8))
    apart = noise + 6 * np.eye(8)[[EMOTIONS.index(name) for name in labels]]
    assert acoustics.linear_probe((apart[:100], labels[:100]), (apart[100:], labels[100:]))["ua"] > 0.95
    assert acoustics.linear_probe((noise[:100], labels[:100]), (noise[100:], labels[100:]))["ua"] < 0.45


def test_an_overview_counts_what_is_there():
    row = acoustics.overview([[ROW, replace(ROW, text="another", emotion="happy")]]).iloc[0]
    assert (row["utterances"], row["speakers"], row["sentences"]) == (2, 1, 2)
    assert (row["sad, %"], row["happy, %"], row["angry, %"]) == (50, 50, 0)


def test_splits_that_share_a_speaker_or_a_sentence_stop_the_study():
    other = replace(ROW, split="test", speaker="m2", text="they saw the cat")
    assert acoustics.check_apart([ROW, other])["in another split too"].sum() == 0
    with pytest.raises(StudyError, match="the speaker 'm1' is in the split train and in another"):
        acoustics.check_apart([ROW, replace(other, speaker="m1")])
    with pytest.raises(StudyError, match="the text 'we saw the dog' is in the split train and in another"):
        acoustics.check_apart([ROW, replace(other, text=ROW.text)])


def test_dialogues_are_compared_by_all_turns_of_the_user():
    before = (Turn("user", "they saw the horse", "b.wav", "sad", 1.0), Turn("assistant", "please go on."))
    other = replace(ROW, split="test", speaker="m2", history=before)
    assert acoustics.check_apart([ROW, other])["in another split too"].sum() == 0
    with pytest.raises(StudyError, match="the text 'they saw the horse / we saw the dog' is in the split train"):
        acoustics.check_apart([replace(ROW, history=before), other])
    assert acoustics.overview([[other]]).iloc[0]["hours"] == pytest.approx(3 / 3600, abs=1e-3)


def test_the_showcase_is_the_sentence_that_a_speaker_says_in_the_most_emotions():
    rows = [replace(ROW, emotion=e, speaker=s) for s, e in (("a", "sad"), ("a", "sad"), ("b", "sad"), ("b", "happy"))]
    chosen = acoustics.one_sentence([*rows, replace(ROW, speaker="b", emotion="angry", text="another")])
    assert [(row.speaker, row.emotion, row.corpus) for row in chosen] == [
        ("b", "happy", "showcase"),
        ("b", "sad", "showcase"),
    ]
    assert acoustics.one_sentence([replace(ROW, emotion="")]) == []


def test_utterances_are_classified_by_their_mel_bands(corpus):
    folder, rows = corpus
    low, high = (replace(row, emotion=name) for row, name in ((rows[0], "sad"), (rows[7], "angry")))
    assert acoustics.classify([low, high] * 6, [high, low], folder) == {"sad": 1, "angry": 1, "ua": 1}
