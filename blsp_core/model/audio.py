"""Any sound file, or a slice of one, as 16 kHz mono."""

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname, urlopen

import numpy as np
import soundfile
import soxr

from blsp_core.errors import StudyError, refused

SAMPLE_RATE = 16_000
SHORTEST = 0.1  # seconds, of a clip


def load_audio(audio: str | Path, root: str | Path = ".") -> np.ndarray:
    """The waveform as float32 in [-1, 1], mono, 16 kHz, shape (samples,).

    `audio` is a path (wav, flac, ogg, mp3 at any rate, any number of channels), relative ones below `root`, a file://
    or http(s):// URL, or one of these as `name:start:frames`, a slice counted in frames of the file. Raises StudyError
    when the file is missing, cut off, not audio, shorter than the slice, or holds a value that is not finite.
    """
    path, start, frames = split_slice(str(audio))
    if path.startswith(("http://", "https://")):
        with refused(f"{path}: cannot be fetched; check the address"), urlopen(path, timeout=60) as answer:
            source = io.BytesIO(answer.read())
    else:
        local = url2pathname(urlparse(path).path) if path.startswith("file://") else path
        source = path = Path(root) / local
        if not local or os.path.isdir(path):
            raise StudyError(f"{local or 'audio'}: is {'a folder' if local else 'empty'}; wanted is a sound file")
        if not os.path.isfile(path):  # False for a name that no file can have
            raise StudyError(f"{path}: there is no such sound file; check the path, in a manifest the field `audio`")
    with refused(f"{path}: not a sound file that can be read; wanted is wav, flac, ogg or mp3"):
        with soundfile.SoundFile(source) as file:
            rate, notes = file.samplerate, file.extra_info
            if start:
                file.seek(start)
            sound = file.read(frames, dtype="float32", always_2d=True)
    if cut := re.search(r"^data : (\d{1,9}) \(should be (\d+)\)", notes, re.MULTILINE):  # more digits: of a stream
        if int(cut[2]) < int(cut[1]):
            raise StudyError(f"{path}: cut off after {cut[2]} of {cut[1]} bytes of sound; copy or fetch it again")
    if frames != -1 and len(sound) < frames:
        raise StudyError(f"{path}: {len(sound)} frames from {start} on, but the manifest asks for {frames}")
    bad = int(np.count_nonzero(~np.isfinite(sound)))
    if bad:
        raise StudyError(f"{path}: {bad} of {sound.size} samples are not finite; wanted are numbers, remove the clip")
    loudest = float(np.abs(sound).max(initial=0.0))
    if loudest > 4:
        raise StudyError(f"{path}: samples go up to {loudest:g}; wanted is sound within [-1, 1]: scale it")
    mono = sound.mean(axis=1)
    return mono if rate == SAMPLE_RATE else resample(mono, rate)


def resample(sound: np.ndarray, rate: float) -> np.ndarray:
    """Mono sound of any rate (Hz) at 16 kHz, float32."""
    return soxr.resample(sound, rate, SAMPLE_RATE).astype(np.float32)


def split_slice(audio: str) -> tuple[str, int, int]:
    """`path` or `path:start:frames` as (path, start, frames), frames -1 for all."""
    found = re.fullmatch(r"(.+):(\d{1,15}):(\d{1,15})", audio, re.ASCII | re.DOTALL)
    return (found[1], int(found[2]), int(found[3])) if found else (audio, 0, -1)


def is_silent(sound: np.ndarray) -> bool:
    """Whether nothing in a waveform is louder than 80 dB below full scale: an empty recording, a constant, or two
    channels that cancel each other out."""
    return len(sound) == 0 or bool(np.ptp(sound) < 2e-4)


def load_speech(audio: str | Path, root: str | Path, longest: float) -> np.ndarray:
    """`load_audio` of a clip that a model is to answer. Raises StudyError also when it is silent, shorter than
    `SHORTEST`, or longer than `longest` seconds."""
    sound = load_audio(audio, root)
    seconds = len(sound) / SAMPLE_RATE
    if not SHORTEST <= seconds <= longest:
        raise StudyError(f"{audio}: {seconds:.2f} s long; wanted are {SHORTEST} to {longest} s, cut it")
    if is_silent(sound):
        raise StudyError(f"{audio}: silent, or its channels cancel each other out; wanted is speech")
    return sound


def write_corpus(path: str | Path, sounds: Iterable[np.ndarray]) -> list[str]:
    """Write many 16 kHz waveforms into one sound file, one after another; returns the `name:start:frames` slice of
    each. The file appears only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, places, start = path.with_name("part." + path.name), [], 0
    try:
        with soundfile.SoundFile(unfinished, "w", SAMPLE_RATE, 1, "PCM_16") as file:
            for sound in sounds:
                file.write(sound)
                places.append(f"{path.name}:{start}:{len(sound)}")
                start += len(sound)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return places
