"""The verdict on every claim of the paper, and on two controls. The claims are in data/claims.yaml, with the list of
what was changed after a run had been seen.

How a verdict follows. Every comparison of a claim has two one-sided p values, by Student's t on the standard error of
its estimate: one for the claim (small where the data are significantly on its side of the threshold) and one against
it. The p values of all comparisons of a claim are adjusted by Holm's method, those for and those against apart, and
compared with 0.025. A claim is *not reproduced* when any comparison is significantly against it, *reproduced* when all
are significantly for it, else *inconclusive*. Open questions, on which the paper makes no claim, are answered by *yes*
and *no*. Most ask whether anything differs: there one significant difference is enough for *yes*, and *no* needs all
comparisons to be significantly the same.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML

from blsp_core.errors import StudyError
from blsp_core.evaluation import metrics
from blsp_core.evaluation.intervals import ALPHA, Estimate, holm
from blsp_core.evaluation.judges import LOSS, TIE, WIN, Judge
from blsp_core.evaluation.results import CONTROL, DIALOGUE, Predictions, paired

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_MEASURED = "inconclusive", "not measured"
PASSED, FAILED = "passed", "failed"  # of a control
ANSWERS = {REPRODUCED: "yes", NOT_REPRODUCED: "no"}  # to an open question
OPEN_QUESTION = "open question"  # `where` of what the paper does not claim
SMALLEST_GAIN = 0.02  # an advantage that is significantly smaller than two points is no advantage
MARGIN = 0.05  # five points up or down count as the same
METRICS = {"wa": "accuracy", "ua": "balanced accuracy"}  # in words
# The corpus of the miniature that takes the place of a test set of the paper; other scales have the set itself.
MIRRORS = {
    "iemocap": "acted", "meld": "talk", "ravdess": "statements", "aesdd": "greek", "cafe": "french",
    "resd": "russian", "speechalpaca": "requests",
}  # fmt: skip
TEXT_ONLY, GOLD, SHUFFLED = "text+llm", "gold+llm", "shuffled-labels"
LOWEST_CEILING = 0.8  # a task on which gold+llm (true words, true emotion) reaches less is beyond every cascade
MAX_WER = 0.2  # word error rate above which cascades with Whisper's transcripts are excluded
CEILING_METRICS = {"ser": "wa", "requests": "quality", "dialogue": "quality"}  # by the head of a task's name
CONTROL_CLAIMS = ("in-domain-text", "out-of-domain-text", "requests-emotion", "requests-empathy")


@dataclass(frozen=True)
class Comparison:
    """One system less another, the difference averaged over test sets of the paper."""

    system: str
    baseline: str
    sets: tuple[str, ...]
    metric: str  # wa, ua, quality, empathy; of dialogues preference or unbeaten, see `metrics.WORTH`


@dataclass(frozen=True)
class Claim:
    id: str
    title: str  # for plots
    claim: str  # in words
    where: str  # the table or figure of the paper, or OPEN_QUESTION
    test: str  # a key of TESTS
    comparisons: tuple[Comparison, ...]
    table: str = ""  # the head of its keys in published.json

    @property
    def published_keys(self) -> list[str]:
        """The published numbers that bear on it, in the order of the comparisons, each once."""
        if self.table == "figure3":
            return [f"figure3.dialogue.{c.system}.vs.{c.baseline}" for c in self.comparisons]
        keys = []
        for c in self.comparisons if self.table else ():
            columns = [*c.sets, "average"] if len(c.sets) > 1 else [_column(c.sets[0], c.metric)]
            keys += [f"{self.table}.{column}.{system}" for column in columns for system in (c.system, c.baseline)]
        return list(dict.fromkeys(keys))


def _column(name: str, metric: str) -> str:
    return name if name != "speechalpaca" else {"wa": "ser", "ua": "ser"}.get(metric, metric)


@dataclass(frozen=True)
class Test:
    """What is for a comparison and what is against it, as one-sided p values of its estimate."""

    words: str
    holds: Callable[[Estimate], float]
    fails: Callable[[Estimate], float]
    every: bool = True  # False: one comparison that holds is enough


def _within(found: Estimate) -> float:
    return max(found.p_above(-MARGIN), found.p_below(MARGIN))


def _beyond(found: Estimate) -> float:
    return min(found.p_above(MARGIN), found.p_below(-MARGIN))


TESTS = {
    "greater": Test(
        f"every difference above 0; refuted when one is significantly below {SMALLEST_GAIN}",
        lambda found: found.p_above(0),
        lambda found: found.p_below(SMALLEST_GAIN),
    ),
    "kept": Test(
        f"difference above -{MARGIN}; refuted when significantly below",
        lambda found: found.p_above(-MARGIN),
        lambda found: found.p_below(-MARGIN),
    ),
    "same": Test(f"difference within ±{MARGIN}; refuted when significantly outside", _within, _beyond),
    "differs": Test(
        f"any difference from 0; refuted when all are significantly within ±{MARGIN}",
        lambda found: min(found.p_above(0), found.p_below(0)),
        _within,
        every=False,
    ),
}
NO_ADVANTAGE = Test(
    f"no system more than {MARGIN} above {TEXT_ONLY}; failed when one is significantly beyond",
    lambda found: found.p_below(MARGIN),
    lambda found: found.p_above(MARGIN),
)


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of data/claims.yaml, in its order. Raises StudyError for an unknown or missing key or test."""
    claims = []
    for number, row in enumerate(YAML(typ="safe", pure=True).load(Path(path).read_text("utf-8"))["claims"], start=1):
        try:
            compared = tuple(Comparison(one, other, tuple(sets), by) for one, other, sets, by in row["comparisons"])
            claims.append(Claim(**row | {"comparisons": compared}))
            TESTS[claims[-1].test]
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"{path}, claim {number}: {error}; a claim has id, title, claim, where, test ({', '.join(TESTS)}) and "
                "comparisons, [system, baseline, [sets], metric] each, and perhaps table"
            ) from None
    return claims


def read_changes(path: str | Path) -> list[str]:
    """What was changed after a run had been seen, from data/claims.yaml."""
    return YAML(typ="safe", pure=True).load(Path(path).read_text("utf-8"))["changed"]


def read_published(path: str | Path, claims: Sequence[Claim] = ()) -> dict[str, dict]:
    """The published numbers by key: value (null where unknown), unit, source, uncertain, words.

    Raises StudyError when a number has no source, its source is not described, or a claim's number has no entry.
    """
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    numbers, sources = document["numbers"], document["sources"]
    for key, entry in numbers.items():
        known = set((entry["source"] or "").split(", ")) <= set(sources)
        if (entry["value"] is not None or entry["words"]) and not known:
            raise StudyError(f"{path}: {key} has the source {entry['source']}; wanted is one of {[*sources]}")
    for claim in claims:
        for key in claim.published_keys:
            if key not in numbers:
                raise StudyError(f"{path}: claim {claim.id} looks for {key}; add it, with a null value where unknown")
    return numbers


def excluded(predictions: Predictions, word_errors: Mapping[str, float]) -> dict[str, dict[str, str]]:
    """task -> cascade -> why no claim is decided against it there: a cascade depends on words, and where these are not
    understood, a lower figure says nothing about emotion recognition.

    word_errors: by corpus, of the Whisper that the cascades read; the corpus of a task is the head of its ids.
    """
    found: dict[str, dict[str, str]] = {}
    cascades = [name for name in predictions if name.endswith("+llm") and name != GOLD]
    for task, rows in next(iter(predictions.get(GOLD, {}).values()), {}).items():
        metric = CEILING_METRICS.get(task.split(".")[0])
        if metric is None or not metrics.is_scored(rows):
            continue
        corpus, ceiling = rows[0]["id"].split("-")[0], metrics.figure(rows, metric)
        for cascade in cascades:
            if ceiling < LOWEST_CEILING:
                why = f"with the true words and the true emotion the LLM reaches only {ceiling:.2f} on {corpus}"
            elif cascade != TEXT_ONLY and word_errors.get(corpus, 0) > MAX_WER:
                why = f"its Whisper has a word error rate of {word_errors[corpus]:.2f} on {corpus}"
            else:
                continue
            found.setdefault(task, {})[cascade] = why
    return found


def decide(test: Test, found: list[Estimate]) -> tuple[str, int, float]:
    """The verdict on comparisons that are decided together, the place of the decisive one, and its adjusted p.

    The decisive one is the least favourable; where one is enough, the most favourable. Its p is that for the verdict,
    and for the claim where the verdict is open.
    """
    raw = [test.holds(one) for one in found]
    holds, fails = holm(raw), holm([test.fails(one) for one in found])
    if test.every:
        verdict = NOT_REPRODUCED if min(fails) < ALPHA else REPRODUCED if max(holds) < ALPHA else INCONCLUSIVE
    else:
        verdict = REPRODUCED if min(holds) < ALPHA else NOT_REPRODUCED if max(fails) < ALPHA else INCONCLUSIVE
    place = (max if test.every else min)(range(len(found)), key=raw.__getitem__)
    return verdict, place, (fails if verdict == NOT_REPRODUCED else holds)[place]


def judge_claims(
    predictions: Predictions,
    published: Mapping[str, Mapping],
    claims: Sequence[Claim],
    judge: Judge | None = None,
    excluded: Mapping[str, Mapping[str, str]] | None = None,
) -> list[dict]:
    """Every claim with the published numbers, our own, the interval of its decisive difference, the test and the
    verdict. `measured` holds both systems' figures, means over the training runs, the decisive `difference` with its
    adjusted `p`, and the number of `runs`; None where a system or its scores are missing.

    judge: who prefers which reply in dialogues. excluded: of `excluded`; a claim against a baseline that is excluded is
    *not measured*, and `why` says so.
    """
    return [_judge(claim, predictions, published, judge, excluded or {}) for claim in claims]


def _judge(claim: Claim, predictions: Predictions, published: Mapping, judge: Judge | None, excluded: Mapping) -> dict:
    test, compared = TESTS[claim.test], claim.comparisons
    row = {
        **{"id": claim.id, "title": claim.title, "claim": claim.claim, "where": claim.where},
        **{"published": {key: published[key]["value"] for key in claim.published_keys}},
        **{"measured": None, "interval": None},
        "test": f"{', '.join(dict.fromkeys(METRICS.get(c.metric, c.metric) for c in compared))}: {test.words}",
        "verdict": NOT_MEASURED,
    }
    for c in compared:
        for task in (_task(name, c.metric, predictions.get(c.system, {})) for name in c.sets):
            if c.baseline in excluded.get(task, {}):
                return {**row, "why": f"{c.baseline} is excluded: {excluded[task][c.baseline]}"}
    measured: dict[str, float] = {}
    found = [difference(c, predictions, measured, judge) for c in compared]
    if None in found:
        return row
    verdict, place, p = decide(test, found)
    row["measured"] = {**measured, "difference": found[place].value, "p": p, "runs": len(found[place].runs)}
    row["interval"] = found[place].interval
    return {**row, "verdict": ANSWERS.get(verdict, verdict) if claim.where == OPEN_QUESTION else verdict}


def difference(
    comparison: Comparison, predictions: Predictions, measured: dict[str, float], judge: Judge | None = None
) -> Estimate | None:
    """The difference averaged over the sets, noting both systems' figures in `measured`; None when one is missing."""
    systems, metric = (comparison.system, comparison.baseline), comparison.metric
    if not all(system in predictions for system in systems):
        return None
    sides = [predictions[system] for system in systems]
    tasks = [_task(name, metric, sides[0]) for name in comparison.sets]
    sets = [paired(*sides, task) for task in tasks]
    if None in sets or (metric in metrics.WORTH and judge is None):
        return None
    if metric in metrics.WORTH:
        pairs, clusters = metrics.preferences(*sets[0], judge)
        rates, head = metrics.preference_rates(pairs), f"{tasks[0]}.{systems[0]}.vs.{systems[1]}"
        measured |= {f"{head}.{name}": rates[name] for name in (WIN, TIE, LOSS)}
        return metrics.estimate_preference(pairs, clusters, metric)
    for task, both in zip(tasks, sets, strict=True):
        for system, runs in zip(systems, both, strict=True):
            measured[f"{task}.{system}.{metric}"] = sum(metrics.figure(run, metric) for run in runs) / len(runs)
    return metrics.compare_sets(sets, metric)


def _task(name: str, metric: str, runs: Mapping[int, Mapping]) -> str:
    """The task for a test set of the paper: the set itself where it was evaluated, else its mirror."""
    if metric in metrics.WORTH or metric in metrics.REPLYING:
        return DIALOGUE if metric in metrics.WORTH else "requests"
    evaluated = any(f"ser.{name}" in tasks for tasks in runs.values())
    return f"ser.{name if evaluated else MIRRORS.get(name, name)}"


def judge_controls(predictions: Predictions, claims: Sequence[Claim]) -> list[dict]:
    """The two controls: `id`, `control` in words, `measured`, `interval` of the decisive difference, `test`, `verdict`:
    passed, failed, inconclusive or not measured.

    A model trained on shuffled labels must fail the claims about emotion recognition, else they hold without learning
    from the voice. And on a corpus whose voices have emotions drawn at random, so that only the words agree with the
    label, no system may be better than the LLM that has only the words, else the label reaches it by another way; it
    may be worse, as a system that uses the voice is misled.
    """
    return [_shuffled(predictions, claims), _text_only(predictions)]


def _row(name: str, control: str, test: str) -> dict:
    found = {"measured": None, "interval": None, "test": test, "verdict": NOT_MEASURED}
    return {"id": name, "control": control, **found}


def _shuffled(predictions: Predictions, claims: Sequence[Claim]) -> dict:
    words = (
        f"in BLSP-Emo's place in {', '.join(CONTROL_CLAIMS)}, by balanced accuracy: failed when one of these claims is "
        f"reproduced, passed when in each a comparison is significantly below {MARGIN}"
    )
    row = _row(SHUFFLED, "Trained on shuffled labels, the model fails the claims about emotion recognition.", words)
    measured, decided = {}, []
    for claim in (claim for claim in claims if claim.id in CONTROL_CLAIMS):
        swapped = [replace(c, system=SHUFFLED, metric={"wa": "ua"}.get(c.metric, c.metric)) for c in claim.comparisons]
        found = [difference(c, predictions, measured) for c in swapped]
        if None in found:
            return row
        claimed = decide(TESTS[claim.test], found)[0] == REPRODUCED
        below, place, _ = decide(replace(TESTS["greater"], fails=lambda one: one.p_below(MARGIN)), found)
        verdict = FAILED if claimed else PASSED if below == NOT_REPRODUCED else INCONCLUSIVE
        decided.append((verdict, found[place]))
    row["verdict"] = next((one for one in (FAILED, INCONCLUSIVE) if one in [v for v, _ in decided]), PASSED)
    most = max((found for verdict, found in decided if verdict == row["verdict"]), key=lambda found: found.value)
    return {**row, "measured": {**measured, "difference": most.value}, "interval": most.interval}


def _text_only(predictions: Predictions) -> dict:
    words = "Where only the words agree with the label, no system is better than the LLM that has only the words."
    row = _row("random-emotions", words, NO_ADVANTAGE.words)
    measured: dict[str, float] = {}
    others = [name for name in predictions if name not in (TEXT_ONLY, GOLD, "random+llm")]  # these two read an emotion
    asked = [Comparison(system, TEXT_ONLY, (CONTROL,), "wa") for system in others]
    found = [one for c in asked if (one := difference(c, predictions, measured)) is not None]
    if not found:
        return row
    verdict, place, p = decide(NO_ADVANTAGE, found)
    row["verdict"] = {REPRODUCED: PASSED, NOT_REPRODUCED: FAILED}.get(verdict, verdict)
    measured |= {"difference": found[place].value, "p": p}
    return {**row, "measured": measured, "interval": found[place].interval}
