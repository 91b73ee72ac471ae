"""One look for every figure, and files whose bytes depend on nothing but the numbers."""

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from tabulate import tabulate

from blsp_core.data.manifest import EMOTIONS

WIDTH = 6.3  # inches: the text width of a paper
PAGE = 95  # characters that fit in a line of a printed table
LONG = 30  # characters from which a cell wraps
MAIN = "blsp-emo"  # the system that the study is about
# How a system is called, in the order of every table and figure; others follow by name. First the systems of the
# paper's Tables 1-3 between floor and ceiling, then the variants of Tables 4 and 5 and our own.
NAMES = {
    "random+llm": "Text + random tone",
    "text+llm": "Text + LLM",
    "whisper+llm": "Whisper + LLM",
    "probe": "linear probe",
    "wav2vec2+llm": "wav2vec 2.0 + LLM",
    "hubert+llm": "HuBERT + LLM",
    "wavlm+llm": "WavLM + LLM",
    "salmonn": "SALMONN",
    "blsp": "BLSP (stage 1)",
    "blsp-ser": "BLSP-SER",
    "blsp-emo": "BLSP-Emo",
    "gold+llm": "Text + true tone",
    "no-semantic-stage": "no semantic stage",
    "no-emotion-loss": "no emotion loss",
    "multitask": "multitask",
    "other-writer": "another writer",
    "frozen-encoder": "frozen encoder",
    "random-head": "head at random",
    "shuffled-labels": "shuffled labels",
    "released-kl": "BLSP, released KL",
    "share-25": "a quarter of the speech",
    "share-50": "half of the speech",
}
# From Okabe and Ito's palette as seaborn has it; floor and ceiling are grey, the study's own system dark red.
COLOURS = {
    "random+llm": "#9a9a9a", "text+llm": "#56b4e9", "whisper+llm": "#0173b2", "wav2vec2+llm": "#ca9161",
    "hubert+llm": "#de8f05", "wavlm+llm": "#8c5a00", "salmonn": "#cc78bc", "blsp": "#029e73", "blsp-ser": "#7b4ea3",
    "blsp-emo": "#b2182b", "gold+llm": "#3a3a3a", "no-semantic-stage": "#0173b2", "no-emotion-loss": "#de8f05",
    "multitask": "#029e73", "other-writer": "#8c5a00", "frozen-encoder": "#56b4e9", "shuffled-labels": "#9a9a9a",
    "released-kl": "#5b8f6b", "probe": "#4c72b0", "share-25": "#fbafe4", "share-50": "#d55e00",
    "random-head": "#cc78bc",
}  # fmt: skip
SPARE = ("#6c6c6c", "#ece133", "#17a2b8")  # for systems that nobody foresaw
MARKERS = (*"Xovs^<>PpDdh*H8", *((corners, 2, 0) for corners in (3, 4, 5, 6, 8)), (4, 1, 0), (6, 1, 0), (7, 1, 0))
TONE_COLOURS = dict(zip(EMOTIONS, ("#7f7f7f", "#e69f00", "#3b6fb6", "#b2182b", "#2a9d6f"), strict=True))
TONE_MARKERS = dict(zip(EMOTIONS, "oXsD^", strict=True))


def use_style() -> None:
    """Set matplotlib for every figure of the study, as blsp.mplstyle beside this file says."""
    plt.style.use(["default", "blsp_core.study.blsp"])


def in_order(systems) -> list[str]:
    """Systems in the order of every table: floor, text, cascades, BLSP, BLSP-Emo, ceiling, then variants and others."""
    place = {system: number for number, system in enumerate(NAMES)}
    return sorted(systems, key=lambda system: (place.get(system, len(place)), system))


def name_of(system: str) -> str:
    """How a system is called in tables and figures."""
    return NAMES.get(system, system)


def looks(systems) -> dict[str, dict]:
    """For each system a colour and a marker, which differ without colour too; a known system keeps its own in every
    figure."""
    strangers = [system for system in in_order(systems) if system not in NAMES]
    places = {system: number for number, system in enumerate([*NAMES, *strangers])}
    return {
        system: {
            "color": COLOURS.get(system) or SPARE[strangers.index(system) % len(SPARE)],
            "marker": MARKERS[places[system] % len(MARKERS)],
        }
        for system in in_order(systems)
    }


def save_figure(fig: Figure, path: str | Path, caption: str = "") -> None:
    """Write `path`.png and `path`.pdf, and with a caption `path`.md, which shows the picture above it.

    The same figure always gives the same bytes: no dates, no versions.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _settle(fig)
    fig.savefig(path.with_name(path.name + ".png"), metadata={"Software": None})
    fig.savefig(
        path.with_name(path.name + ".pdf"),
        metadata={"Creator": None, "Producer": None, "CreationDate": None, "ModDate": None},
    )
    if caption:
        path.with_name(path.name + ".md").write_text(f"![]({path.name}.png)\n\n{caption}\n", encoding="utf-8")


def _settle(fig: Figure) -> None:
    """Lay the figure out for good, on round places: the last digits of the layout differ from run to run."""
    for _ in range(2):  # each pass knows the sizes of the one before
        fig.draw_without_rendering()
    places = [axis.get_position() for axis in fig.axes]
    fig.set_layout_engine("none")
    for axis, place in zip(fig.axes, places, strict=True):
        axis.set_position([round(side, 6) for side in place.bounds])


def save_table(frame: pd.DataFrame, path: str | Path, caption: str, numbers: pd.DataFrame | None = None) -> str:
    """Write `path`.md and `path`.tex with the caption, and `path`.csv; returns the Markdown. Empty cells stay empty.

    numbers: what the cells were made of, for the CSV; without it the CSV holds the cells themselves.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = frame.astype(object).where(frame.notna(), "")
    markdown = f"{caption}\n\n{_grid(cells, 'github')}\n"
    latex = _grid(cells, "latex_booktabs").replace("{" + "l" * cells.shape[1] + "}", _columns(cells), 1)
    if _width(cells) > PAGE:
        latex = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{latex}}}"
    table = f"\\begin{{table}}\n\\caption{{{_escaped(caption)}}}\n\\label{{tab:{path.name}}}\n{latex}\n\\end{{table}}\n"
    (frame if numbers is None else numbers).to_csv(path.with_name(path.name + ".csv"), index=False, lineterminator="\n")
    path.with_name(path.name + ".md").write_text(markdown, encoding="utf-8")
    path.with_name(path.name + ".tex").write_text(table, encoding="utf-8")
    return markdown


def _grid(cells: pd.DataFrame, form: str) -> str:
    return tabulate(cells.values.tolist(), headers=list(cells.columns), tablefmt=form, disable_numparse=True)


def _longest(cells: pd.DataFrame) -> list[int]:
    """Characters of the longest cell of each column."""
    return [max([len(str(cell)) for cell in cells.iloc[:, place]], default=0) for place in range(cells.shape[1])]


def _width(cells: pd.DataFrame) -> int:
    """Characters in a line of the table; columns that wrap take what is left."""
    heads = [len(str(name)) for name in cells.columns]
    return sum(max(head, cell) + 2 for head, cell in zip(heads, _longest(cells), strict=True) if cell <= LONG)


def _columns(cells: pd.DataFrame) -> str:
    """LaTeX's column types: lines of text wrap in what short cells, which stand as they are, leave of the page."""
    long = [longest > LONG for longest in _longest(cells)]
    left = max(0.3, 0.95 - _width(cells) / PAGE)
    return "{" + "".join(f"p{{{left / sum(long):.2f}\\textwidth}}" if wraps else "l" for wraps in long) + "}"


def _escaped(text: str) -> str:
    """Text as LaTeX takes it."""
    return "".join("\\" + letter if letter in "&%$#_{}" else letter for letter in text)
