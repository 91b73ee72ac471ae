"""What `blsp-bench` found, as a figure."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from blsp_core.bench.cases import PLAIN, REAL
from blsp_core.report.style import COLOURS, MAIN, use_style

COLOUR = {"stage 1": COLOURS[MAIN], "stage 2": "#3a3a3a", "first token": "#0173b2", "log-mel": "#de8f05"}


def picture(found: dict) -> Figure:
    """Left: how many times faster than the plain reference each variant is. Right, a panel for each size that grows:
    seconds of each case, the reference's dashed."""
    use_style()
    growth = pd.DataFrame(found["growth"])
    sizes = list(growth["of"].unique()) if len(growth) else []
    fig = plt.figure(figsize=(6.3, 3.2 + 2.4 * bool(sizes)), layout="constrained")
    above, *below = fig.subfigures(2) if sizes else [fig]
    ratios = pd.DataFrame(found["cases"]).query("variant != @PLAIN")
    ratios["what"] = ratios["case"] + ": " + ratios["variant"]
    axis = above.subplots()
    sns.barplot(ratios, x="ratio", y="what", ax=axis, color=COLOURS[MAIN])
    axis.bar_label(axis.containers[0], fmt="%.1f", padding=2)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xlabel="times as fast as the plain reference", ylabel="")
    panels = below[0].subplots(1, len(sizes), sharey=True, squeeze=False)[0] if sizes else []
    for place, (panel, what) in enumerate(zip(panels, sizes, strict=True)):
        rows = growth[growth["of"] == what]
        look = {"style_order": [REAL, PLAIN], "marker": "o", "markersize": 3, "errorbar": None}
        sns.lineplot(rows, x="size", y="seconds", hue="case", palette=COLOUR, style="variant", ax=panel, **look)
        panel.legend_.remove()
        panel.set(xscale="log", yscale="log", xlabel=what, ylabel="" if place else "seconds")
        panel.set_xticks(sorted(set(rows["size"])), [f"{size:g}" for size in sorted(set(rows["size"]))], minor=False)
        panel.minorticks_off()
    if sizes:
        below[0].legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return fig
