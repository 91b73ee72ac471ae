"""The tables of the study, the headline numbers of summary.json, and the results block of the README.

In every table a cell reads `82.1 [76.4, 87.0] ±1.3 (76.0)`: measured, the mean over training runs, with its 95 %
interval and, where there are several runs, their standard deviation; in parentheses the paper's own number on the set
that the corpus mirrors. `?` marks a published number whose source is unsure.
"""

from pathlib import Path

import pandas as pd

from blsp_core.errors import StudyError
from blsp_core.evaluation.paper_claims import CONTROL, MIRRORS
from blsp_core.evaluation.results import Metrics, read_figures
from blsp_core.report.style import in_order, name_of
from blsp_core.report.summaries import cell

HEADLINES = (("llm", "object"), ("llm", "tone"), ("asr", "wer"))  # of foundation.json
KEY = (
    "Per cent, with 95 % intervals in brackets, after ± the spread over training runs where there are several, and the "
    "paper's own numbers in parentheses"
)
TITLES = {
    "iemocap": "IEMOCAP", "meld": "MELD", "ravdess": "RAVDESS", "aesdd": "AESDD", "cafe": "CaFE", "resd": "RESD",
    "speechalpaca": "SpeechAlpaca", "ser": "SpeechAlpaca", "average": "average",
}  # fmt: skip
UNKNOWN = {"value": None, "uncertain": False, "words": None}
TABLES = ("table1", "table2", "table3", "table4-5")


def read_metrics(results: str | Path) -> Metrics:
    """The figures of every system over its training runs, as the paper's stage has kept them in paper.json."""
    path = Path(results) / "paper.json"
    if not path.is_file():
        raise StudyError(f"{path} is not there yet; run `dvc repro` to its end")
    systems = read_figures(path)["systems"]
    return {system: systems[system] for system in in_order(systems)}


def published_entry(published: dict, corpus: str, system: str, metric: str) -> dict:
    """What the paper says of a system on the set that a corpus mirrors; an empty entry where it says nothing known."""
    column = {acted: real for real, acted in MIRRORS.items()}.get(corpus, corpus)
    if column == "speechalpaca":
        column = "ser" if metric == "wa" else metric
    found = [published[key] for table in TABLES if (key := f"{table}.{column}.{system}") in published]
    known = [entry for entry in found if entry["value"] is not None]
    return (known or found or [UNKNOWN])[0]


def recognition(metrics: Metrics, published: dict) -> pd.DataFrame:
    """Emotion recognition in long form, without the control: system, corpus, value, low, high (accuracy, shares),
    published (per cent), uncertain (whether the source of that is unsure)."""
    rows = []
    for system, tasks in metrics.items():
        for task, figures in tasks.items():
            if task.startswith("ser.") and task != f"ser.{CONTROL}":
                corpus, (low, high) = task.removeprefix("ser."), figures["intervals"]["wa"]
                paper = published_entry(published, corpus, system, "wa")
                row = {"system": system, "corpus": corpus, "value": figures["wa"], "low": low, "high": high}
                rows.append(row | {"published": paper["value"], "uncertain": paper["uncertain"]})
    return pd.DataFrame(rows)


def most_frequent(metrics: Metrics) -> dict[str, float]:
    """The share of the most frequent emotion of each corpus: what a system scores that always gives one answer."""
    shares = {}
    for tasks in metrics.values():
        for task, figures in tasks.items():
            if task.startswith("ser."):
                totals = [sum(row.values()) for row in figures["confusion"].values()]
                shares[task.removeprefix("ser.")] = max(totals) / sum(totals)
    return shares


def recognition_table(
    metrics: Metrics, published: dict, metric: str = "wa", corpora: list[str] | None = None
) -> pd.DataFrame:
    """Every system on every corpus but the control, or on those named; the paper reports accuracy (wa) only."""
    rows = []
    for system, tasks in metrics.items():
        row = {"system": name_of(system)}
        for task, figures in tasks.items():
            corpus = task.removeprefix("ser.")
            if task.startswith("ser.") and (corpus != CONTROL if corpora is None else corpus in corpora):
                paper = published_entry(published, corpus, system, metric) if metric == "wa" else None
                row[_headed(corpus)] = _cell(figures, metric, paper)
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def requests_table(metrics: Metrics, published: dict) -> pd.DataFrame:
    """Replies to spoken requests; the paper's numbers are a GPT-4 judge's, 0-10."""
    rows = []
    for system, figures in _replies(metrics).items():
        row = {"system": name_of(system)}
        for metric in ("quality", "empathy"):
            row[f"{metric} (paper: of 10)"] = _cell(
                figures, metric, published_entry(published, "requests", system, metric)
            )
        row |= {f"empathy, {tone}": f"{100 * share:.0f}" for tone, share in figures["tone_by_tone"].items()}
        rows.append(row)
    return pd.DataFrame(rows)


def requests(metrics: Metrics) -> pd.DataFrame:
    """Quality and empathy with their intervals, a row for each system: quality, quality_low, quality_high ..."""
    rows = []
    for system, figures in _replies(metrics).items():
        row = {"system": system}
        for metric in ("quality", "empathy"):
            low, high = figures["intervals"][metric]
            row |= {metric: figures[metric], f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def dialogue_table(dialogues: dict[str, dict], published: dict) -> pd.DataFrame:
    """Pairwise preferences of `pairwise.against_all`: shares in per cent, wins less losses with its interval."""
    rows = []
    for pair, figures in dialogues.items():
        system, rival = pair.split(".vs.")
        low, high = (100 * end for end in figures["interval"])
        row = {"system": name_of(system), "against": name_of(rival)}
        spread = {name: f" ±{100 * sd:.1f}" for name, sd in figures.get("sd", {}).items()}
        shares = ("win", "tie", "loss", "flips", "unjudged")
        row |= {name: f"{100 * figures[name]:.1f}{spread.get(name, '')}" for name in shares}
        row["win - loss"] = f"{100 * figures['preference']:+.1f} [{low:.1f}, {high:.1f}]"
        rows.append(row | {"paper": _paper(published.get(f"figure3.dialogue.{pair}", UNKNOWN))})
    return pd.DataFrame(rows)


def controls_table(controls: list[dict]) -> pd.DataFrame:
    """controls.json for a reader."""
    return pd.DataFrame(
        {
            "control": control["control"],
            "decisive difference": _difference(control),
            "test": control["test"],
            "verdict": control["verdict"],
        }
        for control in controls
    )


def _difference(row: dict) -> str:
    if row["interval"] is None:
        return ""
    low, high = (100 * end for end in row["interval"])
    return f"{100 * row['measured']['difference']:+.1f} [{low:.1f}, {high:.1f}]"


def claims_table(claims: list[dict], published: dict) -> pd.DataFrame:
    """claims.json for a reader; the first number of each group is the system that the claim is about."""
    rows = []
    for claim in claims:
        rows.append(
            {
                "claim": claim["claim"],
                "where": claim["where"],
                "published": _groups(
                    {key: (key.split(".", 2)[1], _paper(published[key])) for key in claim["published"]}
                ),
                "measured": claim.get("why") or _groups(_measured(claim["measured"])),
                "difference": _difference(claim),
                "test": claim["test"],
                "verdict": claim["verdict"],
            }
        )
    return pd.DataFrame(rows)


def _measured(measured: dict | None) -> dict:
    pairs = {}
    for key, value in (measured or {}).items():
        if "." in key:  # a figure of a system, not of the comparison
            task, metric = key.split(".")[0], key.rsplit(".", 1)[1]
            column = metric if task != "ser" else key.split(".")[1] + ", balanced" * (metric == "ua")
            pairs[key] = (column, f"{100 * value:.1f}")
    return pairs


def _groups(pairs: dict[str, tuple[str, str]]) -> str:
    """`IEMOCAP 76.0 vs 69.3, 64.6; MELD 57.3 vs ...`; a group of which nothing is known is left out."""
    groups: dict[str, list[str]] = {}
    for column, value in pairs.values():
        groups.setdefault(column, []).append(value)
    texts = []
    for column, (first, *rest) in groups.items():
        if first or any(rest):
            against = ", ".join(value or "n/a" for value in rest)
            texts.append(f"{TITLES.get(column, column)} {first or 'n/a'}" + (f" vs {against}" if any(rest) else ""))
    return "; ".join(texts)


def summary(
    foundation: dict, metrics: Metrics, runs: list[dict], dialogues: dict[str, dict] | None = None
) -> dict[str, float]:
    """The flat headline numbers of summary.json: shares in 0..1, means over training runs, and with several runs their
    spread under `<key>.sd`.

    runs: the records of all stages; seconds are their sum, and that of what one training seed needs; memory is the
    largest of their peaks. dialogues: of `pairwise.against_all`.
    """
    known = [(part, name) for part, name in HEADLINES if name in foundation.get(part, {})]  # none of what was fetched
    flat = {f"foundation.{part}.{name}": foundation[part][name] for part, name in known}
    for system, tasks in metrics.items():
        for task, figures in tasks.items():
            names = ("wa", "ua", "f1", "unparsed", "n") if task.startswith("ser.") else ("quality", "empathy")
            flat |= _flat(f"{task}.{system}", figures, names)
    for pair, figures in (dialogues or {}).items():
        flat |= _flat(f"dialogue.{pair}", figures, ("win", "tie", "loss"))
    flat["study.seconds"] = sum(run["seconds"] for run in runs)
    first = min((run["train_seed"] for run in runs if "train_seed" in run), default=None)
    shared = [run for run in runs if run.get("train_seed", first) == first]
    flat["study.seconds_of_one_seed"] = sum(run["seconds"] for run in shared)
    flat["study.peak_memory_gb"] = max(run.get("peak_memory_gb", 0.0) for run in runs)
    return dict(sorted(flat.items()))


def _flat(head: str, figures: dict, names: tuple[str, ...]) -> dict[str, float]:
    spread = {f"{head}.{name}.sd": figures["sd"][name] for name in names if name in figures.get("sd", {})}
    return {f"{head}.{name}": figures[name] for name in names} | spread


def overview(metrics: Metrics, published: dict, corpora: list[str] | None = None) -> pd.DataFrame:
    """Systems by corpora, then the quality and the empathy of their replies to requests."""
    systems, replies = recognition_table(metrics, published, corpora=corpora), requests_table(metrics, published)
    columns = ["system", *(column for column in replies if column.startswith(("quality", "empathy (")))]
    return systems.merge(replies[columns], on="system", how="left").fillna("") if len(replies) else systems


def _replies(metrics: Metrics) -> dict[str, dict]:
    return {system: tasks["requests"] for system, tasks in metrics.items() if "requests" in tasks}


def _headed(corpus: str) -> str:
    real = {acted: real for real, acted in MIRRORS.items()}.get(corpus)
    return f"{corpus} ({TITLES[real]})" if real else TITLES.get(corpus, corpus)


def _cell(figures: dict, metric: str, paper: dict | None) -> str:
    said = _paper(paper) if paper else ""
    return cell(figures, metric) + (f" ({said})" if said else "")


def _paper(entry: dict) -> str:
    """A published number as it is shown: empty where unknown, marked where its source is unsure."""
    said = entry["words"] or "" if entry["value"] is None else f"{entry['value']:.1f}"
    return f"{said}?" if said and entry["uncertain"] else said
