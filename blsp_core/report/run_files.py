"""What the stages wrote beside their products: logs, embeddings, time and memory, as frames."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from blsp_core.report.style import in_order


def read_logs(folder: Path, places: Mapping[str, Mapping[int, str]], file: str = "log.csv") -> dict[str, pd.DataFrame]:
    """system -> a CSV of its training runs, below each other with a column `seed`; a system without it is left out.

    folder: data/<scale>; places: of `results.places`.
    """
    found: dict[str, pd.DataFrame] = {}
    for system in in_order(places):
        paths = {seed: folder / "training" / place / file for seed, place in places[system].items()}
        frames = [pd.read_csv(path).assign(seed=seed) for seed, path in paths.items() if path.is_file()]
        found |= {system: pd.concat(frames, ignore_index=True)} if frames else {}
    return found


def read_records(folder: Path, places: Mapping[str, Mapping[int, str]]) -> list[dict]:
    """The `run` record of all stages: settings, versions, hardware, seconds. folder, places: as for `read_logs`."""
    runs = [place for of_system in places.values() for place in of_system.values()]
    files = sorted(folder.glob("*/results.json"))
    files += [folder / kind / place / "results.json" for kind in ("training", "evaluation") for place in runs]
    return [json.loads(file.read_text(encoding="utf-8"))["run"] for file in files if file.is_file()]


def cost_table(records: list[dict]) -> pd.DataFrame:
    """Time and memory by section of params.yaml: the sum of minutes, and the largest memory of one run."""
    rows = [(run["section"], 1, run["seconds"] / 60, run.get("peak_memory_gb")) for run in records]
    frame = pd.DataFrame(rows, columns=["stage", "runs", "minutes", "peak memory, GB"]).groupby("stage", sort=False)
    return frame.agg({"runs": "sum", "minutes": "sum", "peak memory, GB": "max"}).round(1).reset_index()


def clouds(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, np.ndarray], list[str], dict[str, str]]:
    """What `plots.embedding_map` takes, from the embeddings.csv of one run a model: points, emotions and notes."""
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    points = {name: frame.filter(regex=r"^d\d+$").to_numpy() for name, frame in frames.items()}
    notes = {name: _probe(points[name], frame) for name, frame in frames.items()}
    return points, next((list(frame["emotion"]) for frame in frames.values()), []), notes


def _probe(points: np.ndarray, frame: pd.DataFrame) -> str:
    """The accuracy of a linear probe of the emotion on speakers that it was not fitted to."""
    from sklearn.linear_model import LogisticRegression  # takes long to load
    from sklearn.model_selection import GroupKFold, cross_val_score

    speakers = frame["speaker"].nunique()
    if min(speakers, frame["emotion"].nunique()) < 2:
        return ""
    scaled, probe = (points - points.mean(axis=0)) / points.std(axis=0).clip(1e-9), LogisticRegression(max_iter=2000)
    folds = GroupKFold(min(5, speakers))
    scores = cross_val_score(probe, scaled, frame["emotion"], groups=frame["speaker"], cv=folds)
    return f"linear probe: {100 * scores.mean():.0f} % (chance {100 / frame['emotion'].nunique():.0f})"
