"""Voices and tones: what eSpeak NG says for the miniature."""

import random

import numpy as np
import pytest

from blsp_core.data.acoustics import level, pitch
from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.data.manifest import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.toy.tts import SPEAKERS, Speaker, speak, start_afresh

TEXT = "my brother will repair the piano at home"
SPEAKER = SPEAKERS["train"][0]


def said(tone: str, seed: int = 1, speaker: Speaker = SPEAKER):
    return speak(TEXT, speaker, tone, random.Random(seed))


def test_every_speaker_can_speak_and_no_two_sound_alike():
    speakers = [speaker for split in SPEAKERS.values() for speaker in split]
    sounds = {said("neutral", speaker=speaker).sound.tobytes() for speaker in speakers}
    assert len(sounds) == len(speakers) == len({speaker.name for speaker in speakers})


def test_no_voice_is_in_two_splits():
    voices = [{speaker.voice for speaker in split} for split in SPEAKERS.values()]
    assert sum(map(len, voices)) == len(set().union(*voices))


def test_sound_is_mono_16_khz_within_bounds_and_begins_at_once():
    sound = said("angry").sound
    assert sound.dtype == np.float32 and sound.ndim == 1 and np.abs(sound).max() <= 1
    assert 1 < len(sound) / SAMPLE_RATE < 6
    assert np.abs(sound[: SAMPLE_RATE // 20]).max() > 0


def test_after_a_fresh_start_the_same_is_said_again():
    start_afresh()
    first = [said(tone).sound for tone in EMOTIONS]
    for speaker in SPEAKERS["test"]:
        said("happy", 5, speaker)
    start_afresh()
    again = [said(tone).sound for tone in EMOTIONS]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_same_tone_is_never_said_twice_in_the_same_way():
    assert not np.array_equal(said("happy", 1).sound, said("happy", 2).sound)


def test_tones_differ_as_they_should_on_average():
    sounds = {tone: [said(tone, seed).sound for seed in range(6)] for tone in EMOTIONS}
    loudness = {tone: np.mean([level(sound) for sound in found]) for tone, found in sounds.items()}
    length = {tone: np.mean([len(sound) for sound in found]) for tone, found in sounds.items()}
    height = {tone: np.median([pitch(sound) for sound in found]) for tone, found in sounds.items()}
    assert loudness["sad"] < loudness["neutral"] < loudness["angry"]
    assert length["angry"] < length["neutral"] < length["sad"]
    assert height["sad"] < height["neutral"] < height["happy"]


def test_words_begin_in_order_at_their_places_in_the_text():
    spoken = said("neutral")
    times, places = zip(*spoken.words, strict=True)
    assert list(times) == sorted(times) and list(places) == sorted(places)
    assert all(place == 0 or TEXT[place - 1] == " " for place in places)
    assert 0 <= times[0] and times[-1] < len(spoken.sound) / SAMPLE_RATE
    assert len(spoken.phonemes) > len(spoken.words)


def test_a_voice_that_is_not_there_is_named():
    with pytest.raises(StudyError, match="eSpeak NG has no voice 'zz-zz'"):
        said("neutral", speaker=Speaker("nobody", "zz-zz"))


def test_a_speaker_keeps_body_and_habits_in_another_language():
    abroad = SPEAKER.speaking("el")
    assert (SPEAKER.language, abroad.language, abroad.name, abroad.rate) == ("en", "el", SPEAKER.name, SPEAKER.rate)
    text, pace = "ο αδελφός μου βλέπει το βιβλίο", {}
    for tone in ("sad", "angry"):
        pace[tone] = len(speak(text, abroad, tone, random.Random(1)).sound)
    assert SAMPLE_RATE < pace["angry"] < pace["sad"]
