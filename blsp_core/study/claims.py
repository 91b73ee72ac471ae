"""The claims of the paper as data, and the test that each must pass on our own measurements.

A claim is a set of comparisons between two systems on the test sets of the paper; the miniature answers for a test set
with the corpus that mirrors it. A verdict is decided here, by interval and threshold, never by eye.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.study import judging, statistics
from blsp_core.study.statistics import Estimate

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_MEASURED = "inconclusive", "not measured"

# The corpus of the miniature that plays the part of a test set of the paper; other scales use the set's own name.
MIRRORS = {
    "iemocap": "acted", "meld": "talk", "ravdess": "statements", "aesdd": "greek", "cafe": "french",
    "resd": "russian", "speechalpaca": "requests",
}  # fmt: skip
SMALLEST_GAIN = 0.02  # an advantage that is surely smaller than two points is no advantage
MARGIN = 0.05  # five points up or down count as the same

Predictions = dict[str, dict[str, list[dict]]]  # system -> task -> rows of predictions.jsonl


@dataclass(frozen=True)
class Comparison:
    """One system against another, the difference averaged over test sets of the paper."""

    system: str
    rival: str
    sets: tuple[str, ...]
    metric: str  # wa, quality, empathy or preference


@dataclass(frozen=True)
class Claim:
    id: str
    claim: str  # in words
    where: str  # the table or figure of the paper; "open question" for what it leaves open
    test: str  # a key of TESTS
    comparisons: tuple[Comparison, ...]
    table: str = ""  # the head of its keys in published.json

    @property
    def published_keys(self) -> list[str]:
        """The published numbers that bear on it, in the order of the comparisons, each once."""
        if not self.table:
            return []
        if self.table == "figure3":
            return [f"figure3.dialogue.{c.system}.vs.{c.rival}" for c in self.comparisons]
        keys = []
        for c in self.comparisons:
            columns = [_column(name, c.metric) for name in c.sets] if len(c.sets) == 1 else [*c.sets, "average"]
            keys += [f"{self.table}.{column}.{system}" for column in columns for system in (c.system, c.rival)]
        return list(dict.fromkeys(keys))


def _column(name: str, metric: str) -> str:
    return name if name != "speechalpaca" else {"wa": "ser"}.get(metric, metric)


def _against(rivals: str, sets: str, metrics: str = "wa", system: str = "blsp-emo") -> tuple[Comparison, ...]:
    """A comparison with every rival on every set under every metric."""
    return tuple(
        Comparison(system, rival, (name,), metric)
        for rival in rivals.split()
        for name in sets.split()
        for metric in metrics.split()
    )


def _on_average(rivals: str, sets: str) -> tuple[Comparison, ...]:
    return tuple(Comparison("blsp-emo", rival, tuple(sets.split()), "wa") for rival in rivals.split())


TEXT = "text+llm whisper+llm"
CLASSIFIERS = "wav2vec2+llm hubert+llm wavlm+llm"
ABLATED = "table4-5"

CLAIMS = (
    Claim(
        "in-domain-text",
        "On the corpora it was trained on, BLSP-Emo names emotions better than an LLM that has only the words.",
        "Table 1", "greater", _against(TEXT, "iemocap meld"), "table1",
    ),
    Claim(
        "in-domain-classifiers",
        "On those corpora it names emotions better than fine-tuned speech classifiers.",
        "Table 1", "greater", _against(CLASSIFIERS, "iemocap meld"), "table1",
    ),
    Claim(
        "in-domain-salmonn",
        "It names emotions better than SALMONN, a multi-task speech LLM, in domain and out of it.",
        "Table 1", "greater", _against("salmonn", "iemocap meld ravdess"), "table1",
    ),
    Claim(
        "out-of-domain-text",
        "On acted neutral statements by unseen speakers it names emotions better than an LLM that has only the words.",
        "Table 1", "greater", _against(TEXT, "ravdess"), "table1",
    ),
    Claim(
        "out-of-domain-classifiers",
        "On such statements it names emotions better than fine-tuned speech classifiers.",
        "Table 1", "greater", _against(CLASSIFIERS, "ravdess"), "table1",
    ),
    Claim(
        "semantic-stage-alone",
        "The semantic stage alone (BLSP) does not make the LLM hear emotions; the emotion stage does.",
        "Table 1", "greater", _against("blsp", "iemocap"), "table1",
    ),
    Claim(
        "requests-emotion",
        "On spoken requests it names the speaker's emotion better than the text systems and BLSP.",
        "Table 2", "greater", _against(TEXT + " blsp", "speechalpaca"), "table2",
    ),
    Claim(
        "requests-quality",
        "Its replies to spoken requests keep the quality of the LLM's replies to the true words.",
        "Table 2", "kept", _against("text+llm", "speechalpaca", "quality"), "table2",
    ),
    Claim(
        "requests-empathy",
        "Its replies meet the speaker's tone better than replies to the words alone.",
        "Table 2", "greater", _against(TEXT, "speechalpaca", "empathy"), "table2",
    ),
    Claim(
        "labels-only",
        "Trained to name the emotion only (BLSP-SER), it loses both the quality and the empathy of its replies.",
        "Table 2", "greater", _against("blsp-ser", "speechalpaca", "quality empathy"), "table2",
    ),
    Claim(
        "dialogue-cascade",
        "In dialogues of several turns its replies are preferred to those of Whisper+LLM.",
        "Figure 3", "greater", _against("whisper+llm", "dialogue", "preference"), "figure3",
    ),
    Claim(
        "dialogue-classifier",
        "In dialogues of several turns its replies are preferred to those of WavLM+LLM.",
        "Figure 3", "greater", _against("wavlm+llm", "dialogue", "preference"), "figure3",
    ),
    Claim(
        "cross-lingual",
        "It names emotions best, on average, in three languages that it was never trained on.",
        "Table 3", "greater", _on_average(f"whisper+llm {CLASSIFIERS} salmonn", "aesdd cafe resd"), "table3",
    ),
    Claim(
        "needs-semantic-stage",
        "Without the semantic stage both emotion recognition and the quality of replies suffer.",
        "Tables 4 and 5", "greater",
        _against("no-semantic-stage", "iemocap") + _against("no-semantic-stage", "speechalpaca", "quality"), ABLATED,
    ),
    Claim(
        "needs-emotion-loss",
        "Without the emotion loss it names emotions less well.",
        "Tables 4 and 5", "greater", _against("no-emotion-loss", "iemocap ravdess"), ABLATED,
    ),
    Claim(
        "emotion-loss-on-requests",
        "On spoken requests the emotion loss makes no difference to emotion recognition.",
        "Tables 4 and 5", "same", _against("no-emotion-loss", "speechalpaca"), ABLATED,
    ),
    Claim(
        "own-writer",
        "Targets written by the LLM itself serve better than targets written by another LLM.",
        "Tables 4 and 5", "greater",
        _against("other-writer", "iemocap ravdess") + _against("other-writer", "speechalpaca", "wa quality empathy"),
        ABLATED,
    ),
    Claim(
        "not-multitask",
        "Emotion-aware continuations serve better than continuation and emotion recognition as two tasks.",
        "Tables 4 and 5", "greater",
        _against("multitask", "iemocap ravdess") + _against("multitask", "speechalpaca", "wa quality empathy"),
        ABLATED,
    ),
    Claim(
        "encoder-in-stage-2",
        "Training the encoder in stage 2 (the paper does, the released script does not) changes recognition.",
        "open question", "differs", _on_average("frozen-encoder", "iemocap meld ravdess"),
    ),
    Claim(
        "shifted-kl",
        "Distilling the first response token, which the released loss forgets, changes the quality of replies.",
        "open question", "differs", _against("blsp-unshifted", "speechalpaca", "quality", system="blsp"),
    ),
)  # fmt: skip


def _greater(found: Estimate) -> str:
    return REPRODUCED if found.low > 0 else NOT_REPRODUCED if found.high < SMALLEST_GAIN else INCONCLUSIVE


def _kept(found: Estimate) -> str:
    return REPRODUCED if found.low > -MARGIN else NOT_REPRODUCED if found.high < -MARGIN else INCONCLUSIVE


def _same(found: Estimate) -> str:
    if -MARGIN < found.low and found.high < MARGIN:
        return REPRODUCED
    return NOT_REPRODUCED if found.low > MARGIN or found.high < -MARGIN else INCONCLUSIVE


def _differs(found: Estimate) -> str:
    if found.low > 0 or found.high < 0:
        return REPRODUCED
    return NOT_REPRODUCED if -MARGIN < found.low and found.high < MARGIN else INCONCLUSIVE


TESTS = {
    "greater": (_greater, f"every difference above 0; refuted when one is surely below {SMALLEST_GAIN}"),
    "kept": (_kept, f"difference above -{MARGIN}; refuted when surely below"),
    "same": (_same, f"difference within ±{MARGIN}; refuted when surely outside"),
    "differs": (_differs, f"difference away from 0; refuted when surely within ±{MARGIN}"),
}


def judge_claims(
    predictions: Predictions, published: dict[str, dict], draws: int = statistics.DRAWS, seed: int = 0
) -> list[dict]:
    """claims.json: every claim with the published numbers, our own, the interval of its decisive difference, the test
    and the verdict. Differences are paired by utterance and their intervals 95 %. What is not measured stays empty.

    With several comparisons all must hold, and the decisive one is the least favourable.
    """
    return [_judge(claim, predictions, published, draws, seed) for claim in CLAIMS]


def _judge(claim: Claim, predictions: Predictions, published: dict, draws: int, seed: int) -> dict:
    decide, words = TESTS[claim.test]
    row = {
        "id": claim.id,
        "claim": claim.claim,
        "where": claim.where,
        "published": {key: published[key]["value"] for key in claim.published_keys},
        "measured": None,
        "interval": None,
        "test": words,
        "verdict": NOT_MEASURED,
    }
    measured: dict[str, float] = {}
    differences = [_difference(comparison, predictions, measured, draws, seed) for comparison in claim.comparisons]
    if any(difference is None for difference in differences):
        return row
    verdicts = [decide(difference) for difference in differences]
    verdict = next((v for v in (NOT_REPRODUCED, INCONCLUSIVE) if v in verdicts), REPRODUCED)
    decisive = min((d for d, v in zip(differences, verdicts, strict=True) if v == verdict), key=lambda d: d.value)
    row["measured"] = {**measured, "difference": decisive.value}
    row["interval"], row["verdict"] = decisive.interval, verdict
    return row


def _difference(
    comparison: Comparison, predictions: Predictions, measured: dict[str, float], draws: int, seed: int
) -> Estimate | None:
    """The difference averaged over the sets, noting both systems' figures in `measured`; None when one is missing."""
    found = []
    for name in comparison.sets:
        task = _task(name, comparison.metric, predictions.get(comparison.system, {}))
        sides = [predictions.get(system, {}).get(task) for system in (comparison.system, comparison.rival)]
        if not all(sides):
            return None
        for system, rows in zip((comparison.system, comparison.rival), sides, strict=True):
            measured[f"{task}.{system}.{comparison.metric}"] = judging.score(rows)[comparison.metric]
        found.append(judging.compare(*sides, comparison.metric, draws, seed))
    return statistics.mean_over_sets(found)


def _task(name: str, metric: str, tasks: dict) -> str:
    """The task that answers for a test set of the paper: the set itself where it was met, else its mirror."""
    if metric in ("quality", "empathy"):
        return "requests"
    return f"ser.{name}" if f"ser.{name}" in tasks else f"ser.{MIRRORS.get(name, name)}"


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
