"""Speakers and prosody of eSpeak NG's speech."""

import random

import numpy as np
import pytest

from blsp_core.data.acoustics import level, pitch
from blsp_core.data.emotions import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE
from blsp_core.toy.domains import DOMAINS
from blsp_core.toy.tts import SPEAKERS, TEST_SPEAKERS, Speaker, speak, speakers_of, start_afresh

TEXT = "my brother will repair the piano at home"


def utterance(emotion: str, seed: int = 1, speaker: Speaker = SPEAKERS["train"][0]):
    return speak(TEXT, speaker, emotion, random.Random(seed))


def test_all_speakers_sound_different_and_an_unknown_voice_is_an_error():
    speakers = [*SPEAKERS["train"], *SPEAKERS["validation"], *speakers_of("test", 1)]
    sounds = {utterance("neutral", speaker=speaker).sound.tobytes() for speaker in speakers}
    assert len(sounds) == len(speakers) == len({speaker.name for speaker in speakers})
    with pytest.raises(StudyError, match="eSpeak NG has no voice 'zz-zz'"):
        utterance("neutral", speaker=Speaker("nobody", "zz-zz"))


def test_speech_is_reproducible_after_a_restart():
    start_afresh()
    first = [utterance(emotion).sound for emotion in EMOTIONS]
    utterance("happy", 5, SPEAKERS["validation"][0])
    start_afresh()
    assert all(np.array_equal(sound, utterance(emotion).sound) for sound, emotion in zip(first, EMOTIONS, strict=True))


def test_emotions_differ_in_mean_loudness_tempo_and_pitch():
    sounds = {emotion: [utterance(emotion, seed).sound for seed in range(6)] for emotion in EMOTIONS}
    loudness, length, height = ({e: np.mean([of(s) for s in sounds[e]]) for e in sounds} for of in (level, len, pitch))
    assert loudness["sad"] < loudness["neutral"] < loudness["angry"]
    assert length["angry"] < length["neutral"] < length["sad"]
    assert height["sad"] < height["neutral"] < height["happy"]


def test_sound_is_mono_16_khz_without_leading_silence_and_has_the_onsets_of_its_words():
    spoken = utterance("neutral")
    sound, (times, places) = spoken.sound, zip(*spoken.words, strict=True)
    assert sound.dtype == np.float32 and sound.ndim == 1 and np.abs(sound).max() <= 1
    assert np.abs(sound[: SAMPLE_RATE // 20]).max() > 0
    assert list(times) == sorted(times) and list(places) == sorted(places)
    assert all(place == 0 or TEXT[place - 1] == " " for place in places)
    assert 0 <= times[0] and 1 < times[-1] < len(sound) / SAMPLE_RATE and len(spoken.phonemes) > len(spoken.words)


def test_test_speakers_are_drawn_by_the_data_seed_and_no_other_split_has_their_voices():
    one, other = (speakers_of("test", seed) for seed in (1, 2))
    assert len(one) == len(other) == TEST_SPEAKERS and one == speakers_of("test", 1) != other
    voices = {speaker.voice for split in SPEAKERS.values() for speaker in split}
    assert not voices & {speaker.voice for speaker in one + other}


def test_domains_differ_in_manner_noise_and_band():
    def spoken(domain):
        return speak(TEXT, SPEAKERS["train"][0], "happy", random.Random(3), DOMAINS[domain]).sound

    acted, talk, requests, statements = map(spoken, ("acted", "talk", "requests", "statements"))
    assert len(talk) < len(acted) < len(statements)

    def above(sound):
        """The share of the power above 4.5 kHz."""
        power = np.abs(np.fft.rfft(sound)) ** 2
        return power[np.arange(len(power)) * SAMPLE_RATE / len(sound) > 4500].sum() / power.sum()

    assert above(requests) < 0.1 * above(talk)
    silence = np.zeros(SAMPLE_RATE)
    noise = {name: DOMAINS[name].record(silence, 0.1, random.Random(1)) for name in ("talk", "statements")}
    assert -45 < level(noise["talk"]) < -32 and not noise["statements"].any()
