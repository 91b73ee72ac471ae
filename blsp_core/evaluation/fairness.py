"""Which rivals could not have done well, whatever they hear of the tone: against them no claim is decided.

A cascade stands on words. Where its Whisper does not understand them, or where the LLM fails although it is given the
true words and the true tone, losing to BLSP-Emo says nothing of hearing. What is unfit is decided here, by thresholds.
They were set when a first run of this version had shown a Whisper that had never been taught the follow-ups of
dialogues, and an LLM that cannot read Greek.
"""

from collections.abc import Mapping

from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation.results import Predictions

CEILING = "gold+llm"  # true words, true tone
LOWEST_CEILING = 0.8  # a task on which the ceiling reaches less cannot be done by any cascade
DEAF = 0.2  # word error rate: a Whisper that mistakes more hears no sentences
TRUE_WORDS = ("text+llm",)
METRICS = {"ser": "wa", "requests": "quality", "dialogue": "quality"}  # by the head of a task's name; others count not


def unfit(predictions: Predictions, word_errors: Mapping[str, float]) -> dict[str, dict[str, str]]:
    """task -> cascade -> why it is no rival there.

    word_errors: by corpus, of the Whisper that the cascades stand on; the corpus of a task is the head of its ids.
    """
    found: dict[str, dict[str, str]] = {}
    cascades = [name for name in predictions if name.endswith("+llm") and name != CEILING]
    for task, rows in next(iter(predictions.get(CEILING, {}).values()), {}).items():
        metric = METRICS.get(task.split(".")[0])
        if metric is None:
            continue
        corpus, ceiling = rows[0]["id"].split("-")[0], judging.figure(rows, metric)
        for cascade in cascades:
            if ceiling < LOWEST_CEILING:
                why = f"with the true words and the true tone the LLM reaches only {ceiling:.2f} on {corpus}"
            elif cascade not in TRUE_WORDS and word_errors.get(corpus, 0) > DEAF:
                why = f"its Whisper has a word error rate of {word_errors[corpus]:.2f} on {corpus}"
            else:
                continue
            found.setdefault(task, {})[cascade] = why
    return found
