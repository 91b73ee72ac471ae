"""The results in the README, put there from the results on disk: `python -m blsp_core.study.readme`."""

import argparse
import json
from collections import Counter
from pathlib import Path

import pandas as pd

from blsp_core.errors import StudyError
from blsp_core.study.claims import read_published
from blsp_core.study.paper_claims import OPEN_QUESTION
from blsp_core.study.tables import KEY, claims_table, controls_table, overview, read_metrics

START, END = "<!-- results -->", "<!-- /results -->"


def results_block(results: str | Path, published: dict) -> str:
    """The results as the README shows them: systems by corpora, then the claims, then the controls."""
    claims, controls = (
        json.loads((Path(results) / name).read_text(encoding="utf-8")) for name in ("claims.json", "controls.json")
    )
    systems = overview(read_metrics(results), published)
    told = claims_table(claims, published)[["claim", "where", "published", "measured", "difference", "verdict"]]
    checked = controls_table(controls)[["control", "decisive difference", "verdict"]]
    verdicts = Counter(claim["verdict"] for claim in claims if claim["where"] != OPEN_QUESTION)
    count = f"Of {verdicts.total()} statements of the paper " + ", ".join(f"{n} {v}" for v, n in verdicts.most_common())
    summary = json.loads((Path(results) / "summary.json").read_text(encoding="utf-8"))
    hours = f"All stages together took {summary['study.seconds'] / 60:.0f} minutes"
    hours += f", {summary['study.seconds_of_one_seed'] / 60:.0f} of them for one training seed"
    hours += f", and at most {summary['study.peak_memory_gb']:.1f} GB of memory."
    parts = [f"{KEY}; `?`: the source of a published number is unsure.", _markdown(systems)]
    parts += [f"{count}. Differences are the decisive ones, in points of per cent.", _markdown(told)]
    return "\n\n".join([*parts, _markdown(checked), hours])


def renew(readme: str | Path, results: str | Path, published: dict) -> None:
    """Put `results_block` between the markers of the README. Raises StudyError when a marker is missing."""
    readme = Path(readme)
    text = readme.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(END) < text.index(START):
        raise StudyError(f"{readme}: wanted are one {START} and after it one {END}; put them where the results belong")
    head, tail = text.split(START)[0], text.split(END)[1]
    readme.write_text(f"{head}{START}\n{results_block(results, published)}\n{END}{tail}", encoding="utf-8")


def _markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Renew the results in the README from the results on disk.")
    parser.add_argument("--scale", default="mini", help="whose results the README shows")
    scale = parser.parse_args().scale
    renew("README.md", f"data/{scale}/results", read_published("data/published.json"))


if __name__ == "__main__":
    main()
