"""Made-up predictions: systems that are right with a given chance, on clips of ten speakers."""

import random

import pytest

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance
from blsp_core.evaluation import metrics
from blsp_core.evaluation.tasks import recognition, spoken_requests

CORPORA = ("acted", "talk", "statements", "requests")


class WordJudge:
    """A judge for tests: quality is the word `helpful`, empathy the emotion's name, in a reply."""

    def mark(self, asked, replies):
        pairs = zip(asked, replies, strict=True)
        return [{"quality": int("helpful" in reply), "empathy": int(one.emotion in reply)} for one, reply in pairs]

    def prefer(self, first, second):
        ranks = [[(row["quality"], row["empathy"]) for row in rows] for rows in (first, second)]
        return ["win" if a > b else "loss" if a < b else "tie" for a, b in zip(*ranks, strict=True)]


def make_utterances(corpus: str, count: int, speakers: int = 10) -> list[Utterance]:
    emotions = EMOTIONS[:4] if corpus == "requests" else EMOTIONS
    rows = [(f"sentence {i % (count // 2)}", emotions[i % len(emotions)], f"{corpus}-{i}") for i in range(count)]
    return [
        Utterance("clip.flac", text, emotion, name, f"speaker {i % speakers}", "en", 2.0, corpus, "test")
        for i, (text, emotion, name) in enumerate(rows)
    ]


def make_named(system: str, corpus: str, chance: float, count: int) -> list[dict]:
    """Recognition rows that are right with this chance; the others name another emotion, or none."""
    rng = random.Random(system + corpus)
    spoken = make_utterances(corpus, count)
    said = [u.emotion if rng.random() < chance else rng.choice([*EMOTIONS, "hard to say"]) for u in spoken]
    return metrics.judge(recognition(corpus), system, spoken, said)


def make_replied(system: str, chance: float, count: int) -> list[dict]:
    """Helpful replies to requests that name the speaker's emotion with this chance."""
    rng = random.Random(system)
    spoken = make_utterances("requests", count)
    said = [f"helpful, {u.emotion if rng.random() < chance else rng.choice(EMOTIONS)}" for u in spoken]
    return metrics.judge(spoken_requests(), system, spoken, said, WordJudge())


@pytest.fixture(scope="session")
def evaluated():
    """A function: system -> task -> rows, for systems that recognise the emotion with the given chances."""

    def evaluate(chances: dict[str, float], count: int = 100) -> dict[str, dict[str, list[dict]]]:
        found: dict[str, dict] = {}
        for system, chance in chances.items():
            found[system] = {f"ser.{corpus}": make_named(system, corpus, chance, count) for corpus in CORPORA}
            found[system]["requests"] = make_replied(system, chance, count)
        return found

    return evaluate


@pytest.fixture(scope="session")
def judge():
    return WordJudge()
