"""The corpora of the miniature world, each in the role of one of the paper's."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.speech.audio import SAMPLE_RATE, write_corpus
from blsp_core.speech.grammar import Sentence, draw_sentence
from blsp_core.speech.manifest import EMOTIONS, Utterance, write_manifest
from blsp_core.speech.synthesis import SPEAKERS, Speaker, Spoken, natural_level, speak, start_afresh


@dataclass(frozen=True)
class Line:
    """What is to be spoken: a sentence, in a tone, by a speaker."""

    sentence: Sentence
    tone: str
    speaker: Speaker


def _asr(rng: random.Random, split: str, size: int) -> list[Line]:
    """LibriSpeech's role: any sentence in any voice; tone and words have nothing to do with each other."""
    lines = []
    for _ in range(size):
        cue = rng.choice(EMOTIONS) if rng.random() < 0.4 else None
        sentence = draw_sentence(rng, split, request=rng.random() < 0.4, cue_tone=cue)
        lines.append(Line(sentence, rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])))
    return lines


def _acted(rng: random.Random, split: str, size: int) -> list[Line]:
    """IEMOCAP's role: five tones in equal shares; a third of the sentences spell their tone out."""
    return [_emotional(rng, split, EMOTIONS[i % 5], cued=1 / 3) for i in range(size)]


def _talk(rng: random.Random, split: str, size: int) -> list[Line]:
    """MELD's role: talk, half of it neutral, one sentence in five with a cue."""
    tones = rng.choices(EMOTIONS, weights=[0.50, 0.16, 0.08, 0.14, 0.12], k=size)
    return [_emotional(rng, split, tone, cued=1 / 5) for tone in tones]


def _statements(rng: random.Random, split: str, size: int) -> list[Line]:
    """RAVDESS's role: words that tell nothing; one neutral to two of each other tone, as there."""
    tones = [*EMOTIONS, *EMOTIONS[1:]]
    return [_emotional(rng, split, tones[i % 9], cued=0) for i in range(size)]


def _emotional(rng: random.Random, split: str, tone: str, cued: float) -> Line:
    cue = tone if rng.random() < cued else None
    return Line(draw_sentence(rng, split, cue_tone=cue), tone, rng.choice(SPEAKERS[split]))


def _requests(rng: random.Random, split: str, size: int) -> list[Line]:
    """SpeechAlpaca's role: every request is spoken in four tones by the same speaker."""
    lines = []
    for _ in range(size // 4):
        sentence, speaker = draw_sentence(rng, split, request=True), rng.choice(SPEAKERS[split])
        lines += [Line(sentence, tone, speaker) for tone in ("neutral", "happy", "sad", "angry")]
    return lines


def _showcase(rng: random.Random, split: str, size: int) -> list[Line]:
    """For the eye and the ear: requests, each in all five tones by one speaker."""
    lines = []
    for _ in range(size // 5):
        sentence, speaker = draw_sentence(rng, split, request=True), rng.choice(SPEAKERS[split])
        lines += [Line(sentence, tone, speaker) for tone in EMOTIONS]
    return lines


ROLES: dict[str, Callable[[random.Random, str, int], list[Line]]] = {
    "asr": _asr,
    "acted": _acted,
    "talk": _talk,
    "statements": _statements,
    "requests": _requests,
    "showcase": _showcase,
}


def plan(role: str, split: str, size: int, seed: int) -> list[Line]:
    """The lines of a corpus: `size` of them, on sentences and by speakers that only this split has."""
    if role not in ROLES:
        raise StudyError(f"no corpus {role!r} in the miniature; there are {', '.join(ROLES)}")
    return ROLES[role](random.Random(f"{role} {split} {seed}"), split, size)


def synthesise(lines: list[Line], seed: int, workers: int | None = None) -> list[Spoken]:
    """Every line as speech, in order; the same lines and seed always give the same sound."""
    tasks = [(line, f"{seed} {number}") for number, line in enumerate(lines)]
    batches = [tasks[start : start + _BATCH] for start in range(0, len(tasks), _BATCH)]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        return [spoken for batch in pool.map(_speak, batches) for spoken in batch]


_BATCH = 50  # lines that one start of eSpeak NG speaks


def _speak(tasks: list[tuple[Line, str]]) -> list[Spoken]:
    for line, _ in tasks:
        natural_level(line.speaker.voice)
    start_afresh()
    return [speak(line.sentence.text, line.speaker, line.tone, random.Random(seed)) for line, seed in tasks]


def build_corpus(role: str, split: str, size: int, seed: int, root: Path) -> list[Utterance]:
    """Plan, speak and write one corpus below `root`: corpora/<role>.<split>.flac and manifests/<role>.<split>.jsonl."""
    return _build(f"{role}.{split}", role, split, size, seed, root)


def build_showcase(seed: int, root: Path) -> list[Utterance]:
    """One request of the test split in five tones by one voice: corpora/showcase.flac and manifests/showcase.jsonl."""
    return _build("showcase", "showcase", "test", len(EMOTIONS), seed, root)


def _build(name: str, role: str, split: str, size: int, seed: int, root: Path) -> list[Utterance]:
    lines = plan(role, split, size, seed)
    sounds = [spoken.sound for spoken in synthesise(lines, seed)]
    slices = write_corpus(Path(root) / "corpora" / f"{name}.flac", sounds)
    rows = [
        Utterance(
            audio=f"corpora/{piece}",
            text=line.sentence.text,
            emotion=line.tone,
            id=f"{role}-{split}-{number:05d}",
            speaker=line.speaker.name,
            language="en",
            duration=round(len(sound) / SAMPLE_RATE, 3),
            corpus=role,
            split=split,
        )
        for number, (line, sound, piece) in enumerate(zip(lines, sounds, slices, strict=True))
    ]
    write_manifest(Path(root) / "manifests" / f"{name}.jsonl", rows)
    return rows
