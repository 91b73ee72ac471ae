"""The verdict on every claim of the paper. The claims are in data/claims.yaml, with the list of what was changed after
a run had been seen.

How a verdict follows. Every comparison of a claim has two one-sided p values, by Student's t on the standard error of
its estimate: one for the claim (small where the data are significantly on its side of the threshold), one against it.
A claim needs all of its comparisons: its p for is the largest of theirs, its p against the smallest after Holm's
adjustment. Open questions, on which the paper makes no claim, are answered by *yes* and *no*; most ask whether anything
differs, where one comparison is enough: there it is the other way round. The p for of all claims together are adjusted
by Holm's method, and so are the p against; at 0.025 a claim is *not reproduced* by its p against, *reproduced* by its p
for, else *inconclusive*.

Every claim has a null system, which must fail it: stage 1 alone (it does not recognise emotions) or BLSP-Emo's replies
to other requests. A claim that would be reproduced, and that its null system passes in BLSP-Emo's place, is
*uninformative*.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML

from blsp_core.errors import StudyError
from blsp_core.evaluation import metrics
from blsp_core.evaluation.intervals import ALPHA, Estimate, holm
from blsp_core.evaluation.judges import LOSS, TIE, WIN
from blsp_core.evaluation.results import DIALOGUE, TRUE_WORDS, Predictions, corpus_of, paired

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, UNINFORMATIVE, NOT_MEASURED = "inconclusive", "uninformative", "not measured"
PASSES = "passes"  # what a null system must not
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
TEXT_ONLY, GOLD = "text+llm", "gold+llm"
LOWEST_CEILING = 0.8  # a task on which gold+llm (true words, true emotion) reaches less is beyond every cascade
MAX_WER = 0.2  # word error rate above which cascades with Whisper's transcripts are excluded
CEILING_METRICS = {"ser": "wa", "requests": "quality", "dialogue": "quality"}  # by the head of a task's name


@dataclass(frozen=True)
class Comparison:
    """One system less another, the difference averaged over test sets of the paper."""

    system: str
    baseline: str
    sets: tuple[str, ...]
    metric: str  # wa, ua, quality, empathy; of dialogues preference or unbeaten, see `metrics.WORTH`
    table: str = ""  # where it is not the claim's

    @property
    def words(self) -> str:
        return f"{self.system} - {self.baseline}: {METRICS.get(self.metric, self.metric)}, {', '.join(self.sets)}"


@dataclass(frozen=True)
class Claim:
    id: str
    title: str  # for plots
    claim: str  # in words
    where: str  # the table or figure of the paper, or OPEN_QUESTION
    test: str  # a key of TESTS
    comparisons: tuple[Comparison, ...]
    table: str = ""  # the head of its keys in published.json
    null_system: str = ""  # must fail it in place of the first system compared; "" where a question has none

    @property
    def published_keys(self) -> list[str]:
        """The published numbers that bear on it, in the order of the comparisons, each once."""
        if self.table == "figure3":
            return [f"figure3.dialogue.{c.system}.vs.{c.baseline}" for c in self.comparisons]
        keys = []
        for c in self.comparisons if self.table else ():
            columns = [*c.sets, "average"] if len(c.sets) > 1 else c.sets
            columns = [
                {"wa": "ser", "ua": "ser"}.get(c.metric, c.metric) if n == "speechalpaca" else n for n in columns
            ]
            table = c.table or self.table
            keys += [f"{table}.{column}.{system}" for column in columns for system in (c.system, c.baseline)]
        return list(dict.fromkeys(keys))

    def with_null(self) -> list[Comparison]:
        """Its comparisons with the null system in the place of the one that it is about; none of it with itself."""
        about = self.comparisons[0].system
        swapped = [replace(c, system=self.null_system if c.system == about else c.system) for c in self.comparisons]
        return [c for c in swapped if c.system != c.baseline]


@dataclass(frozen=True)
class Test:
    """What is for a comparison and what is against it, as one-sided p values of its estimate."""

    words: str
    holds: Callable[[Estimate], float]
    fails: Callable[[Estimate], float]
    every: bool = True  # False: one comparison that holds is enough


def _within(found: Estimate) -> float:
    return max(found.p_above(-MARGIN), found.p_below(MARGIN))


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
    "same": Test(
        f"difference within ±{MARGIN}; refuted when significantly outside",
        _within,
        lambda found: min(found.p_above(MARGIN), found.p_below(-MARGIN)),
    ),
    "differs": Test(
        f"any difference from 0; refuted when all are significantly within ±{MARGIN}",
        lambda found: min(found.p_above(0), found.p_below(0)),
        _within,
        every=False,
    ),
}


def read_claims(path: str | Path) -> list[Claim]:
    """The claims of data/claims.yaml, in its order. Raises StudyError for an unknown or missing key or test."""
    claims = []
    for number, row in enumerate(YAML(typ="safe", pure=True).load(Path(path).read_text("utf-8"))["claims"], start=1):
        try:
            compared = tuple(Comparison(one, other, tuple(sets), *by) for one, other, sets, *by in row["comparisons"])
            claims.append(Claim(**row | {"comparisons": compared}))
            TESTS[claims[-1].test]
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"{path}, claim {number}: {error}; a claim has id, title, claim, where, test ({', '.join(TESTS)}) and "
                "comparisons, [system, baseline, [sets], metric] each, and perhaps table and null_system"
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

    word_errors: by corpus, of the Whisper that the cascades read.
    """
    found: dict[str, dict[str, str]] = {}
    cascades = [name for name in predictions if name.endswith("+llm") and name != GOLD]
    for task, rows in next(iter(predictions.get(GOLD, {}).values()), {}).items():
        metric = CEILING_METRICS.get(task.split(".")[0])
        if metric is None or not metrics.is_scored(rows):
            continue
        corpus, ceiling = corpus_of(task, rows, word_errors) or task, metrics.figure(rows, metric)
        for cascade in cascades:
            if ceiling < LOWEST_CEILING:
                why = f"with the true words and the true emotion the LLM reaches only {ceiling:.2f} on {corpus}"
            elif cascade not in TRUE_WORDS and word_errors.get(corpus, 0) > MAX_WER:
                why = f"its Whisper has a word error rate of {word_errors[corpus]:.2f} on {corpus}"
            else:
                continue
            found.setdefault(task, {})[cascade] = why
    return found


def decide(test: Test, found: list[Estimate]) -> tuple[float, float, int]:
    """The p for and the p against of comparisons that are decided together, and the place of the decisive one: the
    least favourable; where one is enough, the most favourable."""
    holds, fails = [test.holds(one) for one in found], [test.fails(one) for one in found]
    place = (max if test.every else min)(range(len(found)), key=holds.__getitem__)
    return (max(holds), min(holm(fails)), place) if test.every else (min(holm(holds)), max(fails), place)


def verdict_of(p_for: float, p_against: float) -> str:
    return NOT_REPRODUCED if p_against < ALPHA else REPRODUCED if p_for < ALPHA else INCONCLUSIVE


def judge_claims(
    predictions: Predictions, published: Mapping[str, Mapping], claims: Sequence[Claim], judge=None,
    excluded: Mapping[str, Mapping[str, str]] | None = None,
) -> list[dict]:  # fmt: skip
    """Every claim with the published numbers, our own, the `decisive` comparison, the interval of its difference,
    the test, the null system with what it does (`fails`, `passes`, `not measured`), `detectable` as of `Estimate`, and
    the verdict. `measured` holds both systems' figures, means over the training runs, the decisive `difference`,
    the `p` for the verdict (for the claim where that is open), adjusted over all claims, and the number of `runs`; None
    where a system or its scores are missing.

    judge: who prefers which reply in dialogues. excluded: of `excluded`; a claim against a baseline that is excluded is
    *not measured*, and `why` says so.
    """
    rows, decided = [], []
    for claim in claims:
        test, compared = TESTS[claim.test], claim.comparisons
        why, measured = _exclusion(compared, predictions, excluded or {}), {}
        found = [None] if why else [difference(c, predictions, measured, judge) for c in compared]
        decided.append(None if None in found else (*decide(test, found), found))
        named = ", ".join(dict.fromkeys(METRICS.get(c.metric, c.metric) for c in compared))
        rows.append(
            {
                "id": claim.id, "title": claim.title, "claim": claim.claim, "where": claim.where,
                "published": {key: published[key]["value"] for key in claim.published_keys},
                "measured": measured if decided[-1] else None, "decisive": None, "interval": None, "detectable": None,
                "test": f"{named}: {test.words}", "null": "" if why else _null(claim, predictions, judge),
                "verdict": NOT_MEASURED, **({"why": why} if why else {}),
            }
        )  # fmt: skip
    known = [(claim, row, one) for claim, row, one in zip(claims, rows, decided, strict=True) if one]
    absent = [1.0] * (len(claims) - len(known))  # they count too: a verdict does not depend on what else is measured
    adjusted = [holm([one[side] for *_, one in known] + absent)[: len(known)] for side in (0, 1)]
    for (claim, row, (*_, place, found)), p_for, p_against in zip(known, *adjusted, strict=True):
        verdict, decisive = verdict_of(p_for, p_against), found[place]
        p = p_against if verdict == NOT_REPRODUCED else p_for
        row["measured"] |= {"difference": decisive.value, "p": p, "runs": len(decisive.runs)}
        row["decisive"] = claim.comparisons[place].words
        row["interval"], row["detectable"] = decisive.interval, decisive.detectable
        row["verdict"] = ANSWERS.get(verdict, verdict) if claim.where == OPEN_QUESTION else verdict
        if row["null"].endswith(PASSES) and verdict == REPRODUCED:
            row["verdict"] = UNINFORMATIVE
    return rows


def _exclusion(compared: Sequence[Comparison], predictions: Predictions, excluded: Mapping) -> str | None:
    for c in compared:
        for name in c.sets:
            if reason := excluded.get(_task(name, c.metric, predictions.get(c.system, {})), {}).get(c.baseline):
                return f"{c.baseline} is excluded: {reason}"
    return None


def _null(claim: Claim, predictions: Predictions, judge) -> str:
    """The claim's null system and whether it passes in BLSP-Emo's place, by p values that are not adjusted."""
    if not claim.null_system:
        return ""
    found = [difference(c, predictions, {}, judge) for c in claim.with_null()]
    passes = None not in found and decide(TESTS[claim.test], found)[0] < ALPHA
    return f"{claim.null_system} {NOT_MEASURED if None in found else PASSES if passes else 'fails'}"


def difference(
    comparison: Comparison, predictions: Predictions, measured: dict[str, float], judge=None
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
        outcomes, clusters = metrics.preferences(*sets[0], judge)
        rates, head = metrics.preference_rates(outcomes), f"{tasks[0]}.{systems[0]}.vs.{systems[1]}"
        measured |= {f"{head}.{name}": rates[name] for name in (WIN, TIE, LOSS)}
        return metrics.estimate_preference(outcomes, clusters, metric)
    for task, both in zip(tasks, sets, strict=True):
        for system, runs in zip(systems, both, strict=True):
            measured[f"{task}.{system}.{metric}"] = sum(metrics.figure(run, metric) for run in runs) / len(runs)
    return metrics.compare(sets, metric)


def _task(name: str, metric: str, runs: Mapping[int, Mapping]) -> str:
    """The task for a test set of the paper: the set itself where it was evaluated, else its mirror."""
    if metric in metrics.WORTH or metric in metrics.REPLYING:
        return DIALOGUE if metric in metrics.WORTH else "requests"
    evaluated = any(f"ser.{name}" in tasks for tasks in runs.values())
    return f"ser.{name if evaluated else MIRRORS.get(name, name)}"
