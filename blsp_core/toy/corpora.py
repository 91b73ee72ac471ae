"""The corpora of the miniature, each in the role of one of the paper's."""

import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance, has_words, write_manifest
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError, refused
from blsp_core.model.audio import SAMPLE_RATE, write_corpus
from blsp_core.record import core_count
from blsp_core.toy.domains import DOMAINS, PLAIN, Domain
from blsp_core.toy.grammar import Sentence, draw_dialogue, draw_follow_up, draw_sentence, foreign_sentences
from blsp_core.toy.lexicon import LANGUAGES
from blsp_core.toy.tts import Speaker, Spoken, natural_level, speak, speakers_of, start_afresh


@dataclass(frozen=True)
class Line:
    """A sentence to be spoken by a speaker with the prosody of an emotion."""

    sentence: Sentence
    emotion: str
    speaker: Speaker
    label: str = ""  # the emotion in the manifest, where it is not the one spoken
    earlier: tuple["Line | str", ...] = ()  # turns of the dialogue before: spoken lines, replies in text
    domain: Domain = PLAIN

    @property
    def text(self) -> str:
        return self.sentence.text

    @property
    def spoken(self) -> list["Line"]:
        """The lines of the dialogue that are spoken, this one last."""
        return [*(turn for turn in self.earlier if isinstance(turn, Line)), self]


@dataclass(frozen=True)
class _Source:
    """What the sentences and speakers of a corpus are drawn from."""

    rng: random.Random
    split: str
    people: Sequence[Speaker]
    domain: Domain

    def speaker(self) -> Speaker:
        return self.rng.choice(self.people)

    def sentence(self, request: bool = False, cue: str | None = None) -> Sentence:
        return draw_sentence(self.rng, self.split, request, cue, self.domain.templates)

    def emotion(self) -> str:
        return self.rng.choice(EMOTIONS)

    def cue(self) -> str | None:
        return self.emotion() if self.rng.random() < 0.4 else None


def _asr(of: _Source, size: int) -> list[Line]:
    lines = []
    for _ in range(size):
        cue, request = of.cue(), of.rng.random() < 0.4
        sentence = of.sentence(request, cue)
        lines.append(Line(sentence, of.emotion(), of.speaker()))
    return lines


def _broad(of: _Source, size: int) -> list[Line]:
    lines, domains = _asr(of, size), [PLAIN, *DOMAINS.values()]
    for place in range(0, size, 10):
        lines[place] = replace(lines[place], sentence=draw_follow_up(of.rng, of.split, of.cue()))
    for place in range(5, size, 7):
        corpus = of.rng.choice(list(LANGUAGES))
        speaker, sentence = lines[place].speaker, of.rng.choice(foreign_sentences(corpus, of.split))
        lines[place] = replace(lines[place], sentence=sentence, speaker=speaker.speaking(LANGUAGES[corpus].code))
    return [replace(line, domain=of.rng.choice(domains)) for line in lines]


def _labelled(of: _Source, size: int, emotions: Sequence[str], cued: float, requests: float = 0) -> list[Line]:
    """The emotions in turn; cues and requests in these shares."""
    lines = []
    for _, emotion in zip(range(size), cycle(emotions), strict=False):
        cue, request = emotion if of.rng.random() < cued else None, of.rng.random() < requests
        lines.append(Line(of.sentence(request, cue), emotion, of.speaker()))
    return lines


def _talk(of: _Source, size: int) -> list[Line]:
    emotions = of.rng.choices(EMOTIONS, weights=[0.50, 0.16, 0.08, 0.14, 0.12], k=size)
    return _labelled(of, size, emotions, cued=1 / 5, requests=0.4)


def _requests(of: _Source, size: int, emotions: Sequence[str]) -> list[Line]:
    drawn = [(of.sentence(request=True), of.speaker()) for _ in range(size // len(emotions))]
    return [Line(sentence, emotion, speaker) for sentence, speaker in drawn for emotion in emotions]


def _dialogues(of: _Source, size: int) -> list[Line]:
    lines = []
    for i in range(size):
        emotion, speaker = of.emotion(), of.speaker()
        first, reply, last = draw_dialogue(of.rng, of.split, emotion)
        lines.append(Line(last, EMOTIONS[i % 5], speaker, earlier=(Line(first, emotion, speaker), reply)))
    return lines


def _control(of: _Source, size: int) -> list[Line]:
    return [replace(line, emotion=of.emotion(), label=line.emotion) for line in ROLES["acted"](of, size)]


def _foreign(of: _Source, size: int, corpus: str) -> list[Line]:
    language, lines = LANGUAGES[corpus], []
    for _, emotion in zip(range(size), cycle(language.emotions), strict=False):
        sentence, speaker = of.rng.choice(foreign_sentences(corpus, of.split)), of.speaker()
        lines.append(Line(sentence, emotion, speaker.speaking(language.code)))
    return lines


ROLES: dict[str, Callable[[_Source, int], list[Line]]] = {
    "asr": _asr,  # LibriSpeech: any sentence in any voice, cue and prosody independent of each other
    # training data of the toy Whisper: as asr, with follow-up requests and three more languages, in every domain
    "broad": _broad,
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

    sentences: a text file with a sentence a line, behind an identifier as 84-121123-0001 or not (LibriSpeech's),
    for lines like those of `asr` in place of the grammar's. Training sentences are spoken by several speakers each
    where there are fewer than `size`.
    """
    domain = DOMAINS.get(role, PLAIN)
    of = _Source(random.Random(f"{role} {split} {seed}"), split, speakers_of(split, seed), domain)
    if sentences:
        with refused(f"{sentences}: wanted is a text in UTF-8, a sentence a line (data.synthesise.{role}.sentences)"):
            lines = sentences.read_text(encoding="utf-8-sig").split("\n")
        texts = [re.sub(r"^\w+([-_]\d+)+\s+", "", text) for text in lines if has_words(text)]
        texts = [text.capitalize() if text.isupper() else text for text in dict.fromkeys(map(str.strip, texts))]
        found = [one for one in map(Sentence, filter(None, texts)) if one.split == split]
        times = -(-size // len(found)) if found and split == "train" else 1
        if times * len(found) < size:
            raise StudyError(f"{sentences}: has {len(found)} sentences for {split}, and {role} is to have {size}")
        return [Line(one, of.emotion(), of.speaker()) for one in of.rng.sample(times * found, size)]
    if role not in ROLES:
        raise StudyError(f"no corpus {role!r} in the miniature; there are {', '.join(ROLES)}")
    lines = ROLES[role](of, size)
    if size and not lines:
        raise StudyError(
            f"data.synthesise.{role}: {split} is {size}, which is less than one for each emotion; use more"
        )
    return [line if line.domain is not PLAIN else _placed(line, domain) for line in lines]


def _placed(line: Line, domain: Domain) -> Line:
    """The line and its earlier turns in a domain."""
    earlier = tuple(turn if isinstance(turn, str) else replace(turn, domain=domain) for turn in line.earlier)
    return replace(line, earlier=earlier, domain=domain)


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
    return [speak(line.text, line.speaker, line.emotion, random.Random(seed), line.domain) for line, seed in tasks]


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
        fields = {"id": _id(role, split, number), "corpus": role, "split": split, "history": tuple(history)}
        rows.append(Utterance(**next(spoken), speaker=line.speaker.name, language=line.speaker.language, **fields))
    write_manifest(Path(root) / f"manifests/{name}.jsonl", rows)
    return rows


def _id(role: str, split: str, number: int) -> str:
    return f"{role}-{split}-{number:05d}"


def contradictions(role: str, split: str, size: int, seed: int) -> dict[str, dict[str, str]]:
    """The utterances of `build_corpus` whose words state another emotion than the voice: id -> {"words", "voice"}."""
    lines = enumerate(plan(role, split, size, seed))
    kept = ((number, line) for number, line in lines if line.sentence.cue and line.label not in ("", line.emotion))
    return {_id(role, split, number): {"words": line.label, "voice": line.emotion} for number, line in kept}


def build_showcase(seed: int, root: Path) -> list[Utterance]:
    """One test request in five emotions by one speaker: corpora/showcase.flac and manifests/showcase.jsonl."""
    return build_corpus("showcase", "test", len(EMOTIONS), seed, root, "showcase")
