"""Any sound file, or a slice of one, as 16 kHz mono."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from blsp_core.errors import StudyError

SAMPLE_RATE = 16_000
SHORTEST = 0.1  # seconds, of a clip


def load_audio(audio: str | Path, root: str | Path = ".") -> np.ndarray:
    """The waveform as float32 in [-1, 1], mono, 16 kHz, shape (samples,).

    `audio` is a path (wav, flac, ogg, mp3 at any rate, any number of channels), relative ones below `root`, or
    `path:start:frames` for a slice counted in frames of the file. Raises StudyError when the file is missing, is not
    audio, is shorter than the slice, or holds a value that is not finite.
    """
    name, start, frames = split_slice(str(audio))
    path = Path(root) / name
    if not path.is_file():
        raise StudyError(f"{path}: there is no such sound file; check the path in the manifest")
    try:
        sound, rate = soundfile.read(path, frames=frames, start=start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise StudyError(
            f"{path}: not a sound file that can be read ({error}); wanted is wav, flac, ogg or mp3"
        ) from None
    if frames != -1 and len(sound) < frames:
        raise StudyError(f"{path}: {len(sound)} frames from {start} on, but the manifest asks for {frames}")
    bad = int(np.count_nonzero(~np.isfinite(sound)))
    if bad:
        raise StudyError(f"{path}: {bad} of {sound.size} samples are not finite; wanted are numbers, remove the clip")
    mono = sound.mean(axis=1)
    return mono if rate == SAMPLE_RATE else resample(mono, rate)


def resample(sound: np.ndarray, rate: float) -> np.ndarray:
    """Mono sound of any rate (Hz) at 16 kHz, float32."""
    return soxr.resample(sound, rate, SAMPLE_RATE).astype(np.float32)


def split_slice(audio: str) -> tuple[str, int, int]:
    """`path` or `path:start:frames` as (path, start, frames), frames -1 for all."""
    found = re.fullmatch(r"(.+):(\d+):(\d+)", audio, re.ASCII | re.DOTALL)
    return (found[1], int(found[2]), int(found[3])) if found else (audio, 0, -1)


def is_silent(sound: np.ndarray) -> bool:
    """Whether nothing in a waveform is louder than -80 dB below full scale: an empty recording, or two channels that
    cancel each other out."""
    return bool(np.abs(sound).max(initial=0.0) < 1e-4)


def write_corpus(path: str | Path, sounds: Iterable[np.ndarray]) -> list[str]:
    """Write many 16 kHz waveforms into one sound file, one after another; returns the `name:start:frames` slice of
    each. The file appears only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, places, start = path.with_name("part." + path.name), [], 0
    with soundfile.SoundFile(unfinished, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for sound in sounds:
            file.write(sound)
            places.append(f"{path.name}:{start}:{len(sound)}")
            start += len(sound)
    unfinished.replace(path)
    return places
