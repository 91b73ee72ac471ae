"""Two experiments that must come out badly, or the study measures something else than what it says.

A model trained on labels that were shuffled must fail the claims about hearing emotions: else they can be had without
learning what the voice says. And on a corpus whose voices speak in tones drawn at random, so that only the words agree
with the label, no system may do better than one that has only the words: else the label reaches it by some other way.
It may do worse there, as one that listens follows the voice.

What was changed after a run had been seen is in `claims.CHANGED`.
"""

from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation.claims import (
    INCONCLUSIVE,
    MARGIN,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    TESTS,
    Test,
    decide,
    difference,
)
from blsp_core.evaluation.paper_claims import CLAIMS, CONTROL, Comparison
from blsp_core.evaluation.results import Predictions

PASSED, FAILED = "passed", "failed"
SHUFFLED = "shuffled-labels"
EMOTION_CLAIMS = ("in-domain-text", "out-of-domain-text", "requests-emotion", "requests-empathy")
FAIR = {"wa": "ua"}  # balanced accuracy: no habit of answering brings one that hears nothing above chance
TEXT_ONLY = "text+llm"
TOLD = ("gold+llm", "random+llm")  # told a tone from outside, the one even the label itself: no test of hearing

_LEVEL = Test(
    f"no system more than {MARGIN} above {TEXT_ONLY}; failed when one is surely beyond",
    lambda found: found.p_below(MARGIN),
    lambda found: found.p_above(MARGIN),
)


_EMOTION = Test("", TESTS["greater"].holds, lambda found: found.p_below(MARGIN))


def judge_controls(predictions: Predictions, draws: int = statistics.DRAWS, seed: int = 0) -> list[dict]:
    """controls.json: `id`, `control` in words, `measured`, `interval` of the decisive difference, `test`, `verdict`:
    passed, failed, inconclusive or not measured."""
    return [_shuffled(predictions, draws, seed), _text_only(predictions, draws, seed)]


def _row(name: str, control: str, test: str) -> dict:
    return {
        "id": name, "control": control, "measured": None, "interval": None, "test": test, "verdict": NOT_MEASURED,
    }  # fmt: skip


def _shuffled(predictions: Predictions, draws: int, seed: int) -> dict:
    words = (
        f"put in BLSP-Emo's place in {', '.join(EMOTION_CLAIMS)}, by balanced accuracy: failed when one of these "
        f"claims is reproduced, passed when in each a comparison is surely below {MARGIN}"
    )
    row = _row(SHUFFLED, "Trained on shuffled labels, the model fails the claims about hearing emotions.", words)
    measured, decided = {}, []
    for claim in (claim for claim in CLAIMS if claim.id in EMOTION_CLAIMS):
        swapped = [Comparison(SHUFFLED, c.rival, c.sets, FAIR.get(c.metric, c.metric)) for c in claim.comparisons]
        found = [difference(one, predictions, measured, draws, seed) for one in swapped]
        if any(one is None for one in found):
            return row
        claimed = decide(TESTS[claim.test], found)[0] == REPRODUCED
        _, place, _ = verdict = decide(_EMOTION, found)
        decided.append((FAILED if claimed else PASSED if verdict[0] == NOT_REPRODUCED else INCONCLUSIVE, found[place]))
    verdicts = [verdict for verdict, _ in decided]
    row["verdict"] = next((verdict for verdict in (FAILED, INCONCLUSIVE) if verdict in verdicts), PASSED)
    most = max((found for verdict, found in decided if verdict == row["verdict"]), key=lambda found: found.value)
    row["measured"], row["interval"] = {**measured, "difference": most.value}, most.interval
    return row


def _text_only(predictions: Predictions, draws: int, seed: int) -> dict:
    words = (
        "Where only the words agree with the label, no system does better (worse it may) than one that has only words."
    )
    row = _row("random-tones", words, _LEVEL.words)
    measured: dict = {}
    others = [system for system in predictions if system not in (TEXT_ONLY, *TOLD)]
    asked = [Comparison(system, TEXT_ONLY, (CONTROL,), "wa") for system in others]
    found = [one for c in asked if (one := difference(c, predictions, measured, draws, seed)) is not None]
    if not found:
        return row
    verdict, place, p = decide(_LEVEL, found)
    row["verdict"] = {REPRODUCED: PASSED, NOT_REPRODUCED: FAILED}.get(verdict, verdict)
    row["measured"], row["interval"] = {**measured, "difference": found[place].value, "p": p}, found[place].interval
    return row
