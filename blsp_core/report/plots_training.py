"""Plots of speech, of the method and of training. Each takes numbers and returns a figure; none reads a file."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from blsp_core.data.emotions import EMOTIONS
from blsp_core.report.style import COLOURS, EMOTION_COLOURS, EMOTION_MARKERS, MAIN, WIDTH, in_order, looks, name_of

DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)), (0, (3, 1, 1, 1)))
TRAINED = {"facecolor": "#fbd5c8", "edgecolor": "#b2182b", "linewidth": 1.6}
FROZEN = {"facecolor": "#eceff1", "edgecolor": "#607d8b", "linestyle": (0, (3, 2))}
LOSS = {"facecolor": "#fff6d6", "edgecolor": "#a07800"}
INPUT = {"facecolor": "white", "edgecolor": "#888888"}


def sounds(waves: dict[str, np.ndarray], log_mels: dict[str, np.ndarray], sentence: str) -> Figure:
    """One sentence in several emotions: waveform and log-mel spectrogram, on common scales. waves: emotion ->
    (samples,) in -1..1, 16 kHz; log_mels: emotion -> (mels, frames) at 100 frames a second."""
    fig = plt.figure(figsize=(WIDTH, 2.7))
    draw_sounds(fig, waves, log_mels)
    fig.suptitle(f"“{sentence}”", fontsize=8.5, style="italic")
    return fig


def draw_sounds(fig: Figure | SubFigure, waves: dict, log_mels: dict) -> None:
    """The panels of `sounds`, a column for each emotion."""
    rate = 16_000
    emotions = [emotion for emotion in EMOTIONS if emotion in waves]
    longest = max(len(wave) for wave in waves.values()) / rate
    loudest = max(np.abs(wave).max() for wave in waves.values()) * 1.05
    low, high = np.percentile(np.concatenate([mel.ravel() for mel in log_mels.values()]), (5, 99.5))
    axes = fig.subplots(2, len(emotions), sharex=True, sharey="row", height_ratios=[1, 1.7], squeeze=False)
    for (above, below), emotion in zip(axes.T, emotions, strict=True):
        wave, mel, colour = waves[emotion], log_mels[emotion], EMOTION_COLOURS[emotion]
        above.plot(np.arange(len(wave)) / rate, wave, color=colour, linewidth=0.35, rasterized=True)
        above.set(title=emotion, ylim=(-loudest, loudest))
        extent = (0, mel.shape[1] / 100, 0, mel.shape[0])
        below.imshow(mel, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
        below.set(xlim=(0, longest))
        below.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axis, label in zip(axes[:, 0], ("amplitude", "mel band"), strict=True):
        axis.set_ylabel(label)
    fig.supxlabel("time, s", fontsize=8)


def prosody(frame: pd.DataFrame) -> Figure:
    """The distribution of each measure in each emotion. frame: columns emotion and measures, a row an utterance."""
    measures, emotions = frame.columns.drop("emotion"), [e for e in EMOTIONS if e in set(frame["emotion"])]
    fig, axes = plt.subplots(1, len(measures), figsize=(WIDTH, 2.2), squeeze=False)
    for axis, measure in zip(axes[0], measures, strict=True):
        sns.violinplot(
            frame, x="emotion", y=measure, hue="emotion", order=emotions, palette=EMOTION_COLOURS, cut=0,
            inner="quart", linewidth=0.7, legend=False, ax=axis,
        )  # fmt: skip
        axis.set(title=measure, xlabel="", ylabel="")
        axis.set_xticks(range(len(emotions)), emotions, rotation=35, ha="right", rotation_mode="anchor")
        axis.grid(axis="y")
    return fig


def likeness(cosine: np.ndarray, words: list[str], title: str = "") -> Figure:
    """The cosine of each word's embedding with each speech embedding, (words, speech embeddings), in their order."""
    fig, axis = plt.subplots(figsize=(WIDTH * 0.75, 0.6 + 0.19 * len(words)))
    sns.heatmap(cosine, cmap="Greys", vmin=0, yticklabels=words, cbar_kws={"label": "cosine"}, ax=axis)
    axis.set(xlabel="speech embedding", title=title)
    axis.tick_params(length=0, labelrotation=0)
    axis.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axis.xaxis.set_major_formatter("{x:.0f}")
    return fig


def embedding_map(
    points: dict[str, np.ndarray], emotions: list[str], notes: dict[str, str] | None = None
) -> Figure | None:
    """Utterances on the two principal axes of their embeddings, by emotion, a panel for each model. points: model ->
    (utterances, width); emotions: the emotion of each utterance; notes: model -> a line below its panel."""
    from sklearn.decomposition import PCA  # takes long to load

    if not points:
        return None
    fig, axes = plt.subplots(1, len(points), figsize=(WIDTH, 2.7), squeeze=False)
    for axis, (model, found) in zip(axes[0], points.items(), strict=True):
        axes_found = PCA(2, svd_solver="full")
        x, y = axes_found.fit_transform(found).T
        first, second = (f"axis {n}, {100 * s:.0f} %" for n, s in enumerate(axes_found.explained_variance_ratio_, 1))
        order = [emotion for emotion in EMOTIONS if emotion in emotions]
        sns.scatterplot(
            x=x, y=y, hue=emotions, style=emotions, hue_order=order, style_order=order, palette=EMOTION_COLOURS,
            markers=EMOTION_MARKERS, s=14, linewidth=0, alpha=0.85, ax=axis,
        )  # fmt: skip
        below = "\n".join(filter(None, (first, (notes or {}).get(model, ""))))
        axis.set(title=name_of(model), xticks=[], yticks=[], xlabel=below, ylabel=second)
        axis.spines[:].set_visible(True)
        axis.get_legend().remove()
    axes[0, -1].legend(title="emotion", loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.4)
    return fig


def training_curves(logs: dict[str, pd.DataFrame], columns: dict[str, str], log: bool = False) -> Figure | None:
    """Losses over steps, a panel for each column, a line for each run: a running mean, and behind it the logged values
    or, of a system with several training runs, their range. Points: held-out rows (columns validation_...). logs: run
    -> frame with `step` and losses; columns: column -> title of the panel; log: a logarithmic axis."""
    if not logs:
        return None
    fig, axes = plt.subplots(1, len(columns), figsize=(WIDTH * min(1, 0.2 + 0.4 * len(columns)), 2.3), squeeze=False)
    style = looks(logs)
    dashes = dict(zip([run for run in logs if run != MAIN and len(logs) > 1], cycle(DASHES), strict=False))
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        for run, frame in ((run, frame) for run, frame in logs.items() if column in frame):
            colour = style[run]["color"]
            of_step = frame.dropna(subset=[column]).groupby("step")[column]
            span = of_step.agg(["mean", "min", "max"])
            smooth = span.rolling(max(1, len(span) // 20), min_periods=1, center=True).mean()
            axis.plot(smooth["mean"], label=name_of(run), linestyle=dashes.get(run, "-"), color=colour)
            if of_step.size().max() > 1:
                axis.fill_between(smooth.index, smooth["min"], smooth["max"], color=colour, alpha=0.12, linewidth=0)
            else:
                axis.plot(span["mean"], color=colour, alpha=0.25, linewidth=0.6)
            if f"validation_{column}" in frame:
                held_out = frame.groupby("step")[f"validation_{column}"].mean().dropna()
                axis.plot(held_out, color=colour, linestyle="", marker="o", markersize=2.5)
        axis.set(title=title, xlabel="step", **({"yscale": "log"} if log else {"ylim": (0, None)}))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
    axes[0, 0].set_ylabel("loss (points: held-out rows)")
    if len(logs) > 1:
        legend(fig)
    return fig


def grid(count: int, wide: int, height: float, **options) -> tuple[Figure, list[Axes]]:
    """Panels in rows of `wide`, each row `height` inches tall."""
    wide = min(wide, count)
    tall = -(-count // wide)
    fig, axes = plt.subplots(tall, wide, figsize=(WIDTH, 0.6 + tall * height), squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.remove()
    for axis in axes.flat[max(0, count - wide) : count]:
        axis.tick_params(labelbottom=True)
    return fig, list(axes.flat[:count])


def legend(fig: Figure, loc: str = "outside right center", columns: int = 1) -> None:
    """One legend of all panels; of points with bars it shows the points."""
    found = [pair for axis in fig.axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    marks = {label: getattr(handle, "lines", [handle])[0] for handle, label in found}
    fig.legend(marks.values(), marks, loc=loc, ncols=columns)


def interval(axis: Axes, rows: pd.DataFrame, places, horizontal: bool = True, **look) -> None:
    """Points of `value`, a share, in per cent, with bars from `low` to `high` where there are these columns."""
    bars = 100 * np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]]) if "low" in rows else None
    ends = (100 * rows["value"], places) if horizontal else (places, 100 * rows["value"])
    axis.errorbar(*ends, **{"xerr" if horizontal else "yerr": bars}, **{"linestyle": "none", "markersize": 4} | look)


def lines(frame: pd.DataFrame, x: str, line: str, panel: str, looks_of: Mapping, label: str = "", height=1.9) -> Figure:
    """Shares in per cent as lines with markers, and with 95 % intervals where there are `low` and `high`. frame:
    columns value (a share) and those of x, line, panel; looks_of: line -> colour and marker; label: of the y axis."""
    panels = list(dict.fromkeys(frame[panel]))
    width = WIDTH * min(1, 0.35 + 0.3 * len(panels))
    fig, axes = plt.subplots(1, len(panels), figsize=(width, 0.5 + height), sharey=True, squeeze=False)
    for axis, title in zip(axes[0], panels, strict=True):
        for (name, look), dash in zip(looks_of.items(), cycle(("-", *DASHES)), strict=False):
            rows = frame[(frame[panel] == title) & (frame[line] == name)].sort_values(x)
            look = {"label": name_of(name), "elinewidth": 0.7, "linewidth": 1.2, "linestyle": dash, **look}
            interval(axis, rows, rows[x], horizontal=False, **look)
        axis.set(title=title, ylim=(-2, 102))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
    axes[0, 0].set_ylabel(label)
    legend(fig)
    return fig


def emotion_words(frame: pd.DataFrame) -> Figure | None:
    """The probability of the right emotion word, as a share of the five, along training, a panel for each run. frame:
    columns run, step, emotion, probability; the mean where several training runs share a step."""
    if frame.empty:
        return None
    frame = frame.groupby(["run", "step", "emotion"])["probability"].mean().rename("value").reset_index()
    frame["panel"] = pd.Categorical(frame["run"].map(name_of), map(name_of, in_order(set(frame["run"]))), ordered=True)
    looks_of = {e: {"color": EMOTION_COLOURS[e], "marker": EMOTION_MARKERS[e]} for e in EMOTIONS}
    fig = lines(frame.sort_values("panel"), "step", "emotion", "panel", looks_of, "P(right word) among the five, %")
    for axis in fig.axes:
        axis.axhline(20, color="#888888", linewidth=0.8, linestyle=":", zorder=0)  # chance
        axis.set_xlabel("step")
    return fig


def layers(
    frame: pd.DataFrame, reference: Mapping[str, float] | None = None, chosen: Mapping[str, int] | None = None
) -> Figure | None:
    """Accuracy of a linear probe by encoder layer, a panel for each corpus. frame: columns corpus, layer, accuracy (a
    share); reference: corpus -> BLSP-Emo's accuracy, a horizontal line; chosen: corpus -> the layer that validation
    chose, a ring."""
    if frame.empty:
        return None
    corpora, reference = list(dict.fromkeys(frame["corpus"])), reference or {}
    fig, axes = grid(len(corpora), 4, 1.5, sharey=True)
    for axis, corpus in zip(axes, corpora, strict=True):
        rows = frame[frame["corpus"] == corpus].sort_values("layer")
        axis.plot(rows["layer"], 100 * rows["accuracy"], "o-", color="#444444", markersize=3, label="linear probe")
        if corpus in (chosen or {}):
            x, y = rows.loc[rows["layer"] == chosen[corpus], ["layer", "accuracy"]].to_numpy().T
            ring = {"markersize": 8, "markerfacecolor": "none", "color": "#444444", "label": "chosen on validation"}
            axis.plot(x, 100 * y, "o", **ring)
        if corpus in reference:
            axis.axhline(100 * reference[corpus], color=COLOURS[MAIN], label=name_of(MAIN))
        axis.set(title=corpus, ylim=(-2, 102))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
    fig.supxlabel("encoder layer (0: input of the first)", fontsize=8)
    fig.supylabel("accuracy, %", fontsize=8)
    legend(fig, "outside upper center", 3)
    return fig


def robustness(frame: pd.DataFrame) -> Figure | None:
    """Accuracy under every condition with its 95 % interval, a panel for each corpus. frame: of `tables_clips`."""
    if frame.empty:
        return None
    corpora, systems = list(dict.fromkeys(frame["corpus"])), in_order(set(frame["system"]))
    fig, axes = plt.subplots(len(corpora), 1, figsize=(WIDTH, 0.4 + 2.2 * len(corpora)), squeeze=False)
    look = looks(systems)
    for axis, corpus in zip(axes.flat, corpora, strict=True):
        rows = frame[frame["corpus"] == corpus]
        conditions = list(dict.fromkeys(rows["condition"]))
        for place, system in enumerate(systems):
            own = rows[rows["system"] == system]
            at = [conditions.index(name) + 0.16 * (place - (len(systems) - 1) / 2) for name in own["condition"]]
            interval(axis, own, at, horizontal=False, fmt="o", label=name_of(system), color=look[system]["color"])
        axis.set_xticks(range(len(conditions)), conditions, fontsize=6)
        axis.set(title=corpus, ylim=(-2, 102), ylabel="accuracy, %")
        axis.grid(axis="y")
    legend(fig)
    return fig


def method(stage1: Mapping, stage2: Mapping) -> Figure:
    """The paper's Figure 2: the two stages with their losses, from the settings of the two sections of params.yaml."""
    adapter, rank, weight = stage1["adapter"], stage2["lora_rank"], stage2["emotion_weight"]
    parts = {"convolution": f"{len(adapter.get('kernel_sizes', []))} convolutions", "qformer": "window Q-Former"}
    parts = (f"adapter: {parts.get(adapter['type'], adapter['type'])}", TRAINED)
    head, encoder = (TRAINED if train else FROZEN for train in (stage2["head"]["train"], stage2["train_encoder"]))
    lora = "partial LoRA, rank {}\n(speech only)" if stage2["lora_scope"] == "speech" else "LoRA, rank {}\n(everywhere)"
    kl = (f"KL divergence over the response (T = {stage1['temperature']:g})", LOSS)
    speech, request = ("speech", INPUT), "“Continue the following\nsentence: [{}]”"
    # panel, x, width, row of the lowest box, and the boxes from there upwards: text and look
    columns = [
        (0, 26, 48, 0, [speech, ("Whisper encoder", FROZEN), parts, (request.format("speech"), INPUT),
                        ("LLM", FROZEN)]),
        (0, 77, 44, 3, [(request.format("transcript"), INPUT), ("the same LLM", FROZEN)]),
        (0, 51, 98, 5, [kl]),
        (1, 26, 48, 0, [speech, ("Whisper encoder", encoder), parts, ("“Continue … conveyed\ntone …: [speech]”", INPUT),
                        ("" if rank else "LLM", FROZEN),
                        ("cross-entropy of the LLM's\nemotion-aware continuation", LOSS)]),
    ]  # fmt: skip
    if weight:
        loss = f"{weight:g} × cross-entropy\nof the emotion"
        columns += [(1, 77, 44, 4, [("mean over time,\nlinear emotion head", head), (loss, LOSS)])]
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.3))
    for axis, title in zip(axes, ("Stage 1: semantic alignment", "Stage 2: emotion alignment"), strict=True):
        axis.set(xlim=(0, 101), ylim=(0, 106), title=title)
        axis.axis("off")
    arrow = {"arrowstyle": "-|>", "mutation_scale": 7, "linewidth": 0.9, "color": "#444444"}
    for panel, x, width, lowest, boxes in columns:
        for y, (text, look) in enumerate(boxes, start=lowest):
            y, style = 8 + 18 * y, "round,pad=0,rounding_size=2"
            axes[panel].add_patch(FancyBboxPatch((x - width / 2, y - 6.5), width, 13, boxstyle=style, **look))
            axes[panel].text(x, y, text, ha="center", va="center", fontsize=6.3)
            if look is not LOSS:
                axes[panel].add_patch(FancyArrowPatch((x, y + 6.5), (x, y + 11.5), **arrow))
    if rank:  # inside the frozen LLM
        axes[1].add_patch(FancyBboxPatch((20, 75.5), 28, 9, boxstyle="round,pad=0,rounding_size=2", **TRAINED))
        for x, text, size in ((11, "LLM", 6.3), (34, lora.format(rank), 5.6)):
            axes[1].text(x, 80, text, ha="center", va="center", fontsize=size)
    if weight:  # from the speech embeddings to the head
        axes[1].plot([50, 77], [44, 44], color="#444444", linewidth=0.9)
        axes[1].add_patch(FancyArrowPatch((77, 44), (77, 73.5), **arrow))
    marks = [FancyBboxPatch((0, 0), 1, 1, **look) for look in (TRAINED, FROZEN, LOSS)]
    fig.legend(marks, ["trained", "frozen", "loss"], loc="outside lower center", ncols=3, handlelength=1.6)
    return fig
