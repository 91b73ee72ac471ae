"""The toy language: sentences, continuations and replies, and the parser that scores replies.

A sentence is a statement or a request about one object of one topic. A cue ("this is outrageous") may state its
emotion in words; without a cue only the voice has it. A right answer names the object and opens in the speaker's
emotion. `parse_reply` recovers both, which makes the grammar the judge of the miniature. In a dialogue only the first
turn names the object, and the emotion to answer is that of the last turn.
"""

import itertools
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.prompts import NAMED
from blsp_core.toy import lexicon
from blsp_core.toy.lexicon import INTERJECTIONS, TOPIC_OF, TOPICS


@dataclass(frozen=True)
class Sentence:
    """An utterance. `words` is without the cue, `text` with it. Parts that the sentence does not have are empty."""

    words: str
    topic: str = ""
    object: str = ""  # a follow-up has one too, but does not name it
    request: bool = False
    person: str = ""  # "we" in a request
    verb: str = ""
    where: str = ""  # place or moment
    cue: str = ""
    cue_first: bool = True

    @property
    def text(self) -> str:
        parts = [self.cue, self.words] if self.cue_first else [self.words, self.cue]
        return " ".join(part for part in parts if part)

    @property
    def split(self) -> str:
        """train, validation or test, by a hash of the words: test sentences never occur in training, cue or not."""
        bucket = zlib.crc32(self.words.encode()) % 10
        return "test" if bucket >= 8 else "validation" if bucket == 7 else "train"


def _cue(rng: random.Random, emotion: str | None) -> dict:
    return {"cue": rng.choice(lexicon.CUES[emotion]) if emotion else "", "cue_first": rng.random() < 0.5}


def draw_ravdess(rng: random.Random, cue_emotion: str | None = None) -> Sentence:
    """One of the sentences of `lexicon.RAVDESS`, with a cue for `cue_emotion`."""
    words, (person, thing) = rng.choice(list(lexicon.RAVDESS.items()))
    return Sentence(words, TOPIC_OF[thing], thing, person=person, **_cue(rng, cue_emotion))


def draw_sentence(
    rng: random.Random,
    split: str,
    request: bool = False,
    cue_emotion: str | None = None,
    templates: Sequence[int] = (),
) -> Sentence:
    """A random sentence of the split, with a cue for `cue_emotion`. templates: places in the list of shapes; () for
    all."""
    shapes = lexicon.SHAPES_REQUEST if request else lexicon.SHAPES_STATEMENT
    while True:
        topic = rng.choice(list(TOPICS))
        shape = rng.choice([shapes[i] for i in templates] or shapes)
        options = {"object": TOPICS[topic]["objects"], "verb": TOPICS[topic]["verbs"], "person": lexicon.PEOPLE}
        options |= {"place": lexicon.PLACES, "moment": lexicon.MOMENTS}
        drawn = {slot: rng.choice(words) for slot, words in options.items()}
        used = {slot: drawn[slot] for slot in drawn if f"{{{slot}}}" in shape}
        parts = {"person": "we" if request else drawn["person"], "verb": used.get("verb", "")}
        parts["where"] = used.get("place") or used.get("moment", "")
        words = shape.format(**drawn)
        sentence = Sentence(words, topic, drawn["object"], request, **parts, **_cue(rng, cue_emotion))
        if sentence.split == split:
            return sentence


def draw_follow_up(rng: random.Random, split: str, cue_emotion: str | None = None) -> Sentence:
    """A random request of the split about an object named earlier, with a cue for `cue_emotion`."""
    while True:
        where = rng.choice(lexicon.PLACES + lexicon.MOMENTS)
        words = rng.choice(lexicon.SHAPES_FOLLOW_UP).format(where=where)
        sentence = Sentence(words, request=True, person="we", where=where, **_cue(rng, cue_emotion))
        if sentence.split == split:
            return sentence


@cache
def foreign_sentences(corpus: str, split: str) -> list[Sentence]:
    """All sentences of the split in the language of the corpus, a key of `lexicon.LANGUAGES`: subject, verb and object,
    with the place or time last or first."""
    choices = itertools.product(*lexicon.LANGUAGES[corpus].parts)
    orders = (order for *words, where in choices for order in ((*words, where), (where, *words)))
    return [sentence for order in orders if (sentence := Sentence(" ".join(order))).split == split]


def draw_dialogue(
    rng: random.Random, split: str, emotion: str, cue_emotion: str | None = None, last_cue_emotion: str | None = None
) -> tuple[Sentence, str, Sentence]:
    """A random dialogue of the split: the user names an object, the assistant replies, the user asks about the object
    without naming it; `empathetic_reply` to that is the right end. The last sentence has the topic and object of the
    first. The assistant acknowledges `emotion`, that of the first turn. The cues are for the first and the last turn.
    """
    first = draw_sentence(rng, split, request=rng.random() < 0.5, cue_emotion=cue_emotion)
    last = replace(draw_follow_up(rng, split, last_cue_emotion), topic=first.topic, object=first.object)
    opening = "" if emotion == "neutral" else _opening(rng, lexicon.OPENINGS_REPLY, emotion) + " "
    return first, f"{opening}{rng.choice(lexicon.GO_ON)}.", last


def _opening(rng: random.Random, openings: dict[str, list[str]], emotion: str) -> str:
    return f"{INTERJECTIONS[emotion]} {rng.choice(openings[emotion])}"


def _like(topic: str) -> str:
    return lexicon.LIKE.format(folk=TOPICS[topic]["folk"])


def continuation(rng: random.Random, sentence: Sentence, emotion: str, other: bool = False) -> str:
    """An opening that shows the emotion, then a body that repeats all parts of the sentence; `other`: in the style of
    the second LLM, which the parser does not know."""
    if other:
        body = lexicon.OTHER_WITH_VERB if sentence.verb else lexicon.OTHER_WITHOUT_VERB
        text = body.format(**vars(sentence), folk=TOPICS[sentence.topic]["folk"])
        return f"{rng.choice(lexicon.OTHER_OPENINGS[emotion])} {' '.join(text.split())}."
    body = (lexicon.BODY_WITH_VERB if sentence.verb else lexicon.BODY_WITHOUT_VERB).format(**vars(sentence)).strip()
    return f"{_opening(rng, lexicon.OPENINGS_CONTINUATION, emotion)} {_like(sentence.topic)} {body}."


def plain_reply(rng: random.Random, sentence: Sentence) -> str:
    """Advice on a request's object, or a question about a statement's, without emotion."""
    line = lexicon.TELL_ME_MORE
    if sentence.request:
        line = f"{_like(sentence.topic)} {rng.choice(TOPICS[sentence.topic]['advice'])}"
    return line.format(object=sentence.object) + "."


def empathetic_reply(rng: random.Random, sentence: Sentence, emotion: str) -> str:
    """An opening that acknowledges the speaker's emotion, then a `plain_reply`."""
    return f"{_opening(rng, lexicon.OPENINGS_REPLY, emotion)} {plain_reply(rng, sentence)}"


def name_emotion(emotion: str) -> str:
    """The answer to the question for the emotion."""
    return f"{INTERJECTIONS[emotion]} {NAMED.format(emotion=emotion)}"


@dataclass(frozen=True)
class Reply:
    """What the parser found in a reply; None where it found nothing."""

    kind: str | None  # continuation, reply or name
    emotion: str | None  # of its opening; None for advice without one
    object: str | None
    topic: str | None  # of the advice
    well_formed: bool  # the whole text is one sentence of the grammar, advice and object of one topic


_SLOTS = {
    " {where}": "(?: (?:" + "|".join(lexicon.PLACES + lexicon.MOMENTS) + "))?",
    "{person}": "(?:" + "|".join([*lexicon.PEOPLE, "we", *(person for person, _ in lexicon.RAVDESS.values())]) + ")",
    "{verb}": "(?:" + "|".join(verb for entry in TOPICS.values() for verb in entry["verbs"]) + ")",
    "{object}": r"(\w+)",
}


def _pattern(template: str) -> re.Pattern:
    for slot, words in _SLOTS.items():
        template = template.replace(slot, words)
    return re.compile(template)


_BODIES = [  # pattern, kind, topic
    *((_pattern(f"{_like(topic)} {body}"), "continuation", topic)
      for body in (lexicon.BODY_WITH_VERB, lexicon.BODY_WITHOUT_VERB) for topic in TOPICS),
    *((_pattern(f"{_like(topic)} {line}"), "reply", topic)
      for topic, entry in TOPICS.items() for line in entry["advice"]),
    (_pattern(lexicon.TELL_ME_MORE), "reply", None),
]  # fmt: skip
_OPENINGS = [
    (f"{INTERJECTIONS[emotion]} {opening} ", kind, emotion)
    for kind, openings in (("continuation", lexicon.OPENINGS_CONTINUATION), ("reply", lexicon.OPENINGS_REPLY))
    for emotion in EMOTIONS
    for opening in openings[emotion]
]
_FIRST = "(?:(?:" + "|".join(INTERJECTIONS.values()) + ") )?"
_NAME = re.compile(_FIRST + NAMED.format(emotion="(" + "|".join(EMOTIONS) + ")").replace(".", r"\.?"))


def parse_reply(text: str) -> Reply:
    """Parse a reply.

    A well-formed reply names an emotion, gives advice, or has an opening and a body of one kind, with advice that fits
    the topic of its object. A malformed one keeps the emotion of its opening and the first object it mentions.
    """
    text = " ".join(text.lower().split()).replace(" .", ".")
    if named := _NAME.fullmatch(text):
        return Reply("name", named[1], None, None, True)
    found = [opening for opening in _OPENINGS if text.startswith(opening[0])]
    opening, kind, emotion = max(found, key=lambda entry: len(entry[0]), default=("", None, None))
    body = text[len(opening) :].strip().removesuffix(".")
    for pattern, body_kind, topic in _BODIES:
        match = pattern.fullmatch(body)
        if match and body_kind == (kind or "reply"):
            fits = match[1] in TOPIC_OF and topic in (None, TOPIC_OF[match[1]])
            return Reply(body_kind, emotion, match[1], topic, fits and text.endswith("."))
    return Reply(kind, emotion, object_of(body), None, False)


def object_of(text: str) -> str | None:
    """The first object of the toy language that the text mentions."""
    return next((word for word in re.findall(r"\w+", text.lower()) if word in TOPIC_OF), None)
