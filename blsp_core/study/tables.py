"""The tables of the study, the headline numbers of summary.json, and the results block of the README.

In every table a cell reads `82.1 [76.4, 87.0] (76.0)`: measured, its 95 % interval, and in parentheses the paper's own
number on the set that the corpus mirrors; `?` marks a published number whose source is unsure.
`python -m blsp_core.study.tables readme` renews the README from the results on disk.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from blsp_core.errors import StudyError
from blsp_core.study.claims import MIRRORS, read_published
from blsp_core.study.figures import in_order, name_of
from blsp_core.study.report import cell

Metrics = dict[str, dict[str, dict]]  # system -> task -> the figures of judging.measure
HEADLINES = (("llm", "object"), ("llm", "tone"), ("asr", "wer"))  # of foundation.json
START, END = "<!-- results -->", "<!-- /results -->"
KEY = "Per cent, with 95 % intervals in brackets and the paper's own numbers in parentheses"
TITLES = {
    "iemocap": "IEMOCAP", "meld": "MELD", "ravdess": "RAVDESS", "aesdd": "AESDD", "cafe": "CaFE", "resd": "RESD",
    "speechalpaca": "SpeechAlpaca", "ser": "SpeechAlpaca", "average": "average",
}  # fmt: skip
TABLES = ("table1", "table2", "table3", "table4-5")


def read_metrics(results: str | Path) -> Metrics:
    """The figures of every system that was evaluated, from results/systems/<system>/metrics.json."""
    files = {path.parent.name: path for path in Path(results).glob("systems/*/metrics.json")}
    if not files:
        raise StudyError(f"{results}: no system was evaluated yet; run the stage evaluate first")
    return {system: read_figures(files[system]) for system in in_order(files)}


def read_figures(path: str | Path) -> dict:
    """The figures of one results file, without the record of its run."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return {name: figures for name, figures in content.items() if name != "run"}


def read_run(path: str | Path) -> dict:
    """How a results file was made: stage, settings, versions, hardware, seconds, peak memory."""
    return json.loads(Path(path).read_text(encoding="utf-8"))["run"]


def published_entry(published: dict, corpus: str, system: str, metric: str) -> dict:
    """What the paper says of a system on the set that a corpus mirrors; an empty entry where it says nothing known."""
    column = {acted: real for real, acted in MIRRORS.items()}.get(corpus, corpus)
    if column == "speechalpaca":
        column = "ser" if metric == "wa" else metric
    found = [published[key] for table in TABLES if (key := f"{table}.{column}.{system}") in published]
    known = [entry for entry in found if entry["value"] is not None]
    return (known or found or [{"value": None, "uncertain": False, "words": None}])[0]


def recognition(metrics: Metrics, published: dict) -> pd.DataFrame:
    """Emotion recognition in long form: system, corpus, value, low, high (accuracy, shares), published (per cent)."""
    rows = [
        {
            "system": system,
            "corpus": task.removeprefix("ser."),
            "value": figures["wa"],
            "low": figures["intervals"]["wa"][0],
            "high": figures["intervals"]["wa"][1],
            "published": published_entry(published, task.removeprefix("ser."), system, "wa")["value"],
        }
        for system, tasks in metrics.items()
        for task, figures in tasks.items()
        if task.startswith("ser.")
    ]
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


def recognition_table(metrics: Metrics, published: dict, metric: str = "wa") -> pd.DataFrame:
    """Every system on every corpus; the paper reports accuracy (wa) only."""
    rows = []
    for system, tasks in metrics.items():
        row = {"system": name_of(system)}
        for task, figures in tasks.items():
            if task.startswith("ser."):
                corpus = task.removeprefix("ser.")
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


def claims_table(claims: list[dict], published: dict) -> pd.DataFrame:
    """claims.json for a reader; the first number of each group is the system that the claim is about."""
    rows = []
    for claim in claims:
        interval = claim["interval"]
        rows.append(
            {
                "claim": claim["claim"],
                "where": claim["where"],
                "published": _groups(
                    {key: (key.split(".", 2)[1], _paper(published[key])) for key in claim["published"]}
                ),
                "measured": _groups(_measured(claim["measured"])),
                "difference": ""
                if interval is None
                else f"{100 * claim['measured']['difference']:+.1f} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]",
                "verdict": claim["verdict"],
            }
        )
    return pd.DataFrame(rows)


def _measured(measured: dict | None) -> dict:
    pairs = {}
    for key, value in (measured or {}).items():
        if key != "difference":
            task, metric = key.split(".")[0], key.rsplit(".", 1)[1]
            pairs[key] = (key.split(".")[1] if task == "ser" else metric, f"{100 * value:.1f}")
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


def summary(foundation: dict, metrics: Metrics, runs: list[dict]) -> dict[str, float]:
    """The flat headline numbers of summary.json; shares in 0..1. Seconds are the sum over the stages, memory the
    largest of their peaks."""
    known = [(part, name) for part, name in HEADLINES if name in foundation.get(part, {})]  # none of what was fetched
    flat = {f"foundation.{part}.{name}": foundation[part][name] for part, name in known}
    for system, tasks in metrics.items():
        for task, figures in tasks.items():
            names = ("wa", "ua", "f1", "unparsed", "n") if task.startswith("ser.") else ("quality", "empathy")
            flat |= {f"{task}.{system}.{name}": figures[name] for name in names}
    flat["study.seconds"] = sum(run["seconds"] for run in runs)
    flat["study.peak_memory_gb"] = max(run.get("peak_memory_gb", 0.0) for run in runs)
    return dict(sorted(flat.items()))


def readme_block(results: str | Path, published: dict) -> str:
    """The results as the README shows them: systems by corpora, then the claims."""
    metrics = read_metrics(results)
    systems = recognition_table(metrics, published)
    replies = requests_table(metrics, published)
    columns = ["system", *(column for column in replies if column.startswith(("quality", "empathy (")))]
    if len(replies):
        systems = systems.merge(replies[columns], on="system", how="left").fillna("")
    claims = json.loads((Path(results) / "claims.json").read_text(encoding="utf-8"))
    told = claims_table(claims, published)[["claim", "where", "published", "measured", "verdict"]]
    parts = [f"{KEY}; `?`: the source of a published number is unsure.", _markdown(systems), _markdown(told)]
    return "\n\n".join(parts)


def renew_readme(readme: str | Path, results: str | Path, published: dict) -> None:
    """Put `readme_block` between the markers of the README. Raises StudyError when a marker is missing."""
    readme = Path(readme)
    text = readme.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(END) < text.index(START):
        raise StudyError(f"{readme}: wanted are one {START} and after it one {END}; put them where the results belong")
    head, tail = text.split(START)[0], text.split(END)[1]
    readme.write_text(f"{head}{START}\n{readme_block(results, published)}\n{END}{tail}", encoding="utf-8")


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


def _markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Renew the results in the README from the results on disk.")
    parser.add_argument("what", choices=["readme"])
    parser.add_argument("--scale", default="mini", help="whose results the README shows")
    scale = parser.parse_args().scale
    renew_readme("README.md", f"data/{scale}/results", read_published("data/published.json"))


if __name__ == "__main__":
    main()
