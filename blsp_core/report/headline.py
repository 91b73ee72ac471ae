"""The first screen of the report: a few numbers, and how many claims got which verdict."""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from blsp_core.evaluation.claims import NOT_REPRODUCED, OPEN_QUESTION, REPRODUCED
from blsp_core.model.audio import SAMPLE_RATE
from blsp_core.report.style import COLOURS, MAIN, VERDICTS, name_of

DARK = (REPRODUCED, NOT_REPRODUCED)  # their colours want white letters
LARGE, SMALL = "font-size:1.9em;font-weight:600", "font-size:.85em;color:#555"


def numbers(table: pd.DataFrame, other: str = "whisper+llm") -> str:
    """BLSP-Emo's cells of `tables.main_systems` as large numbers, below each that of another system; HTML."""
    rows = table.set_index("system")
    if name_of(MAIN) not in rows.index:
        return ""
    tiles = []
    for column in [name for name in rows if str(rows.loc[name_of(MAIN), name])[:1].isdigit()][:5]:
        own, others = ([*str(rows[column].get(name_of(one), "")).split(), ""][0] for one in (MAIN, other))
        below = f"{name_of(other)} {others} %" if others else ""
        tiles.append(
            f'<div style="flex:1 1 9em;border-top:4px solid {COLOURS[MAIN]};padding:.4em 0"><div>{column}</div>'
            f'<div style="{LARGE}">{own} %</div><div style="{SMALL}">{name_of(MAIN)}</div>'
            f'<div style="{SMALL}">{below}</div></div>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(tiles)}</div>'


def verdict_bar(judged: Sequence[dict]) -> str:
    """The claims by verdict as one bar, whose parts are as wide as they are many; HTML. Open questions, which have an
    answer and no verdict, are left out."""
    counts = Counter(claim["verdict"] for claim in judged if claim["where"] != OPEN_QUESTION)
    parts = [
        f'<div style="flex:{counts[name]} 0 5em;background:{colour};color:{"#fff" if name in DARK else "#000"};'
        f'padding:.5em;text-align:center">{counts[name]} {name}</div>'
        for name, (_, colour) in VERDICTS.items()
        if counts[name]
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px;margin:1em 0">{"".join(parts)}</div>'


def folded(title: str, markdown: str) -> str:
    """Markdown that is shown after a click on its title."""
    return f"<details><summary>{title}</summary>\n\n{markdown}\n\n</details>"


def folded_figures(title: str, pictures: dict[str, Path]) -> str:
    """PNG files that are shown after a click on the title. pictures: by alternative text; HTML."""
    shown = (
        f'<img alt="{text}" src="data:image/png;base64,{b64encode(path.read_bytes()).decode()}">'
        for text, path in pictures.items()
    )
    return f"<details><summary>{title}</summary>{''.join(shown)}</details>"


def players(clips: Sequence[dict], sounds: Sequence[np.ndarray]) -> str:
    """Players for `tables_clips.clips_to_play`, each beside the answers of the systems; HTML. sounds: 16 kHz, mono."""
    parts = []
    for clip, sound in zip(clips, sounds, strict=True):
        file = BytesIO()
        soundfile.write(file, sound, SAMPLE_RATE, format="MP3")
        answers = "".join(f"<div><b>{name_of(name)}</b> {escape(text)}</div>" for name, text in clip["answers"].items())
        parts.append(
            f'<div style="margin:1em 0"><div>{escape(clip["title"])}</div><audio controls preload="none" '
            f'aria-label="{escape(clip["title"])}" src="data:audio/mpeg;base64,{b64encode(file.getvalue()).decode()}">'
            f'</audio><div style="{SMALL}">{answers}</div></div>'
        )
    return "".join(parts)
