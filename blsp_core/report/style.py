"""One look for all figures and tables, and files whose bytes depend on the numbers alone."""

import os
import re
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from blsp_core.data.emotions import EMOTIONS

WIDTH = 6.3  # inches: the text width of a paper
DPI = 200  # of PNG files
MAIN = "blsp-emo"  # the system that the study is about
# The systems of the paper's Tables 1 to 3, in their order, with our lower bound, upper bound and linear probe. Other
# systems follow in alphabetical order and are called as in params.yaml.
NAMES = {
    "random+llm": "random+llm", "text+llm": "Text+LLM", "whisper+llm": "Whisper+LLM", "probe": "linear probe",
    "wav2vec2+llm": "wav2vec 2.0+LLM", "hubert+llm": "HuBERT+LLM", "wavlm+llm": "WavLM+LLM",
    "salmonn": "SALMONN-style Q-Former", "blsp": "BLSP", "blsp-ser": "BLSP-SER", "blsp-emo": "BLSP-Emo",
    "gold+llm": "gold+llm",
}  # fmt: skip
BOUNDS = ("random+llm", "gold+llm")
COLOURS = {"random+llm": "#9a9a9a", MAIN: "#b2182b", "gold+llm": "#3a3a3a"}  # the others: the palette below
PALETTE = [
    "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#56b4e9", "#001c7f", "#12711c",
    "#591e71", "#592f0d", "#a23582", "#3c3c3c", "#b8850a", "#006374",
]  # fmt: skip  # seaborn's colorblind and dark, without reds, which are BLSP-Emo's
MARKERS = (*"Xovs^<>PpDdh*H8", *((corners, 2, 0) for corners in (3, 4, 5, 6, 8)), (4, 1, 0), (6, 1, 0), (7, 1, 0))
PALE = "#b0b0b0"
VERDICTS = {  # of claims: marker and colour; the two answers are those to open questions
    "reproduced": ("o", "#1b7837"), "not reproduced": ("X", "#b2182b"), "inconclusive": ("D", "#e08214"),
    "uninformative": ("s", "#8073ac"), "yes": ("o", "#444444"), "no": ("X", "#444444"), "not measured": ("", PALE),
}  # fmt: skip
EMOTION_COLOURS = dict(zip(EMOTIONS, ("#7f7f7f", "#e69f00", "#3b6fb6", "#b2182b", "#2a9d6f"), strict=True))
EMOTION_MARKERS = dict(zip(EMOTIONS, "oXsD^", strict=True))


def use_style(vector: bool = False) -> None:
    """Set matplotlib for all figures of the study, as blsp.mplstyle beside this file says. vector: a notebook shows
    SVG, for pages that readers enlarge."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # no dates in pictures
    plt.style.use(["default", "blsp_core.report.blsp"])
    if vector:
        from matplotlib_inline.backend_inline import set_matplotlib_formats  # of notebooks only

        set_matplotlib_formats("svg")


def in_order(systems) -> list[str]:
    """Systems in the order of every table: those of `NAMES`, then the others by name."""
    names = list(NAMES)
    return sorted(systems, key=lambda system: (names.index(system) if system in NAMES else len(names), system))


def name_of(system: str) -> str:
    """How a system is called in tables and figures."""
    return NAMES.get(system, system)


def looks(systems) -> dict[str, dict]:
    """A colour and a marker for each system; the markers differ, and a system of `NAMES` always has the same look."""
    order = list(dict.fromkeys([*NAMES, *in_order(systems)]))
    found = {}
    for system, place in ((system, order.index(system)) for system in in_order(systems)):
        colour = COLOURS.get(system, PALETTE[place % len(PALETTE)])
        found[system] = {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
    return found


def save_figure(fig: Figure | None, path: str | Path) -> Figure | None:
    """Write `path`.png and `path`.pdf, always the same bytes for the same figure, and return the figure.

    None, of a plot that had no data, is reported in a line and writes nothing.
    """
    path = Path(path)
    if fig is None:
        print(f"{path.name}: not drawn, its data are not there at this level")
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    _settle(fig)
    fig.savefig(path.with_name(path.name + ".png"), dpi=DPI, metadata={"Software": None})
    dates = dict.fromkeys(("Creator", "Producer", "CreationDate", "ModDate"))
    fig.savefig(path.with_name(path.name + ".pdf"), metadata=dates)
    plt.close(fig)  # a notebook shows what a cell returns, once
    return fig


def _settle(fig: Figure) -> None:
    """Fix the layout at rounded positions, at the resolution of the file: the last digits differ from run to run."""
    dpi, fig.dpi = fig.dpi, DPI
    for _ in range(2):  # each pass uses the sizes of the one before
        fig.draw_without_rendering()
    places = [axis.get_position() for axis in fig.axes]
    fig.set_layout_engine("none")
    for part in fig.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6) + 0.0)  # + 0: never -0
    for axis, place in zip(fig.axes, places, strict=True):
        axis.set_position([round(side, 6) for side in place.bounds])
    fig.dpi = dpi


def save_table(frame: pd.DataFrame, path: str | Path, caption: str = "", best: bool = False) -> str:
    """Write `path`.csv, and with the caption `path`.md and `path`.tex; return the Markdown.

    Columns of numbers are aligned to the right; missing cells are empty. best: the highest number of each column is
    bold, bounds apart. An empty frame writes nothing.
    """
    path = Path(path)
    if frame.empty:
        return f"{path.name}: no rows at this level.\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = frame.astype(object).where(frame.notna(), "").astype(str)
    align = ["right" if cells[name].str.fullmatch(r"|[-+<.\d].*").all() else "left" for name in cells]
    if best:
        cells = _with_best(cells)
    markdown = cells.to_markdown(index=False, colalign=align, disable_numparse=True)
    markdown = f"{caption}\n\n{markdown}\n" if caption else f"{markdown}\n"
    escaped = (
        re.sub(r"^Table \d+\. ", "", re.sub(r"([&%$#_{}])", r"\\\1", caption)) or None
    )  # pandas escapes cells only
    columns = "".join(side[0] for side in align)
    latex = cells.to_latex(index=False, escape=True, caption=escaped, label=f"tab:{path.name}", column_format=columns)
    latex = re.sub(r"\*\*(.*?)\*\*", r"\\textbf{\1}", latex)
    frame.to_csv(path.with_name(path.name + ".csv"), index=False, lineterminator="\n")
    path.with_name(path.name + ".md").write_text(markdown, encoding="utf-8")
    path.with_name(path.name + ".tex").write_text(latex, encoding="utf-8")
    return markdown


def _with_best(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the highest number of each column between asterisks, if there are several. Rows of `BOUNDS` are
    left out: they are given the answer, or none."""
    systems = ~cells.iloc[:, 0].isin(BOUNDS)
    marked = cells.copy()
    for name in cells.columns[1:]:
        numbers = pd.to_numeric(cells[name].str.extract(r"^([-+]?[\d.]+)", expand=False), errors="coerce")[systems]
        if numbers.notna().sum() > 1:
            top = numbers.index[numbers == numbers.max()]
            marked.loc[top, name] = "**" + cells.loc[top, name] + "**"
    return marked
