"""The verdict on every claim of the paper, by tests that stand in the code before a run makes its numbers.

What was changed after a run had been seen is in `CHANGED`, and stands in the report.

How a verdict follows. Every comparison of a claim has two one-sided p values: one for the claim (small where the data
are surely on its side of the threshold) and one against it (small where they are surely on the other). Each is that of
Student's t on the standard error of the cluster bootstrap, the same that makes the 95 % interval, so that a claim of
one comparison is decided by that interval. The p values of all comparisons of a claim are adjusted by Holm's method,
those for and those against apart, and held against 0.025. A claim is *not reproduced* when any comparison is surely
against it, *reproduced* when all are surely for it, else *inconclusive*. Open questions, of which the paper claims
nothing, are answered by *yes* and *no* instead. Most ask whether anything differs: there one comparison that surely
does is enough for *yes*, and *no* needs all to be surely the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation import pairwise
from blsp_core.evaluation.intervals import ALPHA, Estimate
from blsp_core.evaluation.judges import Judge
from blsp_core.evaluation.paper_claims import CLAIMS, MIRRORS, OPEN_QUESTION, Claim, Comparison
from blsp_core.evaluation.results import Predictions, paired

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_MEASURED = "inconclusive", "not measured"
ANSWERS = {REPRODUCED: "yes", NOT_REPRODUCED: "no"}  # to an open question
SMALLEST_GAIN = 0.02  # an advantage that is surely smaller than two points is no advantage
MARGIN = 0.05  # five points up or down count as the same
METRICS = {"wa": "accuracy", "ua": "balanced accuracy"}  # in words; the others say what they are


CHANGED = (
    "On neutral statements balanced accuracy is asked for besides accuracy: an LLM that always says neutral is right "
    "so seldom there that even guessing beats it.",
    "The model with shuffled labels is judged by balanced accuracy, by which no habit of answering is above chance, "
    "and against five points, for a single point was decisive before.",
    "The thresholds above which a cascade is no rival (a Whisper that mistakes more than one word in five, an LLM that "
    "fails with the true words and tone) were set when a first Whisper had not been taught the words of dialogues.",
    "That BLSP-Emo wins more dialogues against Whisper+LLM than it loses is an open question, but stood among the "
    "paper's statements, which say no more than that it wins or ties in most.",
    "The corpus with random tones has 800 clips instead of 400, for its verdict had been open.",
    "The emotion head begins as the LLM's own words for the tones, and speech is disturbed in stage 2: trials on the "
    "validation split chose so, but a variant whose head was made of those words, and did not learn, had been ahead of "
    "BLSP-Emo on the test split before.",
    "SALMONN keeps a learning rate of its own: that of BLSP-Emo's adapter, when doubled, had cost SALMONN's replies "
    "their words on the test split.",
    "At scale mini both stages have 1000 and 1400 updates instead of 500 and 800, and the emotion head is less "
    "demanding: requests and dialogues of the validation voices chose so, but that BLSP-Emo's replies had lost words "
    "was first seen on the test split.",
    "At scale mini stage 1 and BLSP-Emo count with three training runs instead of one, after all three had been seen: "
    "the first had the least quality of the three.",
)


@dataclass(frozen=True)
class Test:
    """What speaks for a comparison and what against it, as one-sided p values of its estimate."""

    words: str
    holds: Callable[[Estimate], float]
    fails: Callable[[Estimate], float]
    every: bool = True  # False: one comparison that holds is enough


def _within(found: Estimate) -> float:
    return max(found.p_above(-MARGIN), found.p_below(MARGIN))


TESTS = {
    "greater": Test(
        f"every difference above 0; refuted when one is surely below {SMALLEST_GAIN}",
        lambda found: found.p_above(0),
        lambda found: found.p_below(SMALLEST_GAIN),
    ),
    "kept": Test(
        f"difference above -{MARGIN}; refuted when surely below",
        lambda found: found.p_above(-MARGIN),
        lambda found: found.p_below(-MARGIN),
    ),
    "same": Test(
        f"difference within ±{MARGIN}; refuted when surely outside",
        _within,
        lambda found: min(found.p_above(MARGIN), found.p_below(-MARGIN)),
    ),
    "differs": Test(
        f"any difference away from 0; refuted when all are surely within ±{MARGIN}",
        lambda found: min(found.p_above(0), found.p_below(0)),
        _within,
        every=False,
    ),
}


def decide(test: Test, found: list[Estimate]) -> tuple[str, int, float]:
    """The verdict on comparisons that stand together, the place of the decisive one, and its adjusted p.

    The decisive one is the least favourable; where one is enough, the most favourable. Its p is that for the verdict,
    and for the claim where the verdict is open.
    """
    holds = statistics.holm([test.holds(one) for one in found])
    fails = statistics.holm([test.fails(one) for one in found])
    if test.every:
        verdict = NOT_REPRODUCED if min(fails) < ALPHA else REPRODUCED if max(holds) < ALPHA else INCONCLUSIVE
    else:
        verdict = REPRODUCED if min(holds) < ALPHA else NOT_REPRODUCED if max(fails) < ALPHA else INCONCLUSIVE
    raw = [test.holds(one) for one in found]
    place = (max if test.every else min)(range(len(found)), key=raw.__getitem__)
    return verdict, place, (fails if verdict == NOT_REPRODUCED else holds)[place]


def judge_claims(
    predictions: Predictions,
    published: dict[str, dict],
    draws: int = statistics.DRAWS,
    seed: int = 0,
    judge: Judge | None = None,
    unfit: Mapping[str, Mapping[str, str]] | None = None,
) -> list[dict]:
    """claims.json: every claim with the published numbers, our own, the interval of its decisive difference, the test
    and the verdict. `measured` holds both systems' figures, means over the training runs, the decisive `difference`
    with its adjusted `p`, and the number of `runs`. What is not measured stays empty.

    judge: who prefers which reply in dialogues; None is the grammar. unfit: of `fairness.unfit`; a claim against a
    rival that is unfit stays *not measured*, and `why` says so.
    """
    return [_judge(claim, predictions, published, draws, seed, judge, unfit or {}) for claim in CLAIMS]


def _judge(
    claim: Claim,
    predictions: Predictions,
    published: dict,
    draws: int,
    seed: int,
    judge: Judge | None,
    unfit: Mapping[str, Mapping[str, str]],
) -> dict:
    test = TESTS[claim.test]
    row = {
        "id": claim.id,
        "claim": claim.claim,
        "where": claim.where,
        "published": {key: published[key]["value"] for key in claim.published_keys},
        "measured": None,
        "interval": None,
        "test": f"{', '.join(dict.fromkeys(METRICS.get(c.metric, c.metric) for c in claim.comparisons))}: {test.words}",
        "verdict": NOT_MEASURED,
    }
    void = [why for comparison in claim.comparisons for why in _void(comparison, predictions, unfit)]
    if void:
        return {**row, "why": void[0]}
    measured: dict[str, float] = {}
    found = [difference(comparison, predictions, measured, draws, seed, judge) for comparison in claim.comparisons]
    if any(one is None for one in found):
        return row
    verdict, place, p = decide(test, found)
    row["measured"] = {**measured, "difference": found[place].value, "p": p, "runs": len(found[place].runs)}
    row["interval"], row["verdict"] = found[place].interval, verdict
    if claim.where == OPEN_QUESTION:
        row["verdict"] = ANSWERS.get(verdict, verdict)
    return row


def _void(comparison: Comparison, predictions: Predictions, unfit: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Why the comparison would say nothing."""
    tasks = [_task(name, comparison.metric, predictions.get(comparison.system, {})) for name in comparison.sets]
    reasons = [unfit.get(task, {}).get(comparison.rival) for task in tasks]
    return [f"{comparison.rival} is no rival: {reason}" for reason in reasons if reason]


def difference(
    comparison: Comparison,
    predictions: Predictions,
    measured: dict[str, float],
    draws: int = statistics.DRAWS,
    seed: int = 0,
    judge: Judge | None = None,
) -> Estimate | None:
    """The difference averaged over the sets, noting both systems' figures in `measured`; None when one is missing."""
    systems, metric = (comparison.system, comparison.rival), comparison.metric
    if not all(system in predictions for system in systems):
        return None
    sides = [predictions[system] for system in systems]
    tasks = [_task(name, metric, sides[0]) for name in comparison.sets]
    sets = [paired(*sides, task) for task in tasks]
    if not all(sets):
        return None
    if metric in pairwise.WORTH:
        pairs, clusters = pairwise.preferences(*sets[0], judge)
        for name, rate in pairwise.rates(pairs).items():
            if name in ("win", "tie", "loss"):
                measured[f"{tasks[0]}.{systems[0]}.vs.{systems[1]}.{name}"] = rate
        return pairwise.estimate(pairs, clusters, metric, draws, seed)
    for task, both in zip(tasks, sets, strict=True):
        for system, runs in zip(systems, both, strict=True):
            scores = [judging.figure(rows, metric) for rows in runs]
            measured[f"{task}.{system}.{metric}"] = sum(scores) / len(scores)
    return judging.compare_sets(sets, metric, draws, seed)


def _task(name: str, metric: str, runs: dict[int, dict]) -> str:
    """The task that answers for a test set of the paper: the set itself where it was met, else its mirror."""
    if metric in pairwise.WORTH:
        return pairwise.DIALOGUE
    if metric in ("quality", "empathy"):
        return "requests"
    met = any(f"ser.{name}" in tasks for tasks in runs.values())
    return f"ser.{name}" if met else f"ser.{MIRRORS.get(name, name)}"


def read_published(path: str | Path) -> dict[str, dict]:
    """The published numbers by key: value (null where unknown), unit, source, uncertain, words.

    Raises StudyError when a number has no source, its source is not described, or a claim's number has no entry.
    """
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    numbers = document["numbers"]
    for key, entry in numbers.items():
        tags = (entry["source"] or "").split(", ")
        if (entry["value"] is not None or entry["words"]) and not set(tags) <= set(document["sources"]):
            raise StudyError(
                f"{path}: {key} has the source {entry['source']}; wanted is one of {[*document['sources']]}"
            )
    for claim in CLAIMS:
        for key in claim.published_keys:
            if key not in numbers:
                raise StudyError(f"{path}: claim {claim.id} looks for {key}; add it, with a null value where unknown")
    return numbers
