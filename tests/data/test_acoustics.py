"""Acoustic measures, the linear classifier, and the tables of corpora."""

from dataclasses import replace

import numpy as np
import pytest

from blsp_core.data import acoustics
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE

ROW = Utterance("a.wav", "we saw the dog", "sad", "a-1", "m1", "en", 2.0, "acted", "train")
OTHER = replace(ROW, split="test", speaker="m2", text="they saw the cat")


def voice(hertz: float) -> np.ndarray:
    """A second of a harmonic tone."""
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    return (sum(np.sin(2 * np.pi * k * hertz * times) / k for k in range(1, 6)) / 10).astype(np.float32)


def test_prosody_is_the_level_the_pitch_and_the_rate_of_every_utterance():
    square, noise = np.sign(voice(100)), np.random.default_rng(0).normal(size=SAMPLE_RATE)
    pitches, levels = [80, 120, 200, 350], [0, -20, -120]
    sounds = [*map(voice, pitches), noise, square, 0.1 * square, 0 * square]
    frame = acoustics.prosody([ROW] * len(sounds), sounds)
    assert list(frame["pitch, Hz"][:4]) == pytest.approx(pitches, rel=0.03) and np.isnan(frame["pitch, Hz"][4])
    assert list(frame["level, dB"][5:]) == pytest.approx(levels, abs=0.1)
    assert set(frame["emotion"]) == {"sad"} and set(frame["rate, words/s"]) == {2.0}


def test_the_linear_probe_separates_what_is_separable_and_nothing_else():
    labels = list(EMOTIONS) * 40
    noise = np.random.default_rng(0).normal(size=(200, 8))
    apart = noise + 6 * np.eye(8)[[EMOTIONS.index(name) for name in labels]]
    found = [acoustics.linear_probe((x[:100], labels[:100]), (x[100:], labels[100:]))["ua"] for x in (apart, noise)]
    assert found[0] > 0.95 and found[1] < 0.45


def test_splits_that_share_a_speaker_or_a_sentence_stop_the_study():
    assert acoustics.check_apart([ROW, OTHER])["in another split too"].sum() == 0 and acoustics.check_apart([]).empty
    for shared, words in (({"speaker": "m1"}, "speaker 'm1'"), ({"text": ROW.text}, "text 'we saw the dog'")):
        with pytest.raises(StudyError, match=f"the {words} is in the split train and in another"):
            acoustics.check_apart([ROW, replace(OTHER, **shared)])


def test_an_overview_counts_rows_and_dialogues_by_all_turns_of_the_user():
    row = acoustics.overview([[ROW, replace(ROW, text="another", emotion="happy")]]).iloc[0]
    assert list(row[["utterances", "speakers", "sentences", "sad, %", "happy, %", "angry, %"]]) == [2, 1, 2, 50, 50, 0]
    before = (Turn("user", "they saw the horse", "b.wav", "sad", 1.0), Turn("assistant", "please go on."))
    dialogue = replace(OTHER, text=ROW.text, history=before)
    assert acoustics.overview([[dialogue]]).iloc[0]["hours"] == pytest.approx(3 / 3600, abs=1e-3)
    assert acoustics.check_apart([ROW, dialogue])["in another split too"].sum() == 0
    with pytest.raises(StudyError, match="the text 'they saw the horse / we saw the dog' is in the split train"):
        acoustics.check_apart([replace(ROW, history=before), dialogue])


def test_the_showcase_is_the_sentence_that_a_speaker_says_in_the_most_emotions():
    rows = [replace(ROW, emotion=e, speaker=s) for s, e in (("a", "sad"), ("a", "sad"), ("b", "sad"), ("b", "happy"))]
    chosen = acoustics.one_sentence([*rows, replace(ROW, speaker="b", emotion="angry", text="another")])
    found = [(row.speaker, row.emotion, row.corpus) for row in chosen]
    assert found == [("b", "happy", "showcase"), ("b", "sad", "showcase")]
    assert acoustics.one_sentence([replace(ROW, emotion="")]) == []


def test_utterances_are_classified_by_their_mel_bands(corpus):
    folder, rows = corpus
    low, high = (replace(row, emotion=name) for row, name in ((rows[0], "sad"), (rows[7], "angry")))
    assert acoustics.classify([low, high] * 6, [high, low], folder) == {"sad": 1, "angry": 1, "ua": 1}
