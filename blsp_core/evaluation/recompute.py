"""All predictions of a report in one file, and its claims computed from it:

    python -m blsp_core.evaluation.recompute data/mini/results/full

Where the judge is an LLM, it is asked again for preferences and for the replies of the null system.
"""

import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from blsp_core.errors import StudyError, refused
from blsp_core.evaluation import claims, controls, judges
from blsp_core.evaluation.results import Predictions

FILE = "predictions.zip"
SHARED = ("reference", "text", "speaker", "turns")  # fields of a row that follow from its task and id
LEFT_OUT = (*SHARED, "id", "system", "task", "prompt")
_TIME = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same predictions are the same bytes


def pack(path: Path, predictions: Predictions, word_errors: Mapping[str, float], judge: Mapping[str, str]) -> None:
    """Write predictions, the word error rates of the cascades' Whisper by corpus, and the settings of the judge."""
    shared: dict[str, dict[str, dict]] = {}
    for tasks in (tasks for runs in predictions.values() for tasks in runs.values()):
        for task, rows in tasks.items():
            of_task = shared.setdefault(task, {})
            of_task |= {row["id"]: {name: row[name] for name in SHARED if name in row} for row in rows}
    parts = {"utterances": shared, "word_errors": word_errors, "judge": judge}
    for system, runs in predictions.items():
        parts[f"systems/{system}"] = {
            seed: {task: [_own(row) for row in of_task] for task, of_task in tasks.items()}
            for seed, tasks in runs.items()
        }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, part in parts.items():
            entry = zipfile.ZipInfo(f"{name}.json", _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, json.dumps(part, ensure_ascii=False, separators=(",", ":")))


def _own(row: dict) -> dict:
    return {"id": row["id"]} | {name: value for name, value in row.items() if name not in LEFT_OUT}


def unpack(path: Path) -> tuple[Predictions, dict[str, float], dict[str, str]]:
    """What `pack` wrote."""
    with refused(f"{path}: cannot be read; wanted is the {FILE} that a report writes"), zipfile.ZipFile(path) as file:
        parts = {name.removesuffix(".json"): json.loads(file.read(name)) for name in file.namelist()}
    shared, predictions = parts["utterances"], {}
    for name, runs in parts.items():
        if name.startswith("systems/"):
            system = name.removeprefix("systems/")
            predictions[system] = {
                int(seed): {
                    task: [{**shared[task][row["id"]], **row, "system": system, "task": task} for row in rows]
                    for task, rows in tasks.items()
                }
                for seed, tasks in runs.items()
            }
    return predictions, parts["word_errors"], parts["judge"]


def judge_all(
    predictions: Predictions, word_errors: Mapping[str, float], judge, data: Path
) -> tuple[list[dict], list[dict], dict[str, dict]]:
    """The claims and the controls, judged, and the published numbers by key. data: the folder with claims.yaml and
    published.json."""
    asked = claims.read_claims(data / "claims.yaml")
    published = claims.read_published(data / "published.json", asked)
    with_null = predictions | controls.shuffled_replies(predictions, judge)
    judged = claims.judge_claims(with_null, published, asked, judge, claims.excluded(predictions, word_errors))
    return judged, controls.judge_controls(predictions, asked, judge), published


def main(folders: Sequence[str]) -> int:
    """Print every claim with its verdict and the committed one; 1 where they differ."""
    if len(folders) != 1 or folders[0].startswith("-"):
        print(__doc__)
        return 2
    folder = Path(folders[0])
    predictions, word_errors, settings = unpack(folder / FILE)
    root = next((one for one in folder.resolve().parents if (one / "data/claims.yaml").is_file()), None)
    if root is None:
        raise StudyError(f"{folder}: no folder above it holds data/claims.yaml; put it into a study's data/")
    judge = judges.load(**settings, cache=root / ".scratch/replies")
    judged, checked, _ = judge_all(predictions, word_errors, judge, root / "data")
    wanted = {row["id"]: row["verdict"] for name in ("claims", "controls") for row in _read(folder / f"{name}.json")}
    differ = 0
    for row in [*judged, *checked]:
        same = wanted.get(row["id"]) == row["verdict"]
        differ += not same
        print(
            f"{row['id']:26} {row['verdict']:15} {'' if same else 'committed: ' + str(wanted.get(row['id']))}".rstrip()
        )
    return int(differ > 0)


def _read(path: Path) -> list[dict]:
    with refused(f"{path}: cannot be read; wanted is what the report writes beside {FILE}"):
        return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StudyError as error:
        sys.exit(str(error))
