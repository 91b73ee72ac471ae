"""The whole study at scale smoke, as a user runs it, in a copy of the tree; then what a change makes stale."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML

from blsp_core.data.audio import load_audio
from blsp_core.data.manifest import read_jsonl, read_manifest, write_jsonl
from blsp_core.study.settings import PARAMS, read_params

ROOT = Path(__file__).resolve().parents[2]


def copy_of_the_tree(target: Path) -> Path:
    """What is tracked, or would be: no product, no cache, no environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def said_by(root: Path, *command: str) -> str:
    """What a program of this environment says; a failure shows all of it."""
    python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, *command]
    done = subprocess.run(command, cwd=root, env=os.environ | {"PATH": python}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def dvc(root: Path, *arguments: str) -> str:
    return said_by(root, "-m", "dvc", *arguments)


def ran(said: str) -> set[str]:
    """The stages that did something, as `dvc repro` or `blsp-repro` names them."""
    return set(re.findall(r"Running stage '(.+?)'", said) + re.findall(r"^\d+/\d+ (.+): done", said, re.MULTILINE))


def changed(root: Path) -> set[str]:
    return set(json.loads(dvc(root, "status", "--json")))


def change(root: Path, *keys: str, to) -> None:
    """Change one value of params.yaml."""
    yaml = YAML()
    params = yaml.load(root / PARAMS)
    place = params
    for key in keys[:-1]:
        place = place[key]
    assert keys[-1] in place
    place[keys[-1]] = to
    yaml.dump(params, root / PARAMS)


def bring_two_clips_of_ravdess(study: Path) -> None:
    """A corpus that comes in a folder of its own, far from whole."""
    folder = study / "data/corpora/ravdess/Actor_01"
    folder.mkdir(parents=True)
    for emotion in ("03", "04"):
        noise = np.random.default_rng(int(emotion)).normal(0, 0.1, 16_000)
        soundfile.write(folder / f"03-01-{emotion}-01-01-01-01.wav", noise, 16_000)
    change(study, "data", "readers", to={"ravdess": {"incomplete": True, "folds": 0, "split": "test"}})


VARIANTS = ("blsp-emo", "shuffled-labels", "salmonn")


@pytest.mark.slow
def test_the_study_runs_and_reruns_only_what_a_change_touches(tmp_path):
    study = copy_of_the_tree(tmp_path / "study")
    dvc(study, "config", "core.no_scm", "true")
    change(study, "scale", to="smoke")
    # One run of every kind; that the others have their settings is known from the structure.
    change(study, "variants", to={name: read_params(study)["variants"][name] for name in VARIANTS})
    change(study, "classifiers", to={"wavlm+llm": {"architecture": "wavlm"}})
    change(study, "semantic", to={"blsp": {}})
    change(study, "further_seeds", to=[2])
    bring_two_clips_of_ravdess(study)
    params = read_params(study)
    trained = [*params["semantic"], *params["variants"], *params["classifiers"]]
    evaluations = {f"evaluate@{system}-1" for system in VARIANTS}
    evaluations |= {"evaluate_semantic@blsp-1", "evaluate_classifier@wavlm+llm-1"}
    evaluations |= {f"cascade@{system}" for system in params["cascades"]}
    evaluations |= {"evaluate_again@blsp-2", "evaluate_again@blsp-emo-2"}

    first = said_by(study, "-c", "from blsp_core.apps.repro import main; main()", "-j", "2")  # blsp-repro -j 2
    stages = {
        "foundation",
        "data",
        "continuations",
        "transcripts",
        "stage1@blsp-1",
        "stage2@salmonn-1",
        "stage2_again@blsp-emo-2",
        "ablations",
        "paper",
    }
    assert evaluations | stages <= ran(first)
    results = study / "data/smoke/results"
    summary = json.loads((results / "summary.json").read_text())
    assert "requests.blsp-emo.quality.sd" in summary and "requests.salmonn.quality.sd" not in summary
    assert any(name.startswith("ser.") for name in summary) and json.loads((results / "claims.json").read_text())
    assert list((study / "figures/smoke/paper").glob("*.pdf")) and (study / "figures/smoke/report.html").is_file()
    for system in [*trained, *params["cascades"]]:
        run = json.loads((results / "systems" / system / "seed1.json").read_text())["run"]
        assert (run["scale"], run["system"], run["seed"]) == ("smoke", system, params["seed"])
    assert not (study / ".scratch/failed").exists() and not (study / ".scratch/by-hand").exists()
    assert not list((study / ".scratch").rglob("*.safetensors")), "unfinished work stayed behind"

    brought = read_manifest(study / "data/smoke/manifests/ravdess.test.jsonl")
    assert [len(load_audio(row.audio, study / "data/smoke")) for row in brought] == [16_000, 16_000]

    begun = time.perf_counter()
    assert ran(dvc(study, "repro")) == set()
    assert time.perf_counter() - begun < 20

    # Someone brings the answers of another program.
    rows = read_jsonl(study / "data/smoke/predictions/text+llm/seed1.jsonl")
    answers = [{key: row[key] for key in ("id", "task", "response")} for row in rows]
    write_jsonl(study / "own/mine.jsonl", answers)
    change(study, "external", to={"mine": "own/mine.jsonl"})
    assert ran(dvc(study, "repro")) == {"external@mine", "ablations", "paper"}
    mine, known = (json.loads((results / f"systems/{name}/seed1.json").read_text()) for name in ("mine", "text+llm"))
    assert {name: found for name, found in mine.items() if name != "run"} == {
        name: found for name, found in known.items() if name != "run"
    }
    assert "| mine |" in (study / "figures/smoke/paper/balanced.md").read_text().replace("  ", "")

    # Someone opens a notebook, runs it and saves it.
    source = study / "notebooks/04_stage1.ipynb"
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": "seen"}]}
    notebook["metadata"]["language_info"] = {"name": "python", "version": "3.12.1"}
    source.write_text(json.dumps(notebook), encoding="utf-8")
    assert ran(dvc(study, "repro")) == {"clean"}

    # Someone changes code that only the paper is made with.
    with open(study / "blsp_core/study/bars.py", "a", encoding="utf-8") as file:
        file.write("# a thought\n")
    assert ran(dvc(study, "repro", "clean")) == {"clean"}
    assert changed(study) == {"paper"}

    # Someone changes how many times the bootstrap draws.
    change(study, "evaluation", "draws", to=params["evaluation"]["draws"] + 1)
    assert changed(study) == evaluations | {"external@mine", "paper"}
    one = sorted(evaluations)[0]
    assert ran(dvc(study, "repro", "--single-item", one)) == {one}
    assert changed(study) >= evaluations - {one} and "paper" in changed(study) and one not in changed(study)
