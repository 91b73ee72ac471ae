"""Results of the miniature in several worlds (data seeds), side by side: what reports left in data/worlds/<scale>.

A world has its own sentences, prosody, and rate, pitch and size of the test voices; 18 of their 20 eSpeak variants are
the same in any two worlds, and so are the backbones, so that the spread over worlds is a lower bound.
"""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy import stats

from blsp_core.evaluation.intervals import ALPHA
from blsp_core.evaluation.results import CONTROL
from blsp_core.report.plots import legend
from blsp_core.report.style import WIDTH, in_order, looks, name_of
from blsp_core.report.tables import REPLIES, points

World = tuple[list[dict], pd.DataFrame]  # claims as in claims.json, figures as in metrics.csv


def read_worlds(folder: Path, own: dict[str, World]) -> dict[str, World]:
    """The worlds below data/worlds/<scale>, where there is such a folder, and `own`, by seed in order."""
    found = {}
    for path in folder.glob("*/claims.json"):
        figures = pd.read_csv(path.with_name("metrics.csv"), keep_default_na=False, na_values=[""])
        found[path.parent.name] = json.loads(path.read_text(encoding="utf-8")), figures
    return dict(sorted({**found, **own}.items(), key=lambda world: int(world[0])))


def figures(worlds: dict[str, World], systems: Collection[str]) -> pd.DataFrame:
    """What the study reports of each system in each world: columns world, system, measure (a corpus whose emotions are
    recognised, or quality and empathy of replies), value."""
    rows = []
    for world, (_, measured) in worlds.items():
        for row in measured[measured["system"].isin(systems)].itertuples():
            if row.metric == "wa" and row.task != f"ser.{CONTROL}":
                rows.append((world, row.system, row.task.removeprefix("ser."), row.value))
            elif row.task == "requests" and row.metric in REPLIES:
                rows.append((world, row.system, row.metric, row.value))
    return pd.DataFrame(rows, columns=["world", "system", "measure", "value"])


def figures_plot(frame: pd.DataFrame) -> Figure | None:
    """A mark for each system and world, a group for each measure. frame: of `figures`; with less than two worlds there
    is nothing to compare."""
    if frame["world"].nunique() < 2:
        return None
    measures, systems = list(dict.fromkeys(frame["measure"])), in_order(set(frame["system"]))
    fig, axis = plt.subplots(figsize=(WIDTH, 2.6))
    for place, (system, look) in enumerate(looks(systems).items()):
        rows = frame[frame["system"] == system]
        at = [measures.index(name) + 0.7 * ((place + 0.5) / len(systems) - 0.5) for name in rows["measure"]]
        axis.plot(at, 100 * rows["value"], linestyle="none", markersize=3.5, alpha=0.8, label=name_of(system), **look)
    for border in range(1, len(measures)):
        axis.axvline(border - 0.5, color="#dddddd", linewidth=0.6)
    axis.set_xticks(range(len(measures)), measures, fontsize=7)
    axis.set(xlim=(-0.5, len(measures) - 0.5), ylim=(-2, 102), ylabel="accuracy, quality, empathy, %")
    axis.grid(axis="y")
    legend(fig)
    return fig


def figures_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Per cent: mean over the worlds, the lowest and highest of them, and how many there are where some are missing.
    frame: of `figures`."""
    if frame.empty:
        return pd.DataFrame()
    found = 100 * frame.groupby(["system", "measure"])["value"].agg(["mean", "min", "max"])
    counts = frame.groupby(["system", "measure"]).size()
    spread = [f"{row.min:.1f}–{row.max:.1f}" for row in found.rename(columns=str).itertuples(index=False)]
    of = {count: "" if count == counts.max() else f", {count} worlds" for count in counts}
    spread = [one + of[count] if count > 1 else "one world" for one, count in zip(spread, counts, strict=True)]
    means = [f"{mean:.1f} ({one})" for mean, one in zip(found["mean"], spread, strict=True)]
    cells = pd.Series(means, index=found.index).unstack()
    cells = cells.loc[in_order(cells.index), list(dict.fromkeys(frame["measure"]))].fillna("")
    return cells.rename(index=name_of).rename_axis("system").rename_axis(None, axis=1).reset_index()


def verdicts_table(worlds: dict[str, World]) -> pd.DataFrame:
    """The decisive difference and the verdict of every claim in every world, without claims that none has measured; and
    over the worlds that measured it: the verdict where it is the same in all, else "mixed", and the mean difference,
    from three worlds on with its 95 % interval by Student's t: two that happen to agree would have none."""
    columns = {
        world: {row["title"]: _verdict(row) for row in judged if row["interval"]}
        for world, (judged, _) in worlds.items()
    }
    table = pd.DataFrame(columns).dropna(how="all").fillna("")
    titles = [row["title"] for judged, _ in worlds.values() for row in judged]
    table = table.loc[[title for title in dict.fromkeys(titles) if title in table.index]]
    table = table.add_prefix("world ")
    table["all"] = [
        _over([row for judged, _ in worlds.values() for row in judged if row["title"] == t]) for t in table.index
    ]
    return table.rename_axis("claim").reset_index()


def other_llms(folder: Path) -> pd.DataFrame:
    """BLSP-Emo around toy LLMs that were trained without a part of their instruction data, one run each: per cent, with
    the accuracy of the LLM itself on text under its worst instruction. folder: data/worlds/<scale>-llms, with a folder
    for each, which holds the results.json of the LLM and of BLSP-Emo's evaluation as llm.json and blsp-emo.json."""
    rows = []
    for path in sorted(folder.glob("*/blsp-emo.json")):
        llm, own = (json.loads((path.parent / name).read_text("utf-8")) for name in ("llm.json", path.name))
        texts = {f"LLM on text: {name}": llm[name] for name in ("object", "emotion")}
        sets = {name.removeprefix("ser."): one["wa"] for name, one in own.items() if name.startswith("ser.")}
        sets = {name: value for name, value in sets.items() if "@" not in name and name != CONTROL}
        values = texts | sets | {name: own["requests"][name] for name in REPLIES}
        rows.append({"LLM": path.parent.name} | {name: f"{100 * value:.1f}" for name, value in values.items()})
    return pd.DataFrame(rows)


def _verdict(row: dict) -> str:
    return f"{row['verdict']} {points(row['measured']['difference'], *row['interval'])}"


def _over(rows: list[dict]) -> str:
    measured = [row for row in rows if row["interval"]]
    named = {row["verdict"] for row in measured}
    verdict = f"{named.pop() if len(named) == 1 else 'mixed'} ({len(measured)})"
    found = np.array([row["measured"]["difference"] for row in measured])
    if len(measured) < 3:
        return verdict if len(measured) < 2 else f"{verdict} {100 * found.mean():+.1f}"
    half = stats.t.ppf(1 - ALPHA, len(found) - 1) * stats.sem(found)
    return f"{verdict} {points(found.mean(), *np.clip([found.mean() - half, found.mean() + half], -1, 1))}"
