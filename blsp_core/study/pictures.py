"""The plots of the study. Each takes numbers or arrays and returns a figure; none reads a file."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study.figures import HATCHES, TONE_COLOURS, WIDTH, in_order, looks, name_of


def sounds(waves: dict[str, np.ndarray], log_mels: dict[str, np.ndarray], sentence: str, rate: int = 16_000) -> Figure:
    """One sentence in several tones: waveform above log-mel.

    waves: tone -> (samples,) in -1..1; log_mels: tone -> (mels, frames) at 100 frames a second. All panels share their
    scales, so that loudness, tempo and pitch can be compared by eye.
    """
    tones = [tone for tone in EMOTIONS if tone in waves]
    longest = max(len(wave) for wave in waves.values()) / rate
    loudest = max(np.abs(wave).max() for wave in waves.values()) * 1.05
    low, high = (np.percentile(np.concatenate([m.ravel() for m in log_mels.values()]), q) for q in (5, 99.5))
    fig, axes = plt.subplots(2, len(tones), figsize=(WIDTH, 2.7), sharex=True, sharey="row", height_ratios=[1, 1.7])
    for column, tone in zip(axes.T, tones, strict=True):
        wave, mel = waves[tone], log_mels[tone]
        column[0].plot(np.arange(len(wave)) / rate, wave, color=TONE_COLOURS[tone], linewidth=0.35, rasterized=True)
        column[0].set(title=tone, ylim=(-loudest, loudest))
        extent = (0, mel.shape[1] / 100, 0, mel.shape[0])
        column[1].imshow(mel, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
        column[1].set(xlim=(0, longest))
        column[1].xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes[0, 0].set_ylabel("amplitude")
    axes[1, 0].set_ylabel("mel band")
    fig.supxlabel("seconds", fontsize=8)
    fig.suptitle(f"“{sentence}”", fontsize=8.5, style="italic")
    return fig


def prosody(frame: pd.DataFrame) -> Figure:
    """How each measure of the sound is spread in each tone; white bars mark medians and quartiles.

    frame: columns tone and measures, a row for each utterance.
    """
    measures, tones = [column for column in frame if column != "tone"], [t for t in EMOTIONS if t in set(frame["tone"])]
    fig, axes = plt.subplots(1, len(measures), figsize=(WIDTH, 2.2), squeeze=False)
    for axis, measure in zip(axes[0], measures, strict=True):
        known = frame.dropna(subset=[measure])
        values = [known.loc[known["tone"] == tone, measure].to_numpy() for tone in tones]
        drawn = [(place, found) for place, found in enumerate(values) if len(found) > 1]
        bodies = axis.violinplot([v for _, v in drawn], [p for p, _ in drawn], widths=0.85, showextrema=False)["bodies"]
        for body, (place, found) in zip(bodies, drawn, strict=True):
            body.set(facecolor=TONE_COLOURS[tones[place]], alpha=0.9)
            low, middle, high = np.percentile(found, (25, 50, 75))
            axis.plot([place, place], [low, high], color="white", linewidth=2)
            axis.plot(place, middle, "o", color="white", markersize=3.5)
        axis.set_xticks(range(len(tones)), tones, rotation=35, ha="right", rotation_mode="anchor")
        axis.set(title=measure)
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    return fig


def likeness(cosine: np.ndarray, words: list[str], title: str = "") -> Figure:
    """Which word each speech embedding is most like: cosine, (words, speech embeddings), in their order."""
    fig, axis = plt.subplots(figsize=(WIDTH * 0.75, 0.6 + 0.19 * len(words)))
    image = axis.imshow(cosine, cmap="Greys", vmin=0, aspect="auto")
    axis.set_yticks(range(len(words)), words)
    axis.set(xlabel="speech embedding", title=title)
    axis.tick_params(length=0)
    fig.colorbar(image, ax=axis, label="cosine", fraction=0.04)
    return fig


def tone_map(points: dict[str, np.ndarray], tones: list[str]) -> Figure:
    """Utterances as points coloured by the speaker's tone, a panel for each model.

    points: model -> (utterances, width); what is drawn are its two principal axes.
    """
    fig, axes = plt.subplots(1, len(points), figsize=(WIDTH, 2.6), squeeze=False)
    for axis, (model, found) in zip(axes[0], points.items(), strict=True):
        centred = found - found.mean(axis=0)
        flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        for number, tone in enumerate(t for t in EMOTIONS if t in tones):
            rows = np.array([spoken == tone for spoken in tones])
            axis.scatter(*flat[rows].T, s=9, color=TONE_COLOURS[tone], marker="oXsD^"[number], label=tone, linewidths=0)
        axis.set(title=name_of(model), xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
    axes[0, -1].legend(title="spoken", loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def training_curves(logs: dict[str, pd.DataFrame], columns: dict[str, str]) -> Figure:
    """Losses over steps, a panel for each column, a line for each run.

    logs: run -> frame with `step` and losses; columns: column -> the panel's title. Every logged value stands faint
    behind its running mean.
    """
    fig, axes = plt.subplots(1, len(columns), figsize=(WIDTH * min(1, 0.2 + 0.4 * len(columns)), 2.3), squeeze=False)
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        for number, (run, log) in enumerate((run, log) for run, log in logs.items() if column in log):
            log = log.dropna(subset=[column])
            smooth = log[column].rolling(max(1, len(log) // 20), min_periods=1, center=True).mean()
            (line,) = axis.plot(
                log["step"], smooth, label=name_of(run), linewidth=1.4, linestyle=("-", "--", ":", "-.")[number % 4]
            )
            axis.plot(log["step"], log[column], color=line.get_color(), alpha=0.25, linewidth=0.6)
        axis.set(title=title, xlabel="step", ylim=(0, None))
        axis.grid(axis="y")
        if len(logs) > 1 and axis.lines:
            axis.legend()
    axes[0, 0].set_ylabel("loss")
    return fig


def accuracy(frame: pd.DataFrame, chance: dict[str, float] | None = None) -> Figure:
    """Every system on every corpus: the measured figure with its interval, the paper's own beside it.

    frame: columns system, corpus, value, low, high (shares) and published (per cent, or empty); chance: corpus -> the
    share of its most frequent emotion, drawn as a line.
    """
    corpora, systems = list(dict.fromkeys(frame["corpus"])), in_order(set(frame["system"]))[::-1]
    style = looks(systems)
    wide = min(4, len(corpora))
    tall = -(-len(corpora) // wide)
    size = (WIDTH, 0.5 + tall * (0.4 + 0.19 * len(systems)))
    fig, axes = plt.subplots(tall, wide, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(corpora) :]:
        axis.remove()
    for axis, corpus in zip(axes.flat, corpora, strict=False):
        for row in frame[frame["corpus"] == corpus].itertuples():
            place, look = systems.index(row.system), style[row.system]
            if pd.notna(row.value):
                bars = [[100 * (row.value - row.low)], [100 * (row.high - row.value)]]
                axis.errorbar(100 * row.value, place, xerr=bars, fmt="o", markersize=4, capsize=2, color=look["color"])
            if pd.notna(row.published):
                axis.plot(row.published, place, "D", markersize=4.5, markerfacecolor="none", markeredgecolor="#222222")
        if chance and corpus in chance:
            axis.axvline(100 * chance[corpus], color="#888888", linewidth=0.8, linestyle=":", zorder=0)
        axis.set(title=corpus, xlim=(-3, 103), xticks=(0, 25, 50, 75, 100), ylim=(-0.6, len(systems) - 0.4))
        axis.grid(axis="x")
    axes[0, 0].set_yticks(range(len(systems)), [name_of(system) for system in systems])
    fig.supxlabel("accuracy, %", fontsize=8)
    marks = [
        Line2D([], [], marker="o", markersize=4, color="#444444", label="measured here, 95 % interval"),
        Line2D([], [], marker="D", markersize=4.5, color="none", markeredgecolor="#222222", label="the paper"),
        Line2D([], [], color="#888888", linewidth=0.8, linestyle=":", label="most frequent emotion"),
    ]
    fig.legend(handles=marks, loc="outside upper center", ncols=3)
    return fig


def confusions(found: dict[str, dict], title: str = "") -> Figure:
    """Confusion matrices of several systems, each row in per cent of the speaker's emotion.

    found: system -> {reference: {predicted or "unparsed": count}}, as `judging.score` gives it.
    """
    systems = in_order(found)
    columns = list(next(iter(found.values())).values())[0]
    labels = [
        name for name in columns if name != "unparsed" or any(r["unparsed"] for m in found.values() for r in m.values())
    ]
    wide = min(3, len(systems))
    tall = -(-len(systems) // wide)
    fig, axes = plt.subplots(
        tall, wide, figsize=(0.6 + 1.95 * wide, 0.3 + 1.95 * tall), sharex=True, sharey=True, squeeze=False
    )
    for axis in axes.flat[len(systems) :]:
        axis.remove()
    for number, (axis, system) in enumerate(zip(axes.flat, systems, strict=False)):
        matrix = pd.DataFrame(found[system]).T[labels]
        shares = 100 * matrix.div(pd.DataFrame(found[system]).T.sum(axis=1), axis=0)
        axis.imshow(shares, cmap="Greys", vmin=0, vmax=125, aspect="auto")
        for (row, column), value in np.ndenumerate(shares.to_numpy()):
            if value >= 0.5:
                axis.text(
                    column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color="w" if value > 60 else "k"
                )
        axis.set_title(name_of(system))
        axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(matrix)), matrix.index)
        axis.tick_params(length=0, labelbottom=number + wide >= len(systems))
        axis.spines[:].set_visible(True)
    fig.supxlabel("emotion named, % of the row", fontsize=8)
    fig.supylabel("emotion spoken", fontsize=8)
    if title:
        fig.suptitle(title, fontsize=8.5)
    return fig


def quality_against_empathy(frame: pd.DataFrame) -> Figure:
    """Replies to spoken requests: the right advice against the right tone, both with intervals.

    frame: columns system and, for quality and empathy, value, low and high: quality, quality_low, quality_high ...
    """
    style = looks(set(frame["system"]))
    fig, axis = plt.subplots(figsize=(WIDTH * 0.82, 2.9))
    for system in in_order(style):
        row, look = frame.set_index("system").loc[system], style[system]
        bars = [[[100 * abs(row[m] - row[f"{m}_{end}"])] for end in ("low", "high")] for m in ("quality", "empathy")]
        axis.errorbar(
            100 * row["quality"], 100 * row["empathy"], xerr=bars[0], yerr=bars[1], fmt=look["marker"],
            color=look["color"], markersize=6, markeredgecolor="white", elinewidth=0.9, capsize=2,
            label=name_of(system),
        )  # fmt: skip
    left = 10 * np.floor((100 * min(frame["quality_low"]) - 4) / 10)
    axis.set(xlabel="quality: well-formed advice on the right object, %", ylabel="empathy: the speaker's tone, %")
    axis.set(xlim=(max(-3, left), 101.5), ylim=(-3, 103))
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axis.grid()
    axis.set_axisbelow(True)
    handles, labels = axis.get_legend_handles_labels()
    fig.legend([handle[0] for handle in handles], labels, loc="outside right center")
    return fig


def empathy_by_tone(frame: pd.DataFrame) -> Figure:
    """How often replies meet the tone, for each tone of the speaker: one average can hide a tone that is lost.

    frame: columns system, tone, empathy (share).
    """
    systems, tones = in_order(set(frame["system"])), [tone for tone in EMOTIONS if tone in set(frame["tone"])]
    fig, axis = plt.subplots(figsize=(WIDTH, 2.3))
    width = 0.82 / len(tones)
    for number, tone in enumerate(tones):
        values = frame[frame["tone"] == tone].set_index("system")["empathy"].reindex(systems)
        places = np.arange(len(systems)) + (number - (len(tones) - 1) / 2) * width
        axis.bar(
            places, 100 * values, width, label=tone, color=TONE_COLOURS[tone], hatch=HATCHES[number], edgecolor="white"
        )
    names = [name_of(system).replace(" + ", " +\n").replace(" (", "\n(") for system in systems]
    axis.set_xticks(range(len(systems)), names)
    axis.set(ylabel="empathy, %", ylim=(0, 103))
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    axis.legend(title="spoken", loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def verdicts(claims: list[dict]) -> Figure:
    """Every claim with its decisive difference and interval, in the order of claims.json; open where not measured."""
    looks_of = {
        "reproduced": ("o", "#1b7837"),
        "not reproduced": ("X", "#b2182b"),
        "inconclusive": ("D", "#e08214"),
        "not measured": ("none", "#bbbbbb"),
    }
    fig, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.17 * len(claims)))
    for place, claim in enumerate(reversed(claims)):
        marker, colour = looks_of[claim["verdict"]]
        if claim["interval"]:
            value, (low, high) = 100 * claim["measured"]["difference"], (100 * end for end in claim["interval"])
            bars = [[value - low], [high - value]]
            axis.errorbar(value, place, xerr=bars, fmt=marker, color=colour, markersize=5, capsize=2)
        else:
            axis.axhline(place, color="#eeeeee", linewidth=4, zorder=0)
    axis.axvline(0, color="#444444", linewidth=0.8)
    axis.set_yticks(range(len(claims)), [f"{claim['id']}  ({claim['where']})" for claim in reversed(claims)])
    axis.set(xlabel="decisive difference, points of per cent, 95 % interval", ylim=(-0.7, len(claims) - 0.3))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    marks = [
        Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=5, label=verdict)
        if marker != "none"
        else Line2D([], [], color="#dddddd", linewidth=4, label=verdict)
        for verdict, (marker, colour) in looks_of.items()
    ]
    fig.legend(handles=marks, loc="outside upper center", ncols=len(marks))
    return fig
