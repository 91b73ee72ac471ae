"""Tables about claims: the verdicts, those of earlier runs, and later systems by their own papers."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from blsp_core.evaluation.claims import ANSWERS
from blsp_core.report.tables import points

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
