"""The corpora of the miniature, each in the role of one of the paper's."""

import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

from blsp_core.data.audio import SAMPLE_RATE, write_corpus
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance, write_manifest
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError, refused
from blsp_core.record import core_count
from blsp_core.toy.grammar import Sentence, draw_dialogue, draw_follow_up, draw_foreign, draw_sentence
from blsp_core.toy.lexicon import LANGUAGES
from blsp_core.toy.tts import SPEAKERS, Speaker, Spoken, natural_level, speak, start_afresh


@dataclass(frozen=True)
class Line:
    """A sentence to be spoken by a speaker with the prosody of an emotion."""

    sentence: Sentence
    emotion: str
    speaker: Speaker
    label: str = ""  # the emotion in the manifest, where it is not the one spoken
    earlier: tuple["Line | str", ...] = ()  # turns of the dialogue before: spoken lines, replies in text

    @property
    def text(self) -> str:
        return self.sentence.text

    @property
    def spoken(self) -> list["Line"]:
        """The lines of the dialogue that are spoken, this one last."""
        return [*(turn for turn in self.earlier if isinstance(turn, Line)), self]


def _cue(rng: random.Random) -> str | None:
    return rng.choice(EMOTIONS) if rng.random() < 0.4 else None


def _asr(rng: random.Random, split: str, size: int) -> list[Line]:
    lines = []
    for _ in range(size):
        cue, request = _cue(rng), rng.random() < 0.4
        sentence = draw_sentence(rng, split, request, cue)
        lines.append(Line(sentence, rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])))
    return lines


def _broad(rng: random.Random, split: str, size: int) -> list[Line]:
    lines = _asr(rng, split, size)
    for place in range(0, size, 10):
        lines[place] = replace(lines[place], sentence=draw_follow_up(rng, split, _cue(rng)))
    for place in range(5, size, 7):
        corpus = rng.choice(list(LANGUAGES))
        speaker = lines[place].speaker.speaking(LANGUAGES[corpus].code)
        lines[place] = replace(lines[place], sentence=draw_foreign(rng, corpus, split), speaker=speaker)
    return lines


def _labelled(rng, split: str, size: int, emotions: Sequence[str], cued: float, requests: float = 0) -> list[Line]:
    """The emotions in turn; cues and requests in these shares."""
    lines = []
    for _, emotion in zip(range(size), cycle(emotions), strict=False):
        cue, request = emotion if rng.random() < cued else None, rng.random() < requests
        lines.append(Line(draw_sentence(rng, split, request, cue), emotion, rng.choice(SPEAKERS[split])))
    return lines


def _talk(rng: random.Random, split: str, size: int) -> list[Line]:
    emotions = rng.choices(EMOTIONS, weights=[0.50, 0.16, 0.08, 0.14, 0.12], k=size)
    return _labelled(rng, split, size, emotions, cued=1 / 5, requests=0.4)


def _requests(rng: random.Random, split: str, size: int, emotions: Sequence[str]) -> list[Line]:
    count = size // len(emotions)
    drawn = [(draw_sentence(rng, split, request=True), rng.choice(SPEAKERS[split])) for _ in range(count)]
    return [Line(sentence, emotion, speaker) for sentence, speaker in drawn for emotion in emotions]


def _dialogues(rng: random.Random, split: str, size: int) -> list[Line]:
    lines = []
    for i in range(size):
        emotion, speaker = rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])
        first, reply, last = draw_dialogue(rng, split, emotion)
        lines.append(Line(last, EMOTIONS[i % 5], speaker, earlier=(Line(first, emotion, speaker), reply)))
    return lines


def _control(rng: random.Random, split: str, size: int) -> list[Line]:
    acted = ROLES["acted"](rng, split, size)
    return [replace(line, emotion=rng.choice(EMOTIONS), label=line.emotion) for line in acted]


def _foreign(rng: random.Random, split: str, size: int, corpus: str) -> list[Line]:
    language, lines = LANGUAGES[corpus], []
    for _, emotion in zip(range(size), cycle(language.emotions), strict=False):
        sentence, speaker = draw_foreign(rng, corpus, split), rng.choice(SPEAKERS[split])
        lines.append(Line(sentence, emotion, speaker.speaking(language.code)))
    return lines


ROLES: dict[str, Callable[[random.Random, str, int], list[Line]]] = {
    "asr": _asr,  # LibriSpeech: any sentence in any voice, cue and prosody independent of each other
    "broad": _broad,  # training data of the toy Whisper: as asr, with follow-up requests and three more languages
    # IEMOCAP: five emotions in equal shares, a cue in a third of the sentences, 40 % requests
    "acted": partial(_labelled, emotions=EMOTIONS, cued=1 / 3, requests=0.4),
    "talk": _talk,  # MELD: half of it neutral, a cue in a fifth of the sentences, 40 % requests
    # RAVDESS: no cues; one neutral to two of each other emotion
    "statements": partial(_labelled, emotions=[*EMOTIONS, *EMOTIONS[1:]], cued=0),
    "requests": partial(_requests, emotions=EMOTIONS[:4]),  # SpeechAlpaca: every request in four emotions
    # IEMOCAP's dialogues, no cues: the object is in the first turn; the last has an independent emotion, to be answered
    "dialogues": _dialogues,
    "control": _control,  # as acted, but with the prosody of a random emotion: only cues agree with the label
    **{corpus: partial(_foreign, corpus=corpus) for corpus in LANGUAGES},  # AESDD, CaFE, RESD
    "showcase": partial(_requests, emotions=EMOTIONS),  # for display
}


def plan(role: str, split: str, size: int, seed: int, sentences: Path | None = None) -> list[Line]:
    """The `size` lines of a corpus, with sentences and speakers that no other split has.

    sentences: a text file with a sentence a line, behind an identifier with digits or not (LibriSpeech's transcripts),
    for lines like those of `asr` in place of the grammar's. Training sentences are spoken by several speakers each
    where there are fewer than `size`.
    """
    rng = random.Random(f"{role} {split} {seed}")
    if sentences:
        with refused(f"{sentences}: wanted is a text in UTF-8, a sentence a line (data.synthesise.{role}.sentences)"):
            lines = sentences.read_text(encoding="utf-8").split("\n")
        texts = [re.sub(r"^\S*\d\S*\s+", "", text) for text in lines]
        texts = [text.capitalize() if text.isupper() else text for text in dict.fromkeys(map(str.strip, texts))]
        found = [one for one in map(Sentence, filter(None, texts)) if one.split == split]
        times = -(-size // len(found)) if found and split == "train" else 1
        if times * len(found) < size:
            raise StudyError(f"{sentences}: has {len(found)} sentences for {split}, and {role} is to have {size}")
        drawn = rng.sample(times * found, size)
        return [Line(sentence, rng.choice(EMOTIONS), rng.choice(SPEAKERS[split])) for sentence in drawn]
    if role not in ROLES:
        raise StudyError(f"no corpus {role!r} in the miniature; there are {', '.join(ROLES)}")
    lines = ROLES[role](rng, split, size)
    if size and not lines:
        raise StudyError(
            f"data.synthesise.{role}: {split} is {size}, which is less than one for each emotion; use more"
        )
    return lines


_BATCH = 50  # lines between two restarts of eSpeak NG


def synthesise(lines: list[Line], seed: int) -> list[Spoken]:
    """Every line as speech, in order, whatever the number of processes: one a core."""
    tasks = [(line, f"{seed} {number}") for number, line in enumerate(lines)]
    batches = [tasks[start : start + _BATCH] for start in range(0, len(tasks), _BATCH)]
    with ProcessPoolExecutor(core_count()) as pool:
        done = progress(pool.map(_speak, batches), f"synthesis, {_BATCH} utterances a step", len(batches))
        return [spoken for batch in done for spoken in batch]


def _speak(tasks: list[tuple[Line, str]]) -> list[Spoken]:
    for line, _ in tasks:
        natural_level(line.speaker.voice)
    start_afresh()
    return [speak(line.text, line.speaker, line.emotion, random.Random(seed)) for line, seed in tasks]


def build_corpus(
    role: str, split: str, size: int, seed: int, root: Path, name: str = "", sentences: Path | None = None
) -> list[Utterance]:
    """Plan, speak and write one corpus below `root`: corpora/<name>.flac and manifests/<name>.jsonl.

    name: by default <role>.<split>. sentences: as in `plan`.
    """
    name, lines = name or f"{role}.{split}", plan(role, split, size, seed, sentences)
    turns = [turn for line in lines for turn in line.spoken]
    sounds = [spoken.sound for spoken in synthesise(turns, seed)]
    slices = write_corpus(Path(root) / f"corpora/{name}.flac", sounds)
    written = []
    for turn, sound, piece in zip(turns, sounds, slices, strict=True):
        fields = {"audio": f"corpora/{piece}", "text": turn.text, "emotion": turn.label or turn.emotion}
        written.append({**fields, "duration": round(len(sound) / SAMPLE_RATE, 3)})
    rows, spoken = [], iter(written)
    for number, line in enumerate(lines):
        history = [Turn("user", **next(spoken)) if isinstance(t, Line) else Turn("assistant", t) for t in line.earlier]
        fields = {"id": f"{role}-{split}-{number:05d}", "corpus": role, "split": split, "history": tuple(history)}
        rows.append(Utterance(**next(spoken), speaker=line.speaker.name, language=line.speaker.language, **fields))
    write_manifest(Path(root) / f"manifests/{name}.jsonl", rows)
    return rows


def build_showcase(seed: int, root: Path) -> list[Utterance]:
    """One test request in five emotions by one speaker: corpora/showcase.flac and manifests/showcase.jsonl."""
    return build_corpus("showcase", "test", len(EMOTIONS), seed, root, "showcase")
