"""Controls, decided like the claims: what must fail if recognition is learnt from the voice, what cannot be better than
text, and what a judge of replies must mark lower; and the null system of claims about replies."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from blsp_core.evaluation import claims, metrics
from blsp_core.evaluation.claims import MARGIN, NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, TEXT_ONLY
from blsp_core.evaluation.intervals import Estimate
from blsp_core.evaluation.judges import Asked
from blsp_core.evaluation.results import CONTROL, MAIN, Predictions, of_task

PASSED, FAILED = "passed", "failed"
SHUFFLED, STAGE1 = "shuffled-labels", "blsp"  # systems
SHUFFLED_REPLIES = "shuffled-replies"  # the null system of claims about replies
CONTROL_CLAIMS = ("recognition-text", "requests-empathy")
NO_ADVANTAGE = claims.Test(
    f"nowhere more than {MARGIN} above; failed when one is significantly beyond",
    lambda found: found.p_below(MARGIN),
    lambda found: found.p_above(MARGIN),
)
ABSENT = {"measured": None, "decisive": None, "interval": None, "verdict": NOT_MEASURED}
_VERDICTS = {REPRODUCED: PASSED, NOT_REPRODUCED: FAILED}
LOWER = "marks of BLSP-Emo's own replies less those of the same replies {}: above 0; failed when significantly below"


def shuffled_replies(predictions: Predictions, judge) -> Predictions:
    """The null system: BLSP-Emo's replies to requests, each given to another request, in the same emotion where there
    is one, and marked anew. Empty without a judge or without replies."""
    runs = predictions.get(MAIN, {}) if judge else {}
    moved = {seed: {"requests": _moved(tasks.get("requests", []), judge, True)} for seed, tasks in runs.items()}
    moved = {seed: tasks for seed, tasks in moved.items() if tasks["requests"]}
    return {SHUFFLED_REPLIES: moved} if moved else {}


def _moved(rows: list[dict], judge, other_words: bool) -> list[dict]:
    """The rows with each other's replies, marked anew: those to other words, in the same emotion where there is such a
    row; or to another emotion, of the same words where there is such a row. Of several the next one in order."""
    if not metrics.is_scored(rows):
        return []
    differs, shared = ("text", "reference") if other_words else ("reference", "text")
    replies = []
    for place, row in enumerate(rows):
        following = [other for other in rows[place + 1 :] + rows[:place] if other[differs] != row[differs]]
        if not following:
            return []
        alike = (other for other in following if other[shared] == row[shared])
        replies.append(next(chain(alike, following))["response"])
    marks = judge.mark([Asked.of_row(row) for row in rows], replies)
    return [{**row, "response": one, **mark} for row, one, mark in zip(rows, replies, marks, strict=True)]


def judge_controls(predictions: Predictions, paper: Sequence[claims.Claim], judge=None) -> list[dict]:
    """The controls: `id`, `control` in words, `test`, `measured`, the `decisive` comparison, the `interval` of its
    difference, `verdict`: passed, failed, inconclusive or not measured.

    A model trained on shuffled labels must have no advantage over text in emotion recognition and empathy, else these
    are had without learning from the voice. On a corpus whose voices have emotions drawn at random, so that only the
    words agree with the label, no system may be better than the LLM that has only the words, else the label reaches it
    by another way; it may be worse, as a system that uses the voice is misled. And the judge must mark BLSP-Emo's
    replies lower when they are given to other requests (quality) and to another emotion of the voice (empathy).
    """
    shuffled = "Trained on shuffled labels, the model is no better than text in recognition and empathy."
    words = "Where only the words agree with the label, no system is better than the LLM that has only the words."
    swapped = f"in BLSP-Emo's place in {', '.join(CONTROL_CLAIMS)}, by balanced accuracy, against text: " + (
        NO_ADVANTAGE.words
    )
    quality, empathy = LOWER.format("given to other requests"), LOWER.format("given to another emotion")
    rows = []
    for name, control, test, found in (
        (SHUFFLED, shuffled, swapped, _shuffled(predictions, paper)),
        ("random-emotions", words, NO_ADVANTAGE.words, _text_only(predictions)),
        ("judge-quality", "The judge gives replies to other requests less quality.", quality,
         _marked_lower(predictions, judge, "quality")),
        ("judge-empathy", "The judge gives replies to another emotion less empathy.", empathy,
         _marked_lower(predictions, judge, "empathy")),
    ):  # fmt: skip
        rows.append({"id": name, "control": control, "test": test, **(found or ABSENT)})
    return rows


def _marked_lower(predictions: Predictions, judge, metric: str) -> dict | None:
    own = of_task(predictions.get(MAIN, {}), "requests") if judge else []
    moved = [_moved(rows, judge, metric == "quality") for rows in own]
    if not own or not all(moved):
        return None
    found = metrics.compare([(own, moved)], metric)
    verdict = claims.verdict_of(found.p_above(0), found.p_below(0))
    marks = {name: metrics.figure(sum(runs, []), metric) for name, runs in (("own", own), ("moved", moved))}
    compared = f"own replies - replies {'to other requests' if metric == 'quality' else 'to another emotion'}: {metric}"
    return _row(marks | {"difference": found.value}, compared, found, verdict)


def _shuffled(predictions: Predictions, paper: Sequence[claims.Claim]) -> dict | None:
    compared = [c for claim in paper if claim.id in CONTROL_CLAIMS for c in claim.comparisons if c.baseline != STAGE1]
    compared = [replace(c, system=SHUFFLED, metric={"wa": "ua"}.get(c.metric, c.metric)) for c in compared]
    return _no_advantage(list(dict.fromkeys(compared)), predictions, every=True)


def _text_only(predictions: Predictions) -> dict | None:
    given = claims.GOLD, "random+llm"  # these read an emotion
    others = [name for name in predictions if name not in (TEXT_ONLY, *given)]
    return _no_advantage([claims.Comparison(name, TEXT_ONLY, (CONTROL,), "wa") for name in others], predictions)


def _no_advantage(compared: Sequence[claims.Comparison], predictions: Predictions, every: bool = False) -> dict | None:
    """What was measured and the verdict by `NO_ADVANTAGE`; None where nothing could be compared, or not `every` one."""
    measured: dict[str, float] = {}
    found = [claims.difference(c, predictions, measured) for c in compared]
    known = [one for one in found if one is not None]
    if not known or (every and len(known) < len(found)):
        return None
    p_for, p_against, place = claims.decide(NO_ADVANTAGE, known)
    verdict = claims.verdict_of(p_for, p_against)
    decisive = [c for c, one in zip(compared, found, strict=True) if one is not None][place]
    measured |= {"difference": known[place].value, "p": p_against if verdict == NOT_REPRODUCED else p_for}
    return _row(measured, decisive.words, known[place], verdict)


def _row(measured: dict, decisive: str, found: Estimate, verdict: str) -> dict:
    verdict = _VERDICTS.get(verdict, verdict)
    return {"measured": measured, "decisive": decisive, "interval": found.interval, "verdict": verdict}
