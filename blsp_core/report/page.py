"""The exhibits of the paper, each saved with its caption, and the page of results that shows them all.

The page is one file: pictures and sound are inside it, nothing is asked of the network.
"""

import base64
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import jinja2
import numpy as np
import pandas as pd
import soundfile
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.report import captions
from blsp_core.report import style as figures

MOST_SOUND = 1_500_000  # characters of base64 that the page may spend on sound
_COLUMN = 690  # pixels of a notebook's page that a figure as wide as the text takes
CLAIMS, COST = "The claims of the paper", "Settings and cost"  # sections whose place on the page is fixed
VERDICTS = ("reproduced", "yes", "passed", "inconclusive", "not reproduced", "no", "failed", "not measured")


@dataclass
class Exhibit:
    """A figure or a table of the page, or one sentence on why it is not there. As the value of a cell it shows its
    figure, or the sentence."""

    name: str
    caption: str
    png: bytes = field(default=b"", repr=False)  # of a figure
    width: float = 1.0  # of the picture, as a share of a line of text
    columns: list[str] = field(default_factory=list)  # of a table
    rows: list[list[str]] = field(default_factory=list)
    absent: str = ""

    @property
    def picture(self) -> str:
        """The figure as an address that a page can hold in itself."""
        return data_uri(self.png, "image/png") if self.png else ""

    def _repr_png_(self) -> tuple[bytes, dict] | None:
        return (self.png, {"width": round(self.width * _COLUMN)}) if self.png else None

    def _repr_markdown_(self) -> str | None:
        return None if self.png else self.absent


@dataclass
class Paper:
    """Saves figures and tables where `place` says, and keeps them in their order, by section, for the page.

    place: name of a file -> where it belongs, as `study.figures`.
    """

    place: Callable[[str], Path]
    sections: dict[str, list[Exhibit]] = field(default_factory=dict)
    _section: str = ""

    def section(self, title: str) -> None:
        """What follows belongs to this section of the page."""
        self._section = title
        self.sections.setdefault(title, [])

    def figure(
        self,
        name: str,
        draw: Callable[..., Figure],
        shown,
        *,
        kind: str = "",
        words: Mapping = MappingProxyType({}),
        **looks,
    ) -> Exhibit:
        """Draw, save, keep and return a figure of what is `shown`; of nothing, the sentence that says so.

        kind: the key of its caption, where that is not its name; words: what the caption is filled with.
        """
        caption, absent = captions.of(kind or name, **words)
        if shown is None or (hasattr(shown, "__len__") and not len(shown)):
            return self._keep(Exhibit(name, caption, absent=absent))
        fig = draw(shown, **looks)
        figures.save_figure(fig, self.place(name), caption)
        plt.close(fig)  # else the notebook draws it once more
        light = _light(self.place(name).with_name(name + ".png"))
        return self._keep(Exhibit(name, caption, light, width=min(1, fig.get_figwidth() / figures.WIDTH)))

    def table(
        self,
        name: str,
        frame: pd.DataFrame,
        *,
        note: str = "",
        numbers: pd.DataFrame | None = None,
        words: Mapping = MappingProxyType({}),
    ) -> str:
        """Save and keep a table; returns its Markdown. Of an empty one the sentence that says so is kept and returned.

        note: what the caption ends with; numbers: see `figures.save_table`; words: what the caption is filled with.
        """
        caption, absent = captions.of(name, **words)
        if not len(frame):
            self._keep(Exhibit(name, caption, absent=absent))
            return absent
        caption = f"{caption} {note}".strip()
        markdown = figures.save_table(frame, self.place(name), caption, numbers)
        cells = frame.astype(object).where(frame.notna(), "").values.tolist()
        rows = [[_unbroken(str(cell)) for cell in row] for row in cells]
        self._keep(Exhibit(name, caption, columns=list(frame.columns), rows=rows))
        return markdown

    def _keep(self, exhibit: Exhibit) -> Exhibit:
        self.sections.setdefault(self._section, []).append(exhibit)
        return exhibit

    def absences(self) -> list[str]:
        """The sentences on what is not there."""
        kept = [exhibit for exhibits in self.sections.values() for exhibit in exhibits]
        return [exhibit.absent for exhibit in kept if exhibit.absent]

    def write(
        self,
        path: Path,
        *,
        title: str,
        facts: Mapping[str, str],
        claims: pd.DataFrame,
        controls: pd.DataFrame,
        clips: list[dict],
        details: Mapping[str, str],
    ) -> Path:
        """Write the page. Claims come first, then controls, then the sections in their order, then sound, settings and
        cost; exhibits of the sections `CLAIMS` and `COST` stand there.

        facts: what stands below the title; claims, controls: tables with a column `verdict`; clips: of `listen`;
        details: what can be unfolded at the end, heading -> text.
        """
        loader = jinja2.PackageLoader("blsp_core.study", ".")
        environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        text = environment.get_template("report.html.jinja").render(
            title=title,
            facts=facts,
            claims=[_told(row) for row in claims.to_dict("records")],
            controls=[_told(row) for row in controls.to_dict("records")],
            counts={verdict: int((claims["verdict"] == verdict).sum()) for verdict in VERDICTS if len(claims)},
            sections={name: kept for name, kept in self.sections.items() if kept and name not in (CLAIMS, COST)},
            beside_claims=self.sections.get(CLAIMS, []),
            beside_cost=self.sections.get(COST, []),
            clips=clips,
            details=details,
        )
        path.write_text(text, encoding="utf-8")
        return path


def listen(
    waves: dict[str, np.ndarray], sentence: str, replies: dict[str, dict[str, str]], rate: int = SAMPLE_RATE
) -> list[dict]:
    """What the page plays: for each tone the clip as a data URI (FLAC), and the replies with who gave each.

    waves: tone -> (samples,) in -1..1; replies: system -> tone -> reply. Clips beyond `MOST_SOUND` are left silent.
    """
    clips, spent = [], 0
    for tone, wave in waves.items():
        sound = data_uri(_flac(wave, rate), "audio/flac")
        spent += len(sound)
        said: dict[str, list[str]] = {}
        for system in figures.in_order(replies):
            if tone in replies[system]:
                said.setdefault(replies[system][tone], []).append(figures.name_of(system))
        whose = [{"systems": ", ".join(names), "reply": reply} for reply, names in said.items()]
        clips.append({"tone": tone, "text": sentence, "sound": sound if spent <= MOST_SOUND else "", "replies": whose})
    return clips


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that a page can hold in itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _unbroken(cell: str) -> str:
    """A number with its interval, so that no line ends between the two."""
    return re.sub(r"^[-+.\d]+ \[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), cell)


def _light(picture: Path) -> bytes:
    """A PNG with a palette of 128 colours, a third of its bytes: for the page, which holds every picture in itself."""
    buffer = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _flac(wave: np.ndarray, rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _told(row: dict) -> dict:
    """A row of claims or controls with what the template wants to know of it."""
    rest = {
        name: value for name, value in row.items() if name not in ("claim", "control", "where", "verdict") and value
    }
    words = row.get("claim") or row.get("control")
    return {"words": words, "where": row.get("where", ""), "verdict": row["verdict"], "rest": rest}
