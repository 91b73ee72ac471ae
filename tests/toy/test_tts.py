"""Speakers and prosody of eSpeak NG's speech."""

import random

import numpy as np
import pytest

from blsp_core.data.acoustics import level, pitch
from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.data.emotions import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.toy.tts import SPEAKERS, Speaker, speak, start_afresh

TEXT = "my brother will repair the piano at home"
SPEAKER = SPEAKERS["train"][0]


def said(emotion: str, seed: int = 1, speaker: Speaker = SPEAKER):
    return speak(TEXT, speaker, emotion, random.Random(seed))


def test_all_speakers_sound_different():
    speakers = [speaker for split in SPEAKERS.values() for speaker in split]
    sounds = {said("neutral", speaker=speaker).sound.tobytes() for speaker in speakers}
    assert len(sounds) == len(speakers) == len({speaker.name for speaker in speakers})


def test_sound_is_mono_16_khz_within_bounds_without_leading_silence():
    sound = said("angry").sound
    assert sound.dtype == np.float32 and sound.ndim == 1 and np.abs(sound).max() <= 1
    assert 1 < len(sound) / SAMPLE_RATE < 6
    assert np.abs(sound[: SAMPLE_RATE // 20]).max() > 0


def test_speech_is_reproducible_after_a_restart():
    start_afresh()
    first = [said(emotion).sound for emotion in EMOTIONS]
    for speaker in SPEAKERS["test"]:
        said("happy", 5, speaker)
    start_afresh()
    again = [said(emotion).sound for emotion in EMOTIONS]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_emotions_differ_in_mean_loudness_tempo_and_pitch():
    sounds = {emotion: [said(emotion, seed).sound for seed in range(6)] for emotion in EMOTIONS}
    loudness = {emotion: np.mean([level(sound) for sound in found]) for emotion, found in sounds.items()}
    length = {emotion: np.mean([len(sound) for sound in found]) for emotion, found in sounds.items()}
    height = {emotion: np.median([pitch(sound) for sound in found]) for emotion, found in sounds.items()}
    assert loudness["sad"] < loudness["neutral"] < loudness["angry"]
    assert length["angry"] < length["neutral"] < length["sad"]
    assert height["sad"] < height["neutral"] < height["happy"]


def test_word_onsets_are_in_order_with_their_positions_in_the_text():
    spoken = said("neutral")
    times, places = zip(*spoken.words, strict=True)
    assert list(times) == sorted(times) and list(places) == sorted(places)
    assert all(place == 0 or TEXT[place - 1] == " " for place in places)
    assert 0 <= times[0] and times[-1] < len(spoken.sound) / SAMPLE_RATE
    assert len(spoken.phonemes) > len(spoken.words)


def test_an_unknown_voice_is_named_in_the_error():
    with pytest.raises(StudyError, match="eSpeak NG has no voice 'zz-zz'"):
        said("neutral", speaker=Speaker("nobody", "zz-zz"))


def test_a_speaker_keeps_name_and_habits_in_another_language():
    abroad = SPEAKER.speaking("el")
    assert (SPEAKER.language, abroad.language, abroad.name, abroad.rate) == ("en", "el", SPEAKER.name, SPEAKER.rate)
    text, pace = "ο αδελφός μου βλέπει το βιβλίο", {}
    for emotion in ("sad", "angry"):
        pace[emotion] = len(speak(text, abroad, emotion, random.Random(1)).sound)
    assert SAMPLE_RATE < pace["angry"] < pace["sad"]
