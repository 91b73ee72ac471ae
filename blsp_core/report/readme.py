"""The results in the README, put there from the results on disk: `python -m blsp_core.report.readme`."""

import argparse
import json
from collections import Counter
from pathlib import Path

import pandas as pd

from blsp_core.errors import StudyError
from blsp_core.evaluation.claims import read_published
from blsp_core.evaluation.paper_claims import OPEN_QUESTION
from blsp_core.report.tables import KEY, claims_table, controls_table, overview, read_metrics

VERDICTS = (
    "*Reproduced*: every comparison of a claim is surely on its side of 0. *Not reproduced*: one is surely below a "
    "gain of two points (of what is kept or the same: beyond five). The difference, in points of per cent, is that of "
    "the comparison that is least sure; an average over corpora counts as one. An open question, of which the "
    "paper claims nothing, is answered by *yes* or *no* on the same terms; *no* where anything might differ means that "
    "all is surely within five points."
)
CLAIMS = "mini"  # the scale whose verdicts on the claims the README shows; of others, the systems alone
SCALES = (CLAIMS, "laptop")


def markers(scale: str) -> tuple[str, str]:
    """The lines of the README between which the results of a scale stand."""
    return f"<!-- results {scale} -->", f"<!-- /results {scale} -->"


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
    parts = [f"{KEY}; `?`: the source of a published number is unsure.", _markdown(systems)]
    parts += [f"{count}. {VERDICTS}", _markdown(told)]
    return "\n\n".join([*parts, _markdown(checked), _cost(results)])


def systems_block(results: str | Path, figures: str | Path, published: dict) -> str:
    """The results of a scale without verdicts: systems by corpora, the same with tones weighed alike, emotion heads,
    and voices apart that no trial was judged by.

    figures: the folder in which the stage `paper` has put the scale's tables.
    """
    parts = [f"{KEY}.", _markdown(overview(read_metrics(results), published))]
    for name, said in (
        ("balanced", "Recall, averaged over the tones:"),
        ("heads", "The LLM asked in words, and the emotion head alone:"),
        ("unmet", "Accuracy on voices that some setting was chosen on, and on those that no trial was judged by:"),
    ):
        table = Path(figures) / f"{name}.csv"  # an empty table leaves no file
        if table.is_file():
            parts += [said, _markdown(pd.read_csv(table, dtype=str).fillna(""))]
    return "\n\n".join([*parts, _cost(results)])


def block(scale: str, root: str | Path, published: dict) -> str:
    """What stands between the markers of a scale."""
    results = Path(root) / "data" / scale / "results"
    if scale == CLAIMS:
        return results_block(results, published)
    return systems_block(results, Path(root) / "figures" / scale / "paper", published)


def renew(readme: str | Path, scale: str, said: str) -> None:
    """Put `said` between the markers of a scale. Raises StudyError when a marker is missing."""
    readme, (start, end) = Path(readme), markers(scale)
    text = readme.read_text(encoding="utf-8")
    if text.count(start) != 1 or text.count(end) != 1 or text.index(end) < text.index(start):
        raise StudyError(f"{readme}: wanted are one {start} and after it one {end}; put them where the results belong")
    head, tail = text.split(start)[0], text.split(end)[1]
    readme.write_text(f"{head}{start}\n{said}\n{end}{tail}", encoding="utf-8")


def _cost(results: str | Path) -> str:
    summary = json.loads((Path(results) / "summary.json").read_text(encoding="utf-8"))
    hours = f"All stages together took {summary['study.seconds'] / 60:.0f} minutes"
    hours += f", {summary['study.seconds_of_one_seed'] / 60:.0f} of them for all systems at the first seed"
    return f"{hours}, and at most {summary['study.peak_memory_gb']:.1f} GB of memory."


def _markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.values.tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Renew the results in the README from the results on disk.")
    parser.add_argument("--scale", choices=SCALES, help="whose; all that are on disk unless given")
    asked = parser.parse_args().scale
    for scale in [asked] if asked else [each for each in SCALES if Path(f"data/{each}/results/summary.json").is_file()]:
        renew("README.md", scale, block(scale, ".", read_published("data/published.json")))


if __name__ == "__main__":
    main()
