"""Bars of shares that add up to one, as in the paper's Figure 3. Each takes a frame and returns a figure."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blsp_core.report.style import MAIN, WIDTH, in_order, name_of

# Each part of a bar: column of the frame, words of the legend, colour, hatch, colour of the number in it.
WIN_TIE_LOSS = (
    ("win", "{} is preferred", "#b2182b", "", "white"),
    ("tie", "tie", "#e3e3e3", "", "black"),
    ("loss", "the rival is preferred", "#7f9db9", "////", "black"),
)
HEARD = (
    ("both", "differ, both in the right tone", "#b2182b", "", "white"),
    ("one", "differ, one of them right", "#efb3a6", "....", "black"),
    ("neither", "differ, none right", "#7f9db9", "////", "black"),
    ("same", "the same reply", "#e3e3e3", "", "black"),
)


def preferences(frame: pd.DataFrame, system: str = MAIN) -> Figure:
    """The paper's Figure 3: how often `system` wins, ties and loses against each rival.

    frame: columns rival, win, tie, loss (shares).
    """
    parts = [(column, words.format(name_of(system)), *look) for column, words, *look in WIN_TIE_LOSS]
    labels = [f"against {name_of(rival)}" for rival in frame["rival"]]
    return _stacked(frame, labels, parts, "dialogues, %")


def fixed_words(frame: pd.DataFrame) -> Figure:
    """What becomes of the reply when the tone changes and the words do not.

    frame: columns system, same, both, one, neither: shares of all pairs of tones of a sentence.
    """
    frame = frame.set_index("system").loc[in_order(frame["system"])].reset_index()
    return _stacked(frame, [name_of(system) for system in frame["system"]], HEARD, "pairs of tones, %")


def _stacked(frame: pd.DataFrame, labels: list[str], parts, unit: str) -> Figure:
    """A bar for each row of the frame, made of the parts, each with its number where it has room."""
    fig, axis = plt.subplots(figsize=(WIDTH, 0.85 + 0.26 * len(frame)))
    _bars(axis, frame, parts)
    axis.set_yticks(range(len(frame)), labels[::-1])
    axis.set(xlabel=unit, xlim=(0, 100), ylim=(-0.6, len(frame) - 0.4))
    axis.tick_params(axis="y", length=0)
    fig.legend(loc="outside upper center", ncols=len(parts), handlelength=1.4, columnspacing=1.4)
    return fig


def _bars(axis: Axes, frame: pd.DataFrame, parts) -> None:
    places, left = np.arange(len(frame))[::-1], np.zeros(len(frame))
    for column, words, colour, hatch, ink in parts:
        values = 100 * frame[column].to_numpy(dtype=float)
        axis.barh(
            places, values, 0.74, left=left, label=words, color=colour, hatch=hatch, edgecolor="white", linewidth=0.8
        )
        for place, start, value in zip(places, left, values, strict=True):
            if value >= 4:
                patch = {"facecolor": colour, "edgecolor": "none", "pad": 0.8} if hatch else None
                axis.text(
                    start + value / 2,
                    place,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=ink,
                    bbox=patch,
                )
        left = left + values
