"""Tables 1-5 of the paper with our own measurements: a measured column, and beside it the paper's own.

Each column of the paper is answered by the corpus that mirrors its set, or by the set itself at scales that have it. A
system that was not run has no row, a corpus that was not met has no measured column; `absences` says which and why.
"""

import pandas as pd

from blsp_core.evaluation.paper_claims import MIRRORS
from blsp_core.evaluation.results import Metrics
from blsp_core.report.style import MAIN, NAMES, name_of
from blsp_core.report.summaries import cell
from blsp_core.report.tables import TITLES, UNKNOWN

SYSTEMS = list(NAMES)[: list(NAMES).index("gold+llm") + 1]  # the rows of Tables 1-3, with our floor and ceiling
OWN = tuple(SYSTEMS[1:-1])  # without them
ABLATED = (MAIN, "no-semantic-stage", "no-emotion-loss", "other-writer", "multitask", "blsp-ser")
METRICS = {"ser": "wa", "quality": "quality", "empathy": "empathy"}
# table -> its head in published.json, its columns there, and its rows
PAPER = {
    "table1": ("table1", ("iemocap", "meld", "ravdess", "mer-test1", "mer-test2"), OWN),
    "table2": ("table2", ("ser", "quality", "empathy"), OWN),
    "table3": ("table3", ("aesdd", "cafe", "resd", "average"), OWN),
    "table4": ("table4-5", ("iemocap", "ravdess"), ABLATED),
    "table5": ("table4-5", ("ser", "quality", "empathy"), ABLATED),
}


def paper_table(table: str, metrics: Metrics, published: dict[str, dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One table of the paper for a reader, and its numbers in long form; metrics of what shall have a row, in order.

    The second has a row for each system and column: system, column, corpus, value, low, high, n (shares), published (in
    the paper's own unit), uncertain, words.
    """
    head, columns, _ = PAPER[table]
    measured = {column: _measured(metrics, column) for column in columns}
    systems = [system for system in metrics if any(system in found for _, found in measured.values())]
    cells, numbers = [{"system": name_of(system)} for system in systems], []
    for column, (corpus, found) in measured.items():
        entries = {system: published.get(f"{head}.{column}.{system}", UNKNOWN) for system in systems}
        for row, system in zip(cells, systems, strict=True):
            if found:
                row[_heading(column, corpus)] = found.get(system, {}).get("cell", "")
            if any(map(_said, entries.values())):
                row[f"{_title(column)}, paper"] = _said(entries[system])
        for system, entry in entries.items():
            if system in found or _said(entry):
                values = {name: found.get(system, {}).get(name) for name in ("value", "low", "high", "n")}
                said = {"published": entry["value"], "uncertain": entry["uncertain"], "words": entry["words"]}
                numbers.append({"system": system, "column": column, "corpus": corpus} | values | said)
    return pd.DataFrame(cells), pd.DataFrame(numbers)


def absences(table: str, metrics: Metrics) -> str:
    """One sentence on the rows and columns of the paper's table that this study has not run; "" when none is absent."""
    _, columns, wanted = PAPER[table]
    measured = {column: _measured(metrics, column)[1] for column in columns}
    rows = [system for system in wanted if not any(system in found for found in measured.values())]
    sets = [column for column, found in measured.items() if not found]
    parts = [f"no row for {', '.join(map(name_of, rows))}: not evaluated"] if rows else []
    parts += [f"no measured column for {', '.join(map(_title, sets))}: no such speech at this scale"] if sets else []
    return ("Absent: " + "; ".join(parts) + ".") if parts else ""


def titles() -> dict[str, str]:
    """corpus -> the title of its panel, with the paper's set that it mirrors."""
    return {mirror: f"{mirror}\n({TITLES[real]})" for real, mirror in MIRRORS.items()}


def _measured(metrics: Metrics, column: str) -> tuple[str, dict[str, dict]]:
    """The corpus that answers for a column of the paper, and what each system scored there: cell, value, low, high, n.

    The paper's own set where any system has met it, else the corpus that mirrors it.
    """
    if column == "average":
        sets = [_measured(metrics, name)[1] for name in PAPER["table3"][1][:-1]]
        values = {s: [found[s]["value"] for found in sets] for s in metrics if all(s in found for found in sets)}
        means = {system: sum(of_sets) / len(of_sets) for system, of_sets in values.items()}
        return column, {system: {"cell": f"{100 * mean:.1f}", "value": mean} for system, mean in means.items()}
    metric, name = METRICS.get(column, "wa"), "speechalpaca" if column == "ser" else column
    corpus = name if any(f"ser.{name}" in tasks for tasks in metrics.values()) else MIRRORS.get(name, name)
    task = f"ser.{corpus}" if metric == "wa" else "requests"
    found = {}
    for system, tasks in metrics.items():
        if metric in tasks.get(task, {}):
            figures = tasks[task]
            low, high = figures["intervals"][metric]
            found[system] = {"cell": cell(figures, metric), "value": figures[metric], "low": low, "high": high}
            found[system]["n"] = figures["n"]
    return task.removeprefix("ser."), found


def _heading(column: str, corpus: str) -> str:
    """The head of the measured column beside the paper's."""
    return _title(column) if column in METRICS else TITLES.get(corpus, corpus)


def _title(column: str) -> str:
    """How a column of the paper is called."""
    own = {"mer-test1": "MerBench 1", "mer-test2": "MerBench 2", "ser": "emotion named"}
    return {**TITLES, **own}.get(column, column)


def _said(entry: dict) -> str:
    """A published number as it is shown: empty where unknown, marked where its source is unsure."""
    said = entry["words"] or "" if entry["value"] is None else f"{entry['value']:.1f}"
    return f"{said}?" if said and entry["uncertain"] else said
