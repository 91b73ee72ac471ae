"""The whole study at scale smoke, as users run it, in a copy of the tree; what a change makes stale; extensions."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML

from blsp_core.data.manifest import read_jsonl

ROOT = Path(__file__).resolve().parents[2]
KEPT = {"full": ("salmonn", "shuffled-labels", "wavlm+llm"), "extra": ("blsp-2", "blsp-emo-2")}  # one of every kind


class Copy:
    """A copy of the tree as a git repository of its own, at scale smoke."""

    def __init__(self, root: Path):
        self.root = root
        listed = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("figures/", "data/mini/")):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        self.run("git", "init", "-q")
        self.python("-m", "blsp_core.pipeline", "scale", "smoke")
        runs = self.params["runs"]
        self.change("runs", to={**runs, **{level: {n: runs[level][n] for n in names} for level, names in KEPT.items()}})
        self.commit()

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """What a program of this environment prints; a failure shows all of it."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(self.root)}
        done = subprocess.run(command, cwd=cwd or self.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, *arguments)

    def dvc(self, *arguments: str) -> str:
        return self.python("-m", "dvc", *arguments)

    def repro(self, level: str) -> set[str]:
        """The stages that `blsp-repro` executed."""
        said = self.python("-c", "from blsp_core.repro import app; app()", level, "-j", "2")
        return set(re.findall(r"^\d+/\d+ (.+): done", said, re.MULTILINE))

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty")

    @property
    def params(self) -> dict:
        return YAML(typ="safe", pure=True).load((self.root / "params.yaml").read_text(encoding="utf-8"))

    def change(self, *keys: str, to) -> None:
        """Set one value of params.yaml."""
        yaml = YAML()
        yaml.width = 120
        params = place = yaml.load((self.root / "params.yaml").read_text(encoding="utf-8"))
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        with open(self.root / "params.yaml", "w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def stale(self) -> set[str]:
        return set(json.loads(self.dvc("status", "--json")))

    def append(self, path: str, text: str) -> None:
        with open(self.root / path, "a", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("smoke") / "study")
    done = copy.repro("extra")
    assert {"llm", "whisper", "train@blsp-emo", "full/dvc.yaml:train@salmonn", "extra/dvc.yaml:report"} <= done
    done = copy.repro("full")
    assert done == {"full/dvc.yaml:ablations", "full/dvc.yaml:report"}
    assert copy.repro("core") == {"report"}
    copy.commit()
    return copy


def ran(said: str) -> set[str]:
    return set(re.findall(r"Running stage '(.+?)'", said))


@pytest.mark.slow
def test_every_level_has_its_tables_figures_and_verdicts(study):
    data, figures = study.root / "data/smoke", study.root / "figures/smoke"
    for level in ("core", "full", "extra"):
        assert json.loads((data / f"results/{level}/claims.json").read_text())
        assert len(json.loads((data / f"results/{level}.json").read_text())) <= 8
        assert (figures / level / "report.html").is_file() and list((figures / level).glob("*.png"))
    assert list((figures / "ablations").glob("*.png"))
    places = ["core/text+llm", "core/blsp-emo", "full/salmonn", "full/wavlm+llm", "extra/blsp-emo-2"]
    assert all((data / "evaluation" / place / "predictions.jsonl").is_file() for place in places)
    assert not list((study.root / ".scratch").rglob("*.safetensors")), "unfinished work stayed behind"


@pytest.mark.slow
def test_no_product_names_a_folder_of_the_machine(study):
    texts = [path for path in (study.root / "data/smoke").rglob("*") if path.suffix in (".json", ".jsonl", ".csv")]
    assert texts and [path for path in texts if str(study.root) in path.read_text(encoding="utf-8")] == []


@pytest.mark.slow
def test_what_dvc_prints_fits_a_screen(study):
    assert ran(study.dvc("repro")) == set()
    for command in (["metrics", "show"], ["status"]):
        assert max(map(len, study.dvc(*command).splitlines())) <= 120
    assert "train@blsp-emo" in study.dvc("dag", "--md")


@pytest.mark.slow
def test_an_experiment_runs_what_it_says(study):
    said = study.dvc("exp", "run", "-S", "stage2.steps=3")
    assert ran(said) == {"train@blsp-emo", "evaluate@blsp-emo", "report"}
    log = (study.root / "data/smoke/training/core/blsp-emo/log.csv").read_text().splitlines()
    assert log[-1].startswith("3,")
    study.run("git", "checkout", "-q", ".")
    assert ran(study.dvc("repro")) == set()  # from the run cache: nothing is trained again
    said = study.dvc("exp", "run", "--temp", "-S", "stage2.steps=4")
    assert "Ran experiment" in said


@pytest.mark.slow
def test_a_saved_notebook_and_other_code_make_nothing_stale(study):
    path = study.root / "notebooks/05_stage2.ipynb"
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": "seen"}]}
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]).replace('"blsp-emo"  #', '"multitask"  #')
    path.write_text(json.dumps(notebook), encoding="utf-8")
    study.append("blsp_core/convert/released.py", "# a comment\n")
    assert ran(study.dvc("repro")) == {"clean"}
    path.write_text(before, encoding="utf-8")
    study.append("blsp_core/report/plots.py", "# a comment\n")
    assert {name.split(":")[-1] for name in study.stale()} <= {"clean", "report", "ablations"}
    study.run("git", "checkout", "-q", ".")
    study.dvc("repro", "clean")


LOSS = """

def norm_loss(output, batch):
    return {"norm": output.speech_embeddings.float().pow(2).mean()}


LOSSES["norm"] = norm_loss
"""
ADAPTER = """

class MeanAdapter(nn.Module):
    def __init__(self, input_dim, encoder_dim, llm_dim, factor=4):
        super().__init__()
        self.factor, self.projection = factor, nn.Linear(input_dim, llm_dim)

    def forward(self, hidden, mask):
        windows = nn.functional.pad(hidden * mask[..., None], (0, 0, 0, -hidden.shape[1] % self.factor))
        real = nn.functional.pad(mask, (0, -mask.shape[1] % self.factor)).unflatten(1, (-1, self.factor)).any(2)
        return self.projection(windows.unflatten(1, (-1, self.factor)).mean(2)), real

    @staticmethod
    def output_lengths(frames, factor=4):
        return -(-frames // factor)

    def scale_to(self, size):
        pass


ADAPTERS["mean"] = MeanAdapter
"""
CORPUS = """
from blsp_core.data.corpora.base import Clip, Corpus


def read(folder):
    for path in sorted(folder.glob("*.wav")):
        yield Clip(path, path.stem, path.stem.split("-")[0], "kids are talking", path.stem.split("-")[1], "all")


CORPUS = Corpus(
    name="mine", source="here", licence="CC0", language="en", labels={"happy": "happy", "sad": "sad"},
    expected={"all": 2}, kept={"test": 2}, read=read, splits={"all": "test"},
)
"""
BASELINE = """

class AlwaysHappy(TextLLM):
    def answer(self, utterances, task):
        return ["The speaker sounds happy."] * len(utterances)
"""


@pytest.mark.slow
def test_an_idea_is_one_file_and_one_line(study):
    study.append("blsp_core/training/objectives.py", LOSS)
    study.append("blsp_core/model/adapters.py", ADAPTER)
    study.append("blsp_core/evaluation/systems.py", BASELINE)
    (study.root / "blsp_core/data/corpora/mine.py").write_text(CORPUS, encoding="utf-8")
    for name in ("happy-a", "sad-b"):
        (study.root / "data/corpora/mine").mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).normal(0, 0.1, 16_000)
        soundfile.write(study.root / f"data/corpora/mine/{name}.wav", noise, 16_000)
    study.change("stage2", "norm_weight", to=0)
    study.change("data", "corpora", "mine", to={})
    study.change("systems", "always-happy", to={"class": "AlwaysHappy", "reads": "manifests"})
    core = study.params["runs"]["core"]
    variants = {
        "no-lora": {"stage": "stage2", "from": "models/blsp", "seed": 1, "lora_rank": 0},
        "norm": {"stage": "stage2", "from": "models/blsp", "seed": 1, "norm_weight": 0.1},
        "mean": {"stage": "stage1", "from": "llm", "seed": 1, "adapter": {"type": "mean", "factor": 4}},
    }
    study.change("runs", "core", to={**core, **variants})
    for stage in (*(f"train@{name}" for name in variants), "evaluate@mean", "baseline@always-happy", "data"):
        assert ran(study.dvc("repro", "--single-item", stage)) == {stage}
    data = study.root / "data/smoke"
    assert "norm" in (data / "training/core/norm/log.csv").read_text().splitlines()[0].split(",")
    assert (data / "manifests/mine.test.jsonl").read_text().count("\n") == 2
    rows = read_jsonl(data / "evaluation/core/always-happy/predictions.jsonl")
    assert {row["predicted"] for row in rows if row["task"].startswith("ser.")} == {"happy"}
