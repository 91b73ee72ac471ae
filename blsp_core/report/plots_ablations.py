"""The plot of the ablations."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from blsp_core.report.style import COLOURS, MAIN, WIDTH, in_order, name_of

SURE, UNSURE = "#3a3a3a", "#9a9a9a"


def forest(frame: pd.DataFrame) -> Figure:
    """Every variant less BLSP-Emo, a panel for each measure; filled where the adjusted p is below 0.05.

    frame: of `ablations.differences`. Bars are 95 % intervals over all training runs, small ticks the single runs.
    """
    pooled, each = frame[frame["seed"] == "all"], frame[frame["seed"] != "all"]
    names, measures = in_order(set(frame["variant"]))[::-1], list(dict.fromkeys(frame["measure"]))
    wide = 3 if len(measures) % 3 == 0 else min(4, len(measures))
    tall = -(-len(measures) // wide)
    size = (WIDTH, 0.4 + tall * (0.45 + 0.19 * len(names)))
    fig, axes = plt.subplots(tall, wide, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(measures) :]:
        axis.remove()
    for number, (axis, measure) in enumerate(zip(axes.flat, measures, strict=False)):
        for row in pooled[pooled["measure"] == measure].itertuples():
            sure = row.p_holm < 0.05
            bars = [[100 * (row.difference - row.low)], [100 * (row.high - row.difference)]]
            axis.errorbar(
                100 * row.difference, names.index(row.variant), xerr=bars, fmt="o", markersize=4, capsize=2,
                color=SURE if sure else UNSURE, markerfacecolor=SURE if sure else "white",
            )  # fmt: skip
        runs = each[each["measure"] == measure]
        places = [names.index(variant) for variant in runs["variant"]]
        axis.plot(100 * runs["difference"], places, "|", markersize=6, color=COLOURS[MAIN], alpha=0.8)
        axis.axvline(0, color=COLOURS[MAIN], linewidth=0.8)
        axis.set(title=measure, ylim=(-0.6, len(names) - 0.4))
        axis.tick_params(labelbottom=number + wide >= len(measures))
        axis.grid(axis="x")
        axis.set_axisbelow(True)
    axes[0, 0].set_yticks(range(len(names)), [name_of(name) for name in names])
    fig.supxlabel(f"difference to {name_of(MAIN)}, points of per cent", fontsize=8)
    return fig
