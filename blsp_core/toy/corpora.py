"""The corpora of the miniature world, each in the role of one of the paper's."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from blsp_core.data.audio import SAMPLE_RATE, write_corpus
from blsp_core.data.manifest import EMOTIONS, Turn, Utterance, write_manifest
from blsp_core.errors import StudyError
from blsp_core.toy.grammar import Sentence, draw_dialogue, draw_follow_up, draw_sentence
from blsp_core.toy.languages import LANGUAGES, draw_foreign
from blsp_core.toy.tts import SPEAKERS, Speaker, Spoken, natural_level, speak, start_afresh


@dataclass(frozen=True)
class Line:
    """What is to be spoken: a sentence, in a tone, by a speaker."""

    sentence: Sentence
    tone: str
    speaker: Speaker
    label: str = ""  # the tone that the manifest tells, where it is another than the one spoken
    earlier: tuple["Line | str", ...] = ()  # the turns of the dialogue before: spoken lines, replies in text

    @property
    def spoken(self) -> list["Line"]:
        """All that is to be spoken, turn by turn; the line itself comes last."""
        return [*(turn for turn in self.earlier if isinstance(turn, Line)), self]


def _asr(rng: random.Random, split: str, size: int) -> list[Line]:
    """LibriSpeech's role: any sentence in any voice; tone and words have nothing to do with each other."""
    lines = []
    for _ in range(size):
        cue = rng.choice(EMOTIONS) if rng.random() < 0.4 else None
        sentence = draw_sentence(rng, split, request=rng.random() < 0.4, cue_tone=cue)
        lines.append(Line(sentence, rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])))
    return lines


def _broad(rng: random.Random, split: str, size: int) -> list[Line]:
    """What the Whisper learns from: as `asr`, with requests that name no thing, and with other languages."""
    lines = _asr(rng, split, size)
    for place in range(0, size, 10):
        cue = rng.choice(EMOTIONS) if rng.random() < 0.4 else None
        lines[place] = replace(lines[place], sentence=draw_follow_up(rng, split, cue))
    for place in range(5, size, 7):
        corpus, line = rng.choice(list(LANGUAGES)), lines[place]
        speaker = line.speaker.speaking(LANGUAGES[corpus].code)
        lines[place] = replace(line, sentence=draw_foreign(rng, corpus, split), speaker=speaker)
    return lines


def _acted(rng: random.Random, split: str, size: int) -> list[Line]:
    """IEMOCAP's role: five tones in equal shares; a third of the sentences spell their tone out, two in five are
    requests."""
    return [_emotional(rng, split, EMOTIONS[i % 5], cued=1 / 3, asking=0.4) for i in range(size)]


def _talk(rng: random.Random, split: str, size: int) -> list[Line]:
    """MELD's role: talk, half of it neutral, one sentence in five with a cue, two in five requests."""
    tones = rng.choices(EMOTIONS, weights=[0.50, 0.16, 0.08, 0.14, 0.12], k=size)
    return [_emotional(rng, split, tone, cued=1 / 5, asking=0.4) for tone in tones]


def _statements(rng: random.Random, split: str, size: int) -> list[Line]:
    """RAVDESS's role: words that tell nothing; one neutral to two of each other tone, as there."""
    tones = [*EMOTIONS, *EMOTIONS[1:]]
    return [_emotional(rng, split, tones[i % 9], cued=0) for i in range(size)]


def _emotional(rng: random.Random, split: str, tone: str, cued: float, asking: float = 0) -> Line:
    cue, request = tone if rng.random() < cued else None, rng.random() < asking
    return Line(draw_sentence(rng, split, request, cue), tone, rng.choice(SPEAKERS[split]))


def _requests(rng: random.Random, split: str, size: int) -> list[Line]:
    """SpeechAlpaca's role: every request is spoken in four tones by the same speaker."""
    lines = []
    for _ in range(size // 4):
        sentence, speaker = draw_sentence(rng, split, request=True), rng.choice(SPEAKERS[split])
        lines += [Line(sentence, tone, speaker) for tone in ("neutral", "happy", "sad", "angry")]
    return lines


def _dialogues(rng: random.Random, split: str, size: int) -> list[Line]:
    """The role of IEMOCAP's dialogues: the object is in the first turn, the tone to meet in the last, in equal shares;
    the tone of the first has nothing to do with it. No words tell either."""
    lines = []
    for i in range(size):
        tone, speaker = rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])
        dialogue = draw_dialogue(rng, split, tone)
        earlier = (Line(dialogue.first, tone, speaker), dialogue.reply)
        lines.append(Line(dialogue.last, EMOTIONS[i % 5], speaker, earlier=earlier))
    return lines


def _control(rng: random.Random, split: str, size: int) -> list[Line]:
    """As `acted` by its words and labels, but the voice speaks in a tone drawn at random: only cues tell the label."""
    return [replace(line, tone=rng.choice(EMOTIONS), label=line.tone) for line in _acted(rng, split, size)]


def _foreign(corpus: str) -> Callable[[random.Random, str, int], list[Line]]:
    """The role of AESDD, CaFE or RESD: a language of its own, the bodies and tones of the other corpora."""

    def lines(rng: random.Random, split: str, size: int) -> list[Line]:
        code, tones = LANGUAGES[corpus].code, LANGUAGES[corpus].tones
        speakers = [speaker.speaking(code) for speaker in SPEAKERS[split]]
        return [
            Line(draw_foreign(rng, corpus, split), tones[i % len(tones)], rng.choice(speakers)) for i in range(size)
        ]

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
    "broad": _broad,
    "acted": _acted,
    "talk": _talk,
    "statements": _statements,
    "requests": _requests,
    "dialogues": _dialogues,
    "control": _control,
    **{corpus: _foreign(corpus) for corpus in LANGUAGES},
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
    turns = [turn for line in lines for turn in line.spoken]
    sounds = [spoken.sound for spoken in synthesise(turns, seed)]
    slices = write_corpus(Path(root) / "corpora" / f"{name}.flac", sounds)
    heard = iter(
        {
            "audio": f"corpora/{piece}",
            "text": turn.sentence.text,
            "emotion": turn.label or turn.tone,
            "duration": round(len(sound) / SAMPLE_RATE, 3),
        }
        for turn, sound, piece in zip(turns, sounds, slices, strict=True)
    )
    rows = []
    for number, line in enumerate(lines):
        history = [
            Turn("user", **next(heard)) if isinstance(turn, Line) else Turn("assistant", turn) for turn in line.earlier
        ]
        rows.append(
            Utterance(
                **next(heard),
                id=f"{role}-{split}-{number:05d}",
                speaker=line.speaker.name,
                language=line.speaker.language,
                corpus=role,
                split=split,
                history=tuple(history),
            )
        )
    write_manifest(Path(root) / "manifests" / f"{name}.jsonl", rows)
    return rows
