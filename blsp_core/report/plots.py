"""The plots of the study. Each takes numbers or arrays and returns a figure; none reads a file."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from blsp_core.data.manifest import EMOTIONS
from blsp_core.report.style import MAIN, TONE_COLOURS, TONE_MARKERS, WIDTH, in_order, looks, name_of

DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)), (0, (3, 1, 1, 1)))


def sounds(waves: dict[str, np.ndarray], log_mels: dict[str, np.ndarray], sentence: str, rate: int = 16_000) -> Figure:
    """One sentence in several tones: waveform above log-mel.

    waves: tone -> (samples,) in -1..1; log_mels: tone -> (mels, frames) at 100 frames a second. All panels share their
    scales, so that loudness, tempo and pitch can be compared by eye.
    """
    fig = plt.figure(figsize=(WIDTH, 2.7))
    draw_sounds(fig, waves, log_mels, rate)
    fig.suptitle(f"“{sentence}”", fontsize=8.5, style="italic")
    return fig


def draw_sounds(fig: Figure | SubFigure, waves: dict, log_mels: dict, rate: int = 16_000) -> None:
    """The panels of `sounds`, a column for each tone."""
    tones = [tone for tone in EMOTIONS if tone in waves]
    longest = max(len(wave) for wave in waves.values()) / rate
    loudest = max(np.abs(wave).max() for wave in waves.values()) * 1.05
    low, high = (np.percentile(np.concatenate([m.ravel() for m in log_mels.values()]), q) for q in (5, 99.5))
    axes = fig.subplots(2, len(tones), sharex=True, sharey="row", height_ratios=[1, 1.7], squeeze=False)
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


def tone_map(points: dict[str, np.ndarray], tones: list[str], notes: dict[str, str] | None = None) -> Figure:
    """Utterances as points, coloured and shaped by the speaker's tone, a panel for each model.

    points: model -> (utterances, width); what is drawn are its two principal axes. tones: one for each utterance;
    notes: model -> a line below its panel.
    """
    from sklearn.decomposition import PCA  # takes long to load

    fig, axes = plt.subplots(1, len(points), figsize=(WIDTH, 2.7), squeeze=False)
    for axis, (model, found) in zip(axes[0], points.items(), strict=True):
        flat = PCA(2, svd_solver="full").fit_transform(found)
        for tone in (t for t in EMOTIONS if t in tones):
            rows = np.array([spoken == tone for spoken in tones])
            axis.scatter(
                *flat[rows].T, s=11, color=TONE_COLOURS[tone], marker=TONE_MARKERS[tone], label=tone, linewidths=0,
                alpha=0.85,
            )  # fmt: skip
        axis.set(title=name_of(model), xticks=[], yticks=[], xlabel=(notes or {}).get(model, ""))
        axis.spines[:].set_visible(True)
    axes[0, -1].legend(title="spoken", loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.4)
    return fig


def training_curves(logs: dict[str, pd.DataFrame], columns: dict[str, str]) -> Figure:
    """Losses over steps, a panel for each column, a line for each run.

    logs: run -> frame with `step` and losses; columns: column -> the panel's title. Behind each running mean
    stand, faint, the logged values, or the span of several training runs where each step has several rows.
    """
    fig, axes = plt.subplots(1, len(columns), figsize=(WIDTH * min(1, 0.2 + 0.4 * len(columns)), 2.3), squeeze=False)
    style, dashes = looks(logs), _dashes(logs)
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        for run, log in ((run, log) for run, log in logs.items() if column in log):
            first = run == MAIN
            look = {"color": style[run]["color"], "zorder": 3 if first else 2, "linewidth": 1.8 if first else 1.1}
            of_step = log.dropna(subset=[column]).groupby("step")[column]
            span = of_step.agg(["mean", "min", "max"])
            smooth = span.rolling(max(1, len(span) // 20), min_periods=1, center=True).mean()
            axis.plot(smooth.index, smooth["mean"], label=name_of(run), linestyle=dashes[run], **look)
            if of_step.size().max() > 1:
                axis.fill_between(
                    smooth.index, smooth["min"], smooth["max"], color=look["color"], alpha=0.12, linewidth=0
                )
            else:
                axis.plot(span.index, span["mean"], color=look["color"], alpha=0.25, linewidth=0.6)
        axis.set(title=title, xlabel="step", ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
    axes[0, 0].set_ylabel("loss")
    if len(logs) > 1:
        lines = {line.get_label(): line for axis in axes[0] for line in axis.get_legend_handles_labels()[0]}
        shown = [name_of(run) for run in logs if name_of(run) in lines]
        fig.legend([lines[name] for name in shown], shown, loc="outside right center")
    return fig


def _dashes(runs) -> dict[str, object]:
    """A line style for every run, the same in all panels; BLSP-Emo and a run that stands alone are drawn through."""
    others = [run for run in runs if run != MAIN] if len(runs) > 1 else []
    return {MAIN: "-"} | dict.fromkeys(runs, "-") | {run: DASHES[i % len(DASHES)] for i, run in enumerate(others)}


def confusions(found: dict[str, dict], title: str = "", rows: str = "emotion spoken") -> Figure:
    """Confusion matrices of several systems, each row in per cent of the emotion that `rows` says.

    found: system -> {reference: {predicted or "unparsed": count}}, as `judging.score` gives it.
    """
    systems = in_order(found)
    columns = list(next(iter(found.values())).values())[0]
    labels = [
        name for name in columns if name != "unparsed" or any(r["unparsed"] for m in found.values() for r in m.values())
    ]
    wide = min(4 if len(systems) > 6 else 3, len(systems))
    tall, side = -(-len(systems) // wide), (WIDTH - 0.65) / max(wide, 3)
    size = (0.65 + side * wide, 0.75 + (side + 0.1) * tall)
    fig, axes = plt.subplots(tall, wide, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(systems) :]:
        axis.remove()
    for number, (axis, system) in enumerate(zip(axes.flat, systems, strict=False)):
        matrix = pd.DataFrame(found[system]).T[labels]
        shares = 100 * matrix.div(pd.DataFrame(found[system]).T.sum(axis=1), axis=0)
        axis.imshow(shares, cmap="Greys", vmin=0, vmax=125, aspect="auto")
        for (row, column), value in np.ndenumerate(shares.to_numpy()):
            if round(value):
                axis.text(
                    column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color="w" if value > 60 else "k"
                )
        axis.set_title(name_of(system))
        axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(matrix)), matrix.index)
        axis.tick_params(length=0, labelbottom=number // wide == tall - 1)
        axis.spines[:].set_visible(True)
    fig.supxlabel("emotion named, % of the row", fontsize=8)
    fig.supylabel(rows, fontsize=8)
    if title:
        fig.suptitle(title, fontsize=8.5)
    return fig


def empathy_by_tone(frame: pd.DataFrame) -> Figure:
    """How often replies meet the tone, for each tone of the speaker: one average can hide a tone that is lost.

    frame: columns system, tone, empathy (share).
    """
    systems, tones = in_order(set(frame["system"])), [tone for tone in EMOTIONS if tone in set(frame["tone"])]
    shares = 100 * frame.pivot(index="system", columns="tone", values="empathy").reindex(index=systems, columns=tones)
    fig, axis = plt.subplots(figsize=(2.2 + 0.62 * len(tones), 0.75 + 0.22 * len(systems)))
    sns.heatmap(
        shares, cmap="Greys", vmin=0, vmax=125, annot=True, fmt=".0f", annot_kws={"size": 7.5}, cbar=False,
        linewidths=1, ax=axis,
    )  # fmt: skip
    axis.set_yticks(np.arange(len(systems)) + 0.5, [name_of(system) for system in systems], rotation=0)
    axis.tick_params(length=0)
    axis.set(xlabel="tone spoken; replies that meet it, %", ylabel="")
    return fig
