"""What `blsp-bench` found, as a figure."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from blsp_core.bench.cases import PLAIN, REAL
from blsp_core.report.style import COLOURS, MAIN, use_style


def picture(found: dict) -> Figure:
    """Left: how many times faster than the plain reference each variant is. Right, a panel for each size that grows:
    seconds of a step of both stages, the reference's dashed."""
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
        for stage, colour in (("stage 1", COLOURS[MAIN]), ("stage 2", "#3a3a3a")):
            rows = growth[(growth["case"] == stage) & (growth["of"] == what)]
            for variant, dashes in ((REAL, "-"), (PLAIN, "--")):
                line = rows[rows["variant"] == variant]
                panel.plot(
                    line["size"],
                    line["seconds"],
                    dashes,
                    color=colour,
                    marker="o",
                    markersize=3,
                    label=f"{stage}, {variant}",
                )
        panel.set(xscale="log", yscale="log", xlabel=what, ylabel="" if place else "seconds a step")
        panel.set_xticks(sorted(set(rows["size"])), [f"{size:g}" for size in sorted(set(rows["size"]))], minor=False)
        panel.minorticks_off()
    if sizes:
        handles, labels = panel.get_legend_handles_labels()
        below[0].legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return fig
