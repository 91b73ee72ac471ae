"""Tables about claims: the verdicts, those of earlier runs, and later systems by their own papers."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import norm

from blsp_core.evaluation.claims import ANSWERS, INCONCLUSIVE, MARGIN, SMALLEST_GAIN, Claim
from blsp_core.evaluation.intervals import ALPHA
from blsp_core.report.tables import points

MOST = 100  # worlds: a claim that needs more is not decided here
# By the test of a claim: how far a true difference is from the threshold by which it would be decided.
DISTANCES = {
    "greater": lambda d: max(d, SMALLEST_GAIN - d), "kept": lambda d: abs(d + MARGIN),
    "same": lambda d: abs(MARGIN - abs(d)), "differs": lambda d: max(abs(d), MARGIN - abs(d)),
}  # fmt: skip
ANSWERED = {answer: verdict for verdict, answer in ANSWERS.items()}  # a claim that became a question did not change


def claims_table(rows: Sequence[dict]) -> pd.DataFrame:
    """claims.json or controls.json for a reader: what is claimed, the decisive difference in points, of what it is, the
    distance from the threshold that the test finds in four of five cases, what the null system does, the verdict."""
    table = pd.DataFrame(
        {
            "claim": row.get("claim") or row["control"],
            "where": row.get("where", "control"),
            "difference": points(row["measured"]["difference"], *row["interval"]) if row["interval"] else "",
            "decided by": row["decisive"] or "",
            "detectable": f"{100 * row['detectable']:.1f}" if row.get("detectable") else "",
            "null system": row.get("null", ""),
            "verdict": row["verdict"] + (f": {row['why']}" if row.get("why") else ""),
        }
        for row in rows
    )
    return table.drop(columns=[name for name in ("detectable", "null system") if not any(table[name])])


def power_table(
    rows: Sequence[dict], claims: Sequence[Claim], records: Sequence[Mapping], runs: Mapping[str, Mapping]
) -> pd.DataFrame:
    """What would decide each inconclusive claim, if its true difference were the measured one: the distance from the
    threshold, in points; the number of worlds (data seeds) like this one whose pooled data find it in four of five
    cases at 0.025 over the number of claims; the minutes of the stages that these worlds need, one at a time. The
    spread between training runs and worlds is not in the standard error, so that both numbers are lower bounds.

    rows: claims.json, in the order of `claims`; records: of `run_files.read_records`; runs: of `params.all_runs`.
    """
    alone, adjusted = (norm.ppf(1 - ALPHA / count) + norm.ppf(0.8) for count in (1, len(rows)))  # standard errors
    found, spent = [], Counter()
    for record in records:
        spent[record["run"]] += record["seconds"] / 60
    for row, claim in zip(rows, claims, strict=True):
        if row["verdict"] != INCONCLUSIVE:
            continue
        systems = {name for one in claim.comparisons for name in (one.system, one.baseline)}
        needed = {name for name in spent if runs.get(name, {}).get("system", name) in systems}
        needed |= {runs[name]["from"].removeprefix("models/") for name in needed & runs.keys()}
        distance = DISTANCES[claim.test](row["measured"]["difference"])
        worlds = math.ceil((adjusted / alone * row["detectable"] / max(distance, 1e-6)) ** 2)
        minutes = round(worlds * (spent[None] + sum(spent[name] for name in needed)))
        found.append((claim.title, row["decisive"], 100 * distance, worlds, f"{minutes}" if worlds <= MOST else ""))
    table = pd.DataFrame(found, columns=["claim", "decided by", "distance, points", "worlds", "minutes"]).round(1)
    table = table.sort_values("worlds", kind="stable", ignore_index=True)
    return table.assign(worlds=[f"{one}" if one <= MOST else f"> {MOST}" for one in table["worlds"]])


def verdicts_before(before: pd.DataFrame, judged: Sequence[dict]) -> pd.DataFrame:
    """How often each claim got each verdict in earlier runs, how often the verdict changed from one run to the next,
    and the verdict now; "" where a claim was not among them, or is not any more. before: index claim, a column for each
    run in order."""
    now, rows = {row["id"]: row["verdict"] for row in judged}, []
    names = [name for name in dict.fromkeys(before.to_numpy().ravel()) if name and name != "not measured"]
    for claim in dict.fromkeys([*now, *before.index]):
        past = [one for one in before.loc[claim] if one and one != "not measured"] if claim in before.index else []
        row = {"claim": claim} | {name: past.count(name) or "" for name in names}
        same = [ANSWERED.get(name, name) for name in past]
        row |= {"changes": sum(a != b for a, b in zip(same, same[1:], strict=False)) if past else ""}
        rows.append(row | {"now": now.get(claim, "")})
    return pd.DataFrame(rows)


def field(path: str | Path) -> pd.DataFrame:
    """Later systems of published.json with the figures that their papers report, per cent, and where these stand."""
    entries = json.loads(Path(path).read_text(encoding="utf-8"))["field"]
    columns = list(dict.fromkeys(name for one in entries for name in one["figures"]))
    blank = dict.fromkeys(columns, "")
    rows = [{"system": one["system"], **blank, **one["figures"], "source": one["source"]} for one in entries]
    return pd.DataFrame(rows)
