"""The whole study at scale smoke, as users run it, in a copy of the tree; what a change makes stale; extensions."""

import json
import re

import numpy as np
import pytest
import soundfile
from study_copy import Copy

from blsp_core.data.manifest import read_jsonl


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("smoke") / "study")
    done = copy.repro("extra")
    assert {"llm", "whisper", "train@blsp-emo", "full/dvc.yaml:train@salmonn", "extra/dvc.yaml:report"} <= done
    done = copy.repro("full")
    assert done == {"full/dvc.yaml:ablations", "full/dvc.yaml:report"}
    assert copy.repro("core") == {"explore", "report"}
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
    shown = {path.stem: path.read_text() for path in (figures / "core/notebooks").glob("*.ipynb")}
    assert {"02_data", "04_stage1-blsp", "05_stage2-blsp-emo", "06_evaluation-blsp-emo", "explore"} < set(shown)
    assert len(shown) == 11
    assert not any("<audio" in text or str(study.root) in text for text in shown.values())
    assert "image/png" in shown["05_stage2-blsp-emo"] and "(sound: " in shown["01_whisper"]
    assert list((figures / "ablations").glob("*.png"))
    places = ["core/text+llm", "core/blsp-emo", "full/salmonn", "full/wavlm+llm", "extra/blsp-emo-2"]
    assert all((data / "evaluation" / place / "predictions.jsonl").is_file() for place in places)
    assert not list((study.root / ".scratch").rglob("*.safetensors")), "unfinished work stayed behind"


@pytest.mark.slow
def test_no_product_names_a_folder_of_the_machine(study):
    texts = [path for path in (study.root / "data/smoke").rglob("*") if path.suffix in (".json", ".jsonl", ".csv")]
    pages = [path for path in (study.root / "figures/smoke").rglob("*") if path.suffix in (".html", ".ipynb", ".md")]
    texts += pages
    assert pages and [path for path in texts if str(study.root) in path.read_text(encoding="utf-8")] == []


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
    assert {name.split(":")[-1] for name in study.stale()} <= {"clean", "explore", "report", "ablations"}
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
