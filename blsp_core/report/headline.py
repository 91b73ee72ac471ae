"""The first screen of the report: a few numbers, and how many claims got which verdict."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from blsp_core.report.style import COLOURS, MAIN, name_of

VERDICTS = {"reproduced": "#029e73", "inconclusive": "#8c8c8c", "not reproduced": "#d55e00", "not measured": "#cfcfcf"}
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
            f'<div style="{LARGE}">{own} %</div><div style="{SMALL}">{below}</div></div>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(tiles)}</div>'


def verdict_bar(judged: Sequence[dict]) -> str:
    """The claims by verdict as one bar, whose parts are as wide as they are many; HTML. Open questions, which have an
    answer and no verdict, are left out."""
    counts = Counter(claim["verdict"] for claim in judged)
    parts = [
        f'<div style="flex:{counts[name]} 0 5em;background:{colour};color:{"#000" if colour > "#c" else "#fff"};'
        f'padding:.5em;text-align:center">{counts[name]} {name}</div>'
        for name, colour in VERDICTS.items()
        if counts[name]
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px;margin:1em 0">{"".join(parts)}</div>'


def folded(title: str, markdown: str) -> str:
    """Markdown that is shown after a click on its title."""
    return f"<details><summary>{title}</summary>\n\n{markdown}\n\n</details>"
