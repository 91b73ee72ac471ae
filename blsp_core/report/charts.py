"""The plots of the results. Each takes frames and returns a figure; none reads a file."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from blsp_core.data.manifest import EMOTIONS
from blsp_core.evaluation.paper_claims import CLAIMS
from blsp_core.report.plots import draw_sounds
from blsp_core.report.style import COLOURS, MAIN, TONE_COLOURS, TONE_MARKERS, WIDTH, in_order, looks, name_of

LETTERS = 122  # in a line below the panels, at 6 points
UNSURE = "#b0b0b0"
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


def one_sentence(
    waves: dict[str, np.ndarray], log_mels: dict[str, np.ndarray], sentence: str, replies: dict[str, dict[str, str]]
) -> Figure:
    """The paper's Figure 1: one sentence in several tones, and what systems reply to each.

    waves, log_mels: as for `pictures.sounds`; replies: system -> tone -> reply. A reply that is the same in every tone
    stands once across the page.
    """
    tones = [tone for tone in EMOTIONS if tone in waves]
    cells = {}  # system -> a text for each tone, or one for all
    for system in in_order(replies):
        texts = [replies[system].get(tone, "") for tone in tones]
        texts = texts if len(set(texts)) > 1 else texts[:1]
        cells[system] = [textwrap.fill(text, int(LETTERS / len(texts)) - 2) for text in texts]
    heights = [1.35 + max(text.count("\n") + 1 for text in texts) for texts in cells.values()]
    text_inches = 0.13 * sum(heights) + 0.01
    fig = plt.figure(figsize=(WIDTH, 2.75 + text_inches))
    above, below = fig.subfigures(2, 1, height_ratios=[2.75, text_inches])
    draw_sounds(above, waves, log_mels)
    above.suptitle(f"“{sentence}”", fontsize=8.5, style="italic")
    fig.draw_without_rendering()  # sets the panels, so that each text can stand below its own
    lefts = [axis.get_window_extent().x0 / fig.bbox.width for axis in above.axes[: len(tones)]]
    top = 1.0
    for (system, texts), height in zip(cells.items(), heights, strict=True):
        style = {"color": COLOURS[MAIN]} if system == MAIN else {}
        below.text(lefts[0], top, name_of(system), fontsize=7, weight="bold", va="top", **style)
        for left, text in zip(lefts, texts, strict=False):
            below.text(left, top - 0.95 / sum(heights), text, fontsize=6, va="top")
        top -= height / sum(heights)
    return fig


def accuracy(
    frame: pd.DataFrame, chance: dict[str, float] | None = None, titles: dict[str, str] | None = None
) -> Figure:
    """Every system on every corpus: the measured figure with its interval, the paper's own beside it.

    frame: columns system, corpus, value, low, high (shares), published (per cent, or empty) and uncertain (whether the
    source of that is unsure: drawn pale); chance: corpus -> the share of its most frequent emotion, drawn as a line;
    titles: corpus -> its panel's title.
    """
    corpora, systems = list(dict.fromkeys(frame["corpus"])), in_order(set(frame["system"]))[::-1]
    style = looks(systems)
    wide = min(4, len(corpora))
    tall = -(-len(corpora) // wide)
    size = (WIDTH, 0.6 + tall * (0.5 + 0.17 * len(systems)))
    fig, axes = plt.subplots(tall, wide, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(corpora) :]:
        axis.remove()
    for axis, corpus in zip(axes.flat, corpora, strict=False):
        for row in frame[frame["corpus"] == corpus].itertuples():
            place, look = systems.index(row.system), style[row.system]
            if pd.notna(row.value):
                bars = [[100 * abs(row.value - row.low)], [100 * abs(row.high - row.value)]]
                axis.errorbar(100 * row.value, place, xerr=bars, fmt="o", markersize=4, color=look["color"])
            if pd.notna(row.published):
                edge = UNSURE if row.uncertain else "#222222"
                axis.plot(row.published, place, "D", markersize=4.5, markerfacecolor="none", markeredgecolor=edge)
        if chance and corpus in chance:
            axis.axvline(100 * chance[corpus], color="#888888", linewidth=0.8, linestyle=":", zorder=0)
        axis.set(title=(titles or {}).get(corpus, corpus), xlim=(-3, 103), xticks=(0, 50, 100))
        axis.set_ylim(-0.6, len(systems) - 0.4)
        axis.grid(axis="x")
    axes[0, 0].set_yticks(range(len(systems)), [name_of(system) for system in systems])
    fig.supxlabel("accuracy, %", fontsize=8)
    diamond = {"marker": "D", "markersize": 4.5, "color": "none"}
    marks = [
        Line2D([], [], marker="o", markersize=4, color="#444444", label="measured here, 95 % interval"),
        Line2D([], [], **diamond, markeredgecolor="#222222", label="the paper"),
        Line2D([], [], **diamond, markeredgecolor=UNSURE, label="the paper, unsure"),
        Line2D([], [], color="#888888", linewidth=0.8, linestyle=":", label="most frequent emotion"),
    ]
    fig.legend(handles=marks, loc="outside upper center", ncols=4, columnspacing=1.2)
    return fig


def quality_against_empathy(frame: pd.DataFrame) -> Figure:
    """Replies to spoken requests: the right advice against the right tone, both with intervals.

    frame: columns system and, for quality and empathy, value, low and high: quality, quality_low, quality_high ...
    """
    style = looks(set(frame["system"]))
    fig, axis = plt.subplots(figsize=(WIDTH * 0.85, 2.2 + 0.1 * len(style)))
    for system in in_order(style):
        row, look = frame.set_index("system").loc[system], style[system]
        bars = [[[100 * abs(row[m] - row[f"{m}_{end}"])] for end in ("low", "high")] for m in ("quality", "empathy")]
        axis.errorbar(
            100 * row["quality"], 100 * row["empathy"], xerr=bars[0], yerr=bars[1],
            marker=look["marker"], linestyle="none", color=look["color"], markersize=6.5, markeredgecolor="white",
            markeredgewidth=0.6, elinewidth=0.8,
            label=name_of(system),
        )  # fmt: skip
    left = 10 * np.floor((100 * min(frame["quality_low"]) - 4) / 10)
    axis.set(xlabel="quality: well-formed advice on the right object, %", ylabel="empathy: the speaker's tone, %")
    axis.set(xlim=(max(-3, left), 101.5), ylim=(-3, 103))
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axis.grid()
    handles, labels = axis.get_legend_handles_labels()
    fig.legend([handle[0] for handle in handles], labels, loc="outside right center")
    return fig


def errors_by_sound(frame: pd.DataFrame) -> Figure:
    """Errors against a measure of the sound, a panel for each measure.

    frame: columns system, measure, fifth (1-5), error, low, high (shares).
    """
    measures, systems = list(dict.fromkeys(frame["measure"])), in_order(set(frame["system"]))
    style = looks(systems)
    fig, axes = plt.subplots(1, len(measures), figsize=(WIDTH, 2.3), sharey=True, squeeze=False)
    for axis, measure in zip(axes[0], measures, strict=True):
        for number, system in enumerate(systems):
            rows = frame[(frame["measure"] == measure) & (frame["system"] == system)]
            aside = (number - (len(systems) - 1) / 2) * 0.09
            bars = 100 * np.abs([rows["error"] - rows["low"], rows["high"] - rows["error"]])
            axis.errorbar(
                rows["fifth"] + aside, 100 * rows["error"], yerr=bars, color=style[system]["color"], markersize=4,
                marker=style[system]["marker"], elinewidth=0.7, capsize=1.5, linewidth=1, label=name_of(system),
                linestyle=LINES[number % len(LINES)],
            )  # fmt: skip
        axis.set(title=measure, xlim=(0.5, 5.5), xticks=range(1, 6), xticklabels=["lowest", "", "", "", "highest"])
        axis.grid(axis="y")
    axes[0, 0].set(ylabel="errors, %", ylim=(-2, 102))
    fig.supxlabel("fifths of the clips of each tone", fontsize=8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=min(4, len(systems)))
    return fig


def amounts(frame: pd.DataFrame) -> Figure:
    """Learning curves over the amount of emotional speech, a panel for each kind of measure.

    frame: `ablations.learning_curve`: columns metric, measure, share (of the data), value, low, high (shares).
    """
    kinds = frame["metric"].map(lambda metric: "naming the tone" if metric == "wa" else "replies to requests")
    frame = frame.assign(panel=kinds)
    panels = list(dict.fromkeys(frame["panel"]))
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.5), sharey=True, squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        lines = frame[frame["panel"] == panel].groupby("measure", sort=False)
        for number, (name, rows) in enumerate(lines):
            rows = rows.sort_values("share")
            bars = 100 * np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]])
            aside = (number - (lines.ngroups - 1) / 2) * 0.8
            axis.errorbar(
                100 * rows["share"] + aside, 100 * rows["value"], yerr=bars, marker="os^DvP<>"[number % 8],
                markersize=4, elinewidth=0.7, linestyle=LINES[number % len(LINES)], label=name,
            )  # fmt: skip
        axis.set(title=panel, xlim=(0, 106), xticks=sorted(100 * frame["share"].unique()), ylim=(-2, 106))
        axis.grid(axis="y")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3, columnspacing=1.2, handlelength=2.4)
    axes[0, 0].set_ylabel("right, %")
    fig.supxlabel("share of the emotional speech of stage 2, %", fontsize=8)
    return fig


def layers(frame: pd.DataFrame) -> Figure:
    """How much of the tone a straight line reads off each layer of the encoder, a line for each corpus.

    frame: `probe.Probes.by_layer`: columns corpus, layer, accuracy (a share).
    """
    fig, axis = plt.subplots(figsize=(0.62 * WIDTH, 2.5))
    for number, (corpus, rows) in enumerate(frame.groupby("corpus", sort=False)):
        marker, line = "os^DvP<>"[number % 8], LINES[number % len(LINES)]
        axis.plot(rows["layer"], 100 * rows["accuracy"], marker=marker, markersize=4, linestyle=line, label=corpus)
    axis.set(xlabel="layer (0: what enters the first)", ylabel="named rightly, %")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(axis="y")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def emotion_words(frame: pd.DataFrame) -> Figure:
    """How likely the right answer is among the five along training, a panel for each run.

    frame: columns run, step, emotion, probability, and seed where there are several: then their mean.
    """
    runs = in_order(set(frame["run"]))
    fig, axes = plt.subplots(1, len(runs), figsize=(WIDTH * min(1, 0.35 + 0.3 * len(runs)), 2.2), sharey=True)
    for axis, run in zip(np.atleast_1d(axes), runs, strict=True):
        for number, tone in enumerate(EMOTIONS):
            rows = frame[(frame["run"] == run) & (frame["emotion"] == tone)].groupby("step")["probability"].mean()
            axis.plot(
                rows.index, rows, color=TONE_COLOURS[tone], marker=TONE_MARKERS[tone], markersize=3, label=tone,
                linestyle=LINES[number],
            )  # fmt: skip
        axis.set(title=name_of(run), xlabel="step", ylim=(-0.02, 1.02))
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.grid(axis="y")
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("share of the right answer")
    fig.legend(*first.get_legend_handles_labels(), loc="outside right center")
    return fig


def verdicts(claims: list[dict]) -> Figure:
    """Every claim with its decisive difference and interval, in the order of claims.json; open where not measured.

    Dotted: the gain of two points and the loss or gain of five against which verdicts are held, see `claims.TESTS`.
    """
    looks_of = {
        "reproduced": ("o", "#1b7837"),
        "not reproduced": ("X", "#b2182b"),
        "inconclusive": ("D", "#e08214"),
        "yes": ("o", "#444444"),  # to an open question, of which the paper claims nothing
        "no": ("X", "#444444"),
        "not measured": ("none", "#bbbbbb"),
    }
    fig, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.17 * len(claims)))
    for place, claim in enumerate(reversed(claims)):
        marker, colour = looks_of[claim["verdict"]]
        if claim["interval"]:
            value, (low, high) = 100 * claim["measured"]["difference"], (100 * end for end in claim["interval"])
            bars = [[value - low], [high - value]]
            axis.errorbar(value, place, xerr=np.abs(bars), fmt=marker, color=colour)
        else:
            axis.axhline(place, color="#eeeeee", linewidth=4, zorder=0)
    axis.axvline(0, color="#444444", linewidth=0.8)
    for bound in (-5, 2, 5):
        axis.axvline(bound, color="#888888", linewidth=0.7, linestyle=":", zorder=0)
    titles = {claim.id: claim.title for claim in CLAIMS}
    labels = [f"{titles[claim['id']]}, {_short(claim['where'])}" for claim in reversed(claims)]
    axis.set_yticks(range(len(claims)), labels, fontsize=7)
    axis.set(xlabel="decisive difference, points of per cent, 95 % interval", ylim=(-0.7, len(claims) - 0.3))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    marks = [
        Line2D([], [], marker=marker, color=colour, linestyle="none", label=verdict)
        if marker != "none"
        else Line2D([], [], color="#dddddd", linewidth=4, label=verdict)
        for verdict, (marker, colour) in looks_of.items()
    ]
    fig.legend(handles=marks, loc="outside upper center", ncols=len(marks))
    return fig


def _short(where: str) -> str:
    """`Tables 4 and 5` as `T 4, 5`, for want of room."""
    return where.replace("Tables ", "T ").replace("Table ", "T ").replace("Figure ", "F ").replace(" and ", ", ")
