"""One look for every figure, and files whose bytes depend on nothing but the numbers."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from tabulate import tabulate

from blsp_core.speech.manifest import EMOTIONS

WIDTH = 6.3  # inches: the text width of a paper
# The order in which systems stand in every table and figure; others follow by name.
SYSTEMS = (
    "random+llm", "text+llm", "whisper+llm", "wav2vec2+llm", "hubert+llm", "wavlm+llm", "salmonn", "blsp", "blsp-ser",
    "multitask", "other-writer", "no-semantic-stage", "no-emotion-loss", "frozen-encoder", "blsp-emo", "gold+llm",
)  # fmt: skip
NAMES = {
    "random+llm": "Text + random tone",
    "text+llm": "Text + LLM",
    "whisper+llm": "Whisper + LLM",
    "wav2vec2+llm": "wav2vec 2.0 + LLM",
    "hubert+llm": "HuBERT + LLM",
    "wavlm+llm": "WavLM + LLM",
    "salmonn": "SALMONN",
    "blsp": "BLSP (stage 1)",
    "blsp-ser": "BLSP-SER",
    "blsp-emo": "BLSP-Emo",
    "gold+llm": "Text + true tone",
}
MARKERS = "sovD^P<>pXh*dH8"
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo", "----")
BOLD = "#b2182b"  # the system that the study is about
GREYS = {"random+llm": "#9a9a9a", "gold+llm": "#4d4d4d"}  # floor and ceiling, no competitors
TONE_COLOURS = dict(zip(EMOTIONS, ("#7f7f7f", "#e69f00", "#3b6fb6", "#b2182b", "#2a9d6f"), strict=True))


def use_style() -> None:
    """Set matplotlib and seaborn for every figure of the study: readable in print, in grey and on the screen."""
    sns.set_theme(
        context="paper",
        style="ticks",
        palette="colorblind",
        rc={
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters, and bytes, on every machine
            "font.size": 8,
            "axes.titlesize": 8.5,
            "axes.titleweight": "bold",
            "axes.labelsize": 8,
            "xtick.labelsize": 7.5,
            "ytick.labelsize": 7.5,
            "legend.fontsize": 7.5,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "grid.linewidth": 0.5,
            "grid.color": "#dddddd",
            "hatch.linewidth": 0.5,
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "pdf.fonttype": 42,
            "svg.hashsalt": "blsp-emo",
        },
    )
    mpl.rcParams["mathtext.fontset"] = "dejavusans"


def in_order(systems) -> list[str]:
    """Systems in the order of every table: floor, text, cascades, BLSP and its variants, BLSP-Emo, ceiling."""
    place = {system: number for number, system in enumerate(SYSTEMS)}
    return sorted(systems, key=lambda system: (place.get(system, len(place)), system))


def name_of(system: str) -> str:
    """How a system is called in tables and figures."""
    return NAMES.get(system, system)


def looks(systems) -> dict[str, dict]:
    """For each system a colour, a marker and a hatch that also differ in grey."""
    ordered = in_order(systems)
    free = iter(sns.color_palette("colorblind", n_colors=10).as_hex() * 2)
    return {
        system: {
            "color": BOLD if system == "blsp-emo" else GREYS.get(system) or next(free),
            "marker": MARKERS[number % len(MARKERS)],
            "hatch": HATCHES[number % len(HATCHES)],
        }
        for number, system in enumerate(ordered)
    }


def save_figure(fig: Figure, path: str | Path) -> None:
    """Write `path`.png and `path`.pdf; the same figure always gives the same bytes: no dates, no versions."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path.with_name(path.name + ".png"), dpi=200, metadata={"Software": None})
    fig.savefig(
        path.with_name(path.name + ".pdf"),
        metadata={"Creator": None, "Producer": None, "CreationDate": None, "ModDate": None},
    )


def save_table(frame: pd.DataFrame, path: str | Path, caption: str) -> str:
    """Write `path`.csv, `path`.md and `path`.tex with the caption; returns the Markdown. Empty cells stay empty."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = frame.astype(object).where(frame.notna(), "")
    markdown = f"{caption}\n\n{_grid(cells, 'github')}\n"
    latex = _grid(cells, "latex_booktabs").replace("{" + "l" * cells.shape[1] + "}", _columns(cells), 1)
    table = f"\\begin{{table}}\n\\caption{{{_escaped(caption)}}}\n\\label{{tab:{path.name}}}\n{latex}\n\\end{{table}}\n"
    frame.to_csv(path.with_name(path.name + ".csv"), index=False, lineterminator="\n")
    path.with_name(path.name + ".md").write_text(markdown, encoding="utf-8")
    path.with_name(path.name + ".tex").write_text(table, encoding="utf-8")
    return markdown


def _grid(cells: pd.DataFrame, form: str) -> str:
    return tabulate(cells.values.tolist(), headers=list(cells.columns), tablefmt=form, disable_numparse=True)


def _columns(cells: pd.DataFrame) -> str:
    """LaTeX's column types: lines of text wrap, short cells stand as they are."""
    long = [max([len(str(cell)) for cell in cells.iloc[:, place]], default=0) > 30 for place in range(cells.shape[1])]
    return "{" + "".join(f"p{{{0.75 / sum(long):.2f}\\textwidth}}" if wraps else "l" for wraps in long) + "}"


def _escaped(text: str) -> str:
    """Text as LaTeX takes it."""
    return "".join("\\" + letter if letter in "&%$#_{}" else letter for letter in text)
