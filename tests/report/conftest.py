"""Made-up predictions: systems that are right with a given chance, on speakers and sentences that repeat."""

import random

import pytest
from matplotlib import pyplot as plt

from blsp_core.data.emotions import EMOTIONS
from blsp_core.report import style

CORPORA = ("acted", "talk", "statements", "requests", "control")


def rows_of(system: str, task: str, chance: float, seed: int = 1, count: int = 60) -> list[dict]:
    """Rows of a predictions file, of recognition (ser.*) or of scored replies, right with this chance."""
    rng, rows = random.Random(f"{system} {task} {seed}"), []
    corpus = task.removeprefix("ser.")
    for place in range(count):
        emotion = EMOTIONS[place % len(EMOTIONS)]
        right = rng.random() < chance
        row = {"id": f"{corpus}-{place}", "system": system, "task": task, "prompt": "", "reference": emotion}
        row |= {"speaker": f"s{place % 6}", "text": "words" if task == "showcase" else f"sentence {place // 5}"}
        if task.startswith("ser."):
            row |= {"predicted": emotion if right else rng.choice(EMOTIONS), "response": "It is an emotion."}
        else:
            row |= {"quality": 1, "empathy": int(right), "response": f"a reply in {emotion if right else 'grey'}"}
        rows.append(row)
    return rows


@pytest.fixture(scope="session")
def predictions():
    """Of five systems; a probe answers no requests, BLSP-Emo was trained twice."""
    chances = {"text+llm": 0.0, "whisper+llm": 0.0, "probe": 0.6, "blsp": 0.1, "blsp-emo": 0.9}
    found: dict[str, dict] = {}
    for system, chance in chances.items():
        tasks = [f"ser.{corpus}" for corpus in CORPORA]
        tasks += [] if system == "probe" else ["requests", "dialogue", "showcase"]
        for seed in (1, 2) if system == "blsp-emo" else (1,):
            answers = {task: rows_of(system, task, chance, seed) for task in tasks}
            found.setdefault(system, {})[seed] = answers
    return found


@pytest.fixture(autouse=True)
def use_style():
    with plt.rc_context():
        style.use_style()
        yield
    plt.close("all")
