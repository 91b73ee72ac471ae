"""The plots of the results; those of speech and training are in `plots_training` and can be had from here.

Each takes frames or dictionaries and returns a figure, None where there is nothing to draw; none reads a file.
"""

import re
import textwrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from blsp_core.data.emotions import EMOTIONS
from blsp_core.report.plots_training import (  # noqa: F401
    draw_sounds,
    embedding_map,
    emotion_words,
    grid,
    interval,
    layers,
    legend,
    likeness,
    lines,
    method,
    prosody,
    robustness,
    sounds,
    training_curves,
)
from blsp_core.report.style import COLOURS, MAIN, VERDICTS, WIDTH, in_order, looks, name_of

REACH = 30  # points, to either side of 0 in the forest
LETTERS = 122  # in a line below the panels of Figure 1, at 6 points


def one_sentence(waves: dict, log_mels: dict, sentence: str, replies: dict[str, dict[str, str]]) -> Figure | None:
    """The paper's Figure 1: one sentence in several emotions, as for `sounds`, and what systems reply to each. replies:
    system -> emotion -> reply. A reply that is the same in all emotions is written once."""
    if not waves:
        return None
    emotions = [emotion for emotion in EMOTIONS if emotion in waves]
    cells = {}  # system -> a text for each emotion, or one for all
    for system in in_order(replies):
        texts = [replies[system].get(emotion, "") for emotion in emotions]
        texts = texts if len(set(texts)) > 1 else texts[:1]
        cells[system] = [textwrap.fill(text, int(LETTERS / len(texts)) - 2) for text in texts]
    heights = [1.35 + max(text.count("\n") + 1 for text in texts) for texts in cells.values()]
    inches = 0.13 * sum(heights) + 0.01
    fig = plt.figure(figsize=(WIDTH, 2.75 + inches))
    above, below = fig.subfigures(2, 1, height_ratios=[2.75, inches])
    draw_sounds(above, waves, log_mels)
    above.suptitle(f"“{sentence}”", fontsize=8.5, style="italic")
    fig.draw_without_rendering()  # places the panels, so that each text can be written below its own
    # rounded: the last digits of a layout differ from run to run
    lefts = [round(axis.get_window_extent().x0 / fig.bbox.width, 4) for axis in above.axes[: len(emotions)]]
    top = 1.0
    for (system, texts), height in zip(cells.items(), heights, strict=True):
        colour = COLOURS[MAIN] if system == MAIN else "black"
        below.text(lefts[0], top, name_of(system), fontsize=7, weight="bold", va="top", color=colour)
        for left, text in zip(lefts, texts, strict=False):
            below.text(left, top - 0.95 / sum(heights), text, fontsize=6, va="top")
        top -= height / sum(heights)
    return fig


def contradictions(frame: pd.DataFrame) -> Figure | None:
    """What each system names where words and voice disagree: stacked shares. frame: of `tables_clips`."""
    if frame.empty:
        return None
    shares = 100 * frame.pivot(index="system", columns="named", values="value")
    shares = shares.loc[in_order(shares.index)[::-1], ["words", "voice", "another"]].rename(index=name_of)
    fig, axis = plt.subplots(figsize=(WIDTH, 0.6 + 0.2 * len(shares)), layout="constrained")
    shares.plot.barh(stacked=True, ax=axis, color=["#0173b2", COLOURS[MAIN], "#dddddd"], width=0.8, legend=False)
    for bars, colour in zip(axis.containers, ("white", "white", "black"), strict=True):
        axis.bar_label(bars, [f"{w:.0f}" if (w := bar.get_width()) >= 5 else "" for bar in bars], label_type="center",
            fontsize=6, color=colour)  # fmt: skip
    for place, (name, colour) in enumerate(zip(shares, ("#0173b2", COLOURS[MAIN], "#777777"), strict=True)):
        text = name if name == "another" else f"emotion of the {name}"
        axis.text(0.34 * place, 1.02, text, color=colour, transform=axis.transAxes, fontsize=8)
    axis.set(xlim=(0, 100), xlabel="per cent of the clips", ylabel="")
    return fig


def accuracy(frame: pd.DataFrame, chance: dict[str, float], titles: dict[str, str]) -> Figure | None:
    """Every system on every corpus: accuracy with its 95 % interval; dotted: the share of the most frequent emotion.
    frame: of `tables.recognition`; chance, titles: by corpus."""
    if frame.empty:
        return None
    fig = _by_system({corpus: rows.set_index("system") for corpus, rows in frame.groupby("corpus", sort=False)}, 4)
    for axis, corpus in zip(fig.axes, dict.fromkeys(frame["corpus"]), strict=True):
        if corpus in chance:
            axis.axvline(100 * chance[corpus], zorder=0, color="#888888", linewidth=0.8, linestyle=":")
        axis.set_title(titles.get(corpus, corpus).replace(" (", "\n("))
    fig.supxlabel("accuracy, %; dotted: share of the most frequent emotion", fontsize=8)
    return fig


def quality_and_empathy(frame: pd.DataFrame) -> Figure | None:
    """Replies to spoken requests, a panel for each metric, with 95 % intervals. frame: of `tables.requests`."""
    if frame.empty:
        return None
    return _by_system({f"{metric} of replies, %": frame[metric] for metric in ("quality", "empathy")}, 2)


def _by_system(panels: dict[str, pd.DataFrame], wide: int) -> Figure:
    """Panels by title: the value of every system, which is the index, with its interval. BLSP-Emo is red."""
    systems = in_order({system for rows in panels.values() for system in rows.index})[::-1]
    fig, axes = grid(len(panels), wide, 0.5 + 0.17 * len(systems), sharey=True)
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        for place, system in enumerate(systems):
            colour = COLOURS[MAIN] if system == MAIN else "#444444"
            interval(axis, rows.filter([system], axis=0), [place], fmt="o", color=colour)
        axis.set(title=title, xlim=(-3, 103), xticks=(0, 50, 100), ylim=(-0.6, len(systems) - 0.4))
        axis.grid(axis="x")
    axes[0].set_yticks(range(len(systems)), [name_of(system) for system in systems])
    return fig


def preferences(dialogues: dict[str, dict]) -> Figure | None:
    """The paper's Figure 3: how often BLSP-Emo wins, ties and loses in dialogues. dialogues: `results.against_all`."""
    found = {pair.split(".vs.")[1]: shares for pair, shares in dialogues.items()}
    frame = pd.DataFrame(found, index=["win", "tie", "loss"]).T.loc[in_order(found)[::-1]].astype(float).dropna()
    if frame.empty:
        return None
    fig, axis = plt.subplots(figsize=(WIDTH, 0.85 + 0.26 * len(frame)))
    colours = [COLOURS[MAIN], "#e3e3e3", "#7f9db9"]
    (100 * frame).plot.barh(stacked=True, width=0.74, color=colours, edgecolor="white", legend=False, ax=axis)
    for bars, ink in zip(axis.containers, ("white", "black", "black"), strict=True):
        numbers = [f"{bar.get_width():.0f}" if bar.get_width() >= 4 else "" for bar in bars]
        axis.bar_label(bars, numbers, label_type="center", fontsize=7, color=ink)
    axis.set_yticks(range(len(frame)), [f"against {name_of(baseline)}" for baseline in frame.index])
    axis.set(xlabel="dialogues, %", ylabel="", xlim=(0, 100))
    words = [f"{name_of(MAIN)} preferred", "tie", "the other preferred"]
    fig.legend(axis.containers, words, loc="outside upper center", ncols=3, handlelength=1.4)
    return fig


def confusions(found: dict[str, dict], title: str = "", rows: str = "emotion of the speaker") -> Figure | None:
    """Confusion matrices of several systems, in per cent of each row. found: by system, `confusion` of
    `metrics.measure`."""
    if not found:
        return None
    systems = in_order(found)
    counts = {system: pd.DataFrame(found[system]).T for system in systems}
    spoken = [emotion for emotion in EMOTIONS if any(emotion in matrix.index for matrix in counts.values())]
    counts = {system: matrix.reindex(spoken) for system, matrix in counts.items()}  # corpora differ in emotions
    labels = [name for name in counts[systems[0]] if name != "unparsed" or any(c[name].any() for c in counts.values())]
    wide = 3 if len(systems) < 7 and len(systems) != 4 else 4
    fig, axes = grid(len(systems), wide, (WIDTH - 0.65) / wide + 0.1, sharex=True, sharey=True)
    fig.set_figwidth(0.65 + (WIDTH - 0.65) * min(1, len(systems) / wide))
    for axis, system in zip(axes, systems, strict=True):
        shares = 100 * counts[system][labels].div(counts[system].sum(axis=1), axis=0)
        numbers = shares.fillna(0).round().astype(int).astype(str).replace("0", "")
        look = {"cmap": "Greys", "vmin": 0, "vmax": 125, "annot_kws": {"size": 7}, "cbar": False}
        sns.heatmap(shares, annot=numbers, fmt="", ax=axis, **look)
        axis.set(title=textwrap.fill(name_of(system), 16))
        axis.set_xticks(np.arange(len(labels)) + 0.5, labels, rotation=45, ha="right", rotation_mode="anchor")
        axis.tick_params(length=0, axis="both")
        axis.tick_params(axis="y", rotation=0)
        axis.spines[:].set_visible(True)
    fig.supxlabel("emotion named, % of the row", fontsize=8)
    fig.supylabel(rows, fontsize=8)
    if title:
        fig.suptitle(title, fontsize=8.5)
    return fig


def empathy_by_emotion(metrics: dict[str, dict[str, dict]]) -> Figure | None:
    """The share of replies to requests that match the speaker's emotion, by emotion. metrics: of `measure_all`."""
    replied = {name: tasks["requests"]["empathy_by_emotion"] for name, tasks in metrics.items() if "requests" in tasks}
    shares = 100 * pd.DataFrame(replied, index=[*EMOTIONS], dtype=float).T.dropna(how="all").dropna(axis=1, how="all")
    if shares.empty:
        return None
    shares = shares.loc[in_order(shares.index)]
    fig, axis = plt.subplots(figsize=(2.2 + 0.62 * shares.shape[1], 0.75 + 0.22 * len(shares)))
    sns.heatmap(shares.rename(index=name_of), cmap="Greys", vmin=0, vmax=125, annot=True, fmt=".0f",
                annot_kws={"size": 7.5}, cbar=False, linewidths=1, ax=axis)  # fmt: skip
    axis.tick_params(length=0, labelrotation=0)
    axis.set(xlabel="emotion of the speaker; replies that match it, %", ylabel="")
    return fig


def errors_by_sound(frame: pd.DataFrame) -> Figure | None:
    """Errors against measures of the sound, a panel for each. frame: of `tables.errors_by_sound`."""
    if frame.empty:
        return None
    ends = {"level, dB": "quiet to loud", "pitch, Hz": "low to high", "rate, words/s": "slow to fast"}
    ends = {name: f"{name.split(',')[0]}, {end}" for name, end in ends.items()}
    frame = frame.assign(measure=frame["measure"].replace(ends))
    fig = lines(frame, "fifth", "system", "measure", looks(set(frame["system"])), "errors, %")
    fig.supxlabel("fifth of the clips of each emotion, 1: lowest", fontsize=8)
    return fig


def amounts(frame: pd.DataFrame) -> Figure | None:
    """Accuracy and replies over the share of emotional speech in stage 2. frame: of `results.learning_curve`."""
    if frame.empty:
        return None
    panels = (frame["metric"] == "wa").map({True: "emotion recognition", False: "replies"})
    frame = frame.assign(percent=100 * frame["share"], panel=panels)
    look = looks(dict.fromkeys(frame["measure"]))
    fig = lines(frame, "percent", "measure", "panel", look, "accuracy, quality, empathy, %", 2.2)
    fig.supxlabel("share of the emotional speech in stage 2, %", fontsize=8)
    plt.setp(fig.axes, xlim=(0, 105))
    return fig


def verdicts(claims: list[dict]) -> Figure | None:
    """Every claim that is measured, with its decisive difference and 95 % interval; dotted: the thresholds of the
    tests."""
    claims = [claim for claim in claims if claim["interval"]]
    if not claims:
        return None
    fig, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.17 * len(claims)))
    labels = []
    for place, claim in enumerate(reversed(claims)):
        marker, colour = VERDICTS[claim["verdict"]]
        where = re.sub("Tables?", "T", claim["where"]).replace("Figure", "F").replace(" and", ",")
        labels.append(f"{claim.get('title') or claim['id'].replace('-', ' ')}, {where}")
        ends = claim["measured"]["difference"], *claim["interval"]
        row = pd.DataFrame([dict(zip(("value", "low", "high"), ends, strict=True))])
        interval(axis, row, [place], marker=marker, color=colour)
    axis.axvline(0, color="#444444", linewidth=0.8)
    for bound in (-5, 2, 5):
        axis.axvline(bound, color="#888888", linewidth=0.7, linestyle=":", zorder=0)
    axis.set_yticks(range(len(claims)), labels, fontsize=7)
    axis.set_xscale("symlog", linthresh=10, linscale=1.5)  # the thresholds lie within ten points
    axis.set_xticks([-50, -10, -5, 0, 2, 5, 10, 20, 50, 100], minor=False)
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("decisive difference, points, 95 % interval (logarithmic beyond ±10)")
    axis.set_ylim(-0.7, len(claims) - 0.3)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    found = [(verdict, *look) for verdict, look in VERDICTS.items() if look[0]]
    marks = [Line2D([], [], color=colour, label=name, marker=mark, linestyle="none") for name, mark, colour in found]
    fig.legend(handles=marks, loc="outside upper center", ncols=len(marks), columnspacing=1, handletextpad=0.4)
    return fig


def forest(frame: pd.DataFrame) -> Figure | None:
    """Every variant minus BLSP-Emo, a panel for each measure; filled where the adjusted p is below 0.05, hollow where
    not. Differences beyond `REACH` points, as of controls, are written at the end of the axis instead. Bars: 95 %
    intervals over all training runs; ticks: single runs. frame: of `results.differences`."""
    if frame.empty:
        return None
    pooled, single = frame[frame["seed"] == "all"], frame[frame["seed"] != "all"]
    names, measures = in_order(set(frame["variant"]))[::-1], list(dict.fromkeys(frame["measure"]))
    wide = 4 if len(measures) % 3 else 3
    fig, axes = grid(len(measures), wide, 0.45 + 0.19 * len(names), sharex=True, sharey=True)
    for axis, measure in zip(axes, measures, strict=True):
        rows = pooled[pooled["measure"] == measure].assign(value=pooled["difference"])
        for significant, colour, fill in ((True, "#3a3a3a", "#3a3a3a"), (False, "#9a9a9a", "white")):
            chosen = rows[((rows["p_holm"] < 0.05) == significant) & (rows["value"].abs() <= REACH / 100)]
            places = [names.index(variant) for variant in chosen["variant"]]  # the others are written below, not drawn
            interval(axis, chosen, places, fmt="o", color=colour, markerfacecolor=fill)
        runs = single[single["measure"] == measure]
        places = [names.index(variant) for variant in runs["variant"]]
        axis.plot(100 * runs["difference"], places, "|", markersize=6, color=COLOURS[MAIN], alpha=0.8)
        axis.axvline(0, color=COLOURS[MAIN], linewidth=0.8)
        for variant, value in zip(rows["variant"], 100 * rows["value"], strict=True):
            if abs(value) > REACH:
                side = 1 if value > 0 else -1
                where = {"ha": "right" if side > 0 else "left", "va": "center", "fontsize": 6}
                axis.text(side * REACH, names.index(variant), f"{value:+.0f}", **where)
        axis.set(title=measure, xlim=(-REACH - 2, REACH + 2), ylim=(-0.6, len(names) - 0.4))
        axis.grid(axis="x")
    axes[0].set_yticks(range(len(names)), [name_of(name) for name in names])
    fig.supxlabel(f"difference to {name_of(MAIN)}, percentage points", fontsize=8)
    return fig
