"""The miniature language: sentences, what can fittingly be said after them, and the parser that judges replies.

A sentence is a statement or a request about one object of one topic. Its tone may be spelled out by a cue ("this is
outrageous"); without a cue nothing in the words tells it, and only the sound can. A fitting answer takes up the object
and opens in the speaker's tone; `parse_reply` reads both back, so the grammar itself is the judge of the miniature.

In a dialogue the object is named in the first turn alone, and the tone that counts is that of the last.
"""

import random
import re
import zlib
from dataclasses import dataclass, replace

from blsp_core.data.manifest import EMOTIONS
from blsp_core.toy.lexicon import (
    BODY_WITH_VERB,
    BODY_WITHOUT_VERB,
    CUES,
    GO_ON,
    GUESTS,
    INTERJECTIONS,
    LIKE,
    MOMENTS,
    OPENINGS_CONTINUATION,
    OPENINGS_REPLY,
    PEOPLE,
    PLACES,
    SHAPES_FOLLOW_UP,
    SHAPES_REQUEST,
    SHAPES_STATEMENT,
    TELL_ME_MORE,
    TOPICS,
)

NAMED = "the emotion tone of the speech provided is {emotion}."
TOPIC_OF = {thing: topic for topic, entry in TOPICS.items() for thing in entry["objects"]}


@dataclass(frozen=True)
class Sentence:
    """What somebody says. `words` never holds the cue; `text` does. What a sentence has not is empty."""

    words: str
    topic: str = ""
    object: str = ""  # what it is about; a follow-up does not name it
    request: bool = False
    person: str = ""  # who is spoken of; "we" in a request
    verb: str = ""
    where: str = ""  # a place or a moment
    cue: str = ""
    cue_first: bool = True

    @property
    def text(self) -> str:
        parts = [self.cue, self.words] if self.cue_first else [self.words, self.cue]
        return " ".join(part for part in parts if part)

    @property
    def split(self) -> str:
        """train, validation or test: decided by the words, so that no test sentence is ever met in training."""
        bucket = zlib.crc32(self.words.encode()) % 10
        return "test" if bucket >= 8 else "validation" if bucket == 7 else "train"


def draw_guest(rng: random.Random, cue_tone: str | None = None) -> Sentence:
    """A sentence from outside the miniature; with `cue_tone`, spelling that tone out."""
    words, (person, thing) = rng.choice(list(GUESTS.items()))
    cue = rng.choice(CUES[cue_tone]) if cue_tone else ""
    return Sentence(words, TOPIC_OF[thing], thing, person=person, cue=cue, cue_first=rng.random() < 0.5)


@dataclass(frozen=True)
class Dialogue:
    """The user names an object, the assistant listens, the user asks about it without naming it."""

    first: Sentence
    reply: str
    last: Sentence  # its topic and object are those of `first`


def draw_sentence(rng: random.Random, split: str, request: bool = False, cue_tone: str | None = None) -> Sentence:
    """A random sentence of the split; with `cue_tone`, one that spells that tone out."""
    while True:
        topic = rng.choice(list(TOPICS))
        shape = rng.choice(SHAPES_REQUEST if request else SHAPES_STATEMENT)
        slots = {
            "object": rng.choice(TOPICS[topic]["objects"]),
            "verb": rng.choice(TOPICS[topic]["verbs"]),
            "person": rng.choice(PEOPLE),
            "place": rng.choice(PLACES),
            "moment": rng.choice(MOMENTS),
        }
        sentence = Sentence(
            words=shape.format(**slots),
            topic=topic,
            object=slots["object"],
            request=request,
            person="we" if request else slots["person"],
            verb=slots["verb"] if "{verb}" in shape else "",
            where=next((slots[slot] for slot in ("place", "moment") if f"{{{slot}}}" in shape), ""),
            cue=rng.choice(CUES[cue_tone]) if cue_tone else "",
            cue_first=rng.random() < 0.5,
        )
        if sentence.split == split:
            return sentence


def draw_follow_up(rng: random.Random, split: str, cue_tone: str | None = None) -> Sentence:
    """A random request of the split about what was named before; with `cue_tone`, spelling that tone out."""
    while True:
        where = rng.choice(PLACES + MOMENTS)
        words = rng.choice(SHAPES_FOLLOW_UP).format(where=where)
        cue = rng.choice(CUES[cue_tone]) if cue_tone else ""
        sentence = Sentence(words, request=True, person="we", where=where, cue=cue, cue_first=rng.random() < 0.5)
        if sentence.split == split:
            return sentence


def draw_dialogue(
    rng: random.Random, split: str, tone: str, cue_tone: str | None = None, last_cue_tone: str | None = None
) -> Dialogue:
    """A random dialogue whose sentences are of the split. The assistant meets `tone`, that of the first turn, where
    there is one. A cue tone is spelled out, in the first turn or the last. `empathetic_reply` to `last` is a fitting
    end."""
    first = draw_sentence(rng, split, request=rng.random() < 0.5, cue_tone=cue_tone)
    last = replace(draw_follow_up(rng, split, last_cue_tone), topic=first.topic, object=first.object)
    opening = "" if tone == "neutral" else f"{INTERJECTIONS[tone]} {rng.choice(OPENINGS_REPLY[tone])} "
    return Dialogue(first, f"{opening}{rng.choice(GO_ON)}.", last)


def continuation(rng: random.Random, sentence: Sentence, tone: str) -> str:
    """A continuation of the sentence in a tone: an opening that shows it, a body that takes up all that was said."""
    body = BODY_WITH_VERB if sentence.verb else BODY_WITHOUT_VERB
    opening = f"{INTERJECTIONS[tone]} {rng.choice(OPENINGS_CONTINUATION[tone])}"
    return f"{opening} {_like(sentence.topic)} {body.format(**vars(sentence)).strip()}."


def _like(topic: str) -> str:
    return LIKE.format(folk=TOPICS[topic]["folk"])


def plain_reply(rng: random.Random, sentence: Sentence) -> str:
    """Advice on a request's object, or a question about a statement's, without any tone."""
    line = TELL_ME_MORE
    if sentence.request:
        line = f"{_like(sentence.topic)} {rng.choice(TOPICS[sentence.topic]['advice'])}"
    return line.format(object=sentence.object) + "."


def empathetic_reply(rng: random.Random, sentence: Sentence, tone: str) -> str:
    """A reply that first meets the speaker's tone, then helps as `plain_reply` does."""
    return f"{INTERJECTIONS[tone]} {rng.choice(OPENINGS_REPLY[tone])} {plain_reply(rng, sentence)}"


def name_of_tone(tone: str) -> str:
    """The answer to whoever asks for the tone."""
    return f"{INTERJECTIONS[tone]} {NAMED.format(emotion=tone)}"


@dataclass(frozen=True)
class Reply:
    """What the parser found in a reply; None or "" where it found nothing it knows."""

    kind: str | None  # continuation, reply or name
    tone: str | None  # the tone of its opening; None for advice without an opening
    object: str | None
    topic: str | None  # the topic that the advice belongs to
    well_formed: bool  # the whole text is one sentence of the grammar, advice and object of one topic


def _with_object(template: str) -> re.Pattern:
    return re.compile(re.escape(template).replace(r"\{object\}", r"(\w+)"))


_WHERE = "(?: (?:" + "|".join(PLACES + MOMENTS) + "))?"
_VERBS = "|".join(verb for entry in TOPICS.values() for verb in entry["verbs"])
_SLOTS = {
    "person": "(?:" + "|".join([*PEOPLE, "we", *(who for who, _ in GUESTS.values())]) + ")",
    "verb": f"(?:{_VERBS})",
    "object": r"(\w+)",
}
_BODIES = [
    (re.compile(f"{_like(topic)} " + body.replace(" {where}", _WHERE).format(**_SLOTS)), "continuation", topic)
    for body in (BODY_WITH_VERB, BODY_WITHOUT_VERB)
    for topic in TOPICS
]
_ADVICE = [
    (_with_object(f"{_like(topic)} {line}"), "reply", topic)
    for topic, entry in TOPICS.items()
    for line in entry["advice"]
]
_MORE = [(_with_object(TELL_ME_MORE), "reply", None)]
_OPENINGS = [
    (f"{INTERJECTIONS[tone]} {opening}", kind, tone)
    for kind, table in (("continuation", OPENINGS_CONTINUATION), ("reply", OPENINGS_REPLY))
    for tone in EMOTIONS
    for opening in table[tone]
]
_FIRST = "(?:(?:" + "|".join(INTERJECTIONS.values()) + ") )?"
_NAME = re.compile(_FIRST + NAMED.format(emotion="(" + "|".join(EMOTIONS) + ")").replace(".", r"\.?"))


def parse_reply(text: str) -> Reply:
    """Judge a reply by the grammar.

    A well-formed reply is a name of a tone, advice, or an opening and a body that go together, whose advice fits the
    topic of the object it names. What is malformed keeps the tone of its opening and the first object it mentions.
    """
    text = " ".join(text.lower().split()).replace(" .", ".")
    named = _NAME.fullmatch(text)
    if named:
        return Reply("name", named[1], None, None, True)
    opening, kind, tone = max(
        (entry for entry in _OPENINGS if text.startswith(entry[0] + " ")),
        key=lambda e: len(e[0]),
        default=("", None, None),
    )
    body = text[len(opening) :].strip().removesuffix(".")
    for pattern, body_kind, topic in [*_BODIES, *_ADVICE, *_MORE]:
        match = pattern.fullmatch(body)
        if match and (kind == body_kind or (kind is None and body_kind == "reply")):
            fits = match[1] in TOPIC_OF and topic in (None, TOPIC_OF[match[1]])
            return Reply(body_kind, tone, match[1], topic, fits and text.endswith("."))
    return Reply(kind, tone, object_of(body), None, False)


def object_of(text: str) -> str | None:
    """The first object of the miniature language that the text mentions."""
    return next((word for word in re.findall(r"\w+", text.lower()) if word in TOPIC_OF), None)
