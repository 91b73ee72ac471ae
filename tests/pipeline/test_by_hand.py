"""A notebook opened in JupyterLab: it reads the pipeline's data and writes where it harms nothing."""

import os
from pathlib import Path

import pytest
from stubs import make_study

from blsp_core.errors import StudyError
from blsp_core.report import style as figures
from blsp_core.study import notebook
from blsp_core.training import trainer as training


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    root = make_study(tmp_path / "study")
    monkeypatch.chdir(root / "notebooks")  # where JupyterLab starts a kernel
    return root


def test_scale_settings_and_seed_come_from_params_yaml(study):
    begun = notebook.start("stage1", None, None, None)
    assert (begun.scale, begun.seed, begun.root) == ("smoke", 7, study)
    assert vars(begun.settings) == {"steps": 2, "rate": 1e-4, "bold": False}
    assert vars(notebook.start("stage1", "mini", {"rate": 0.5}).settings) == {"steps": 3, "rate": 0.5, "bold": False}
    assert notebook.start("stage2", system="frozen").settings.frozen is True


def test_a_setting_that_does_not_exist_cannot_be_set(study):
    with pytest.raises(StudyError, match="the notebook's `settings`: 'stepz' is no setting of the section stage1"):
        notebook.start("stage1", settings={"stepz": 1})


def test_what_is_written_lies_apart_and_the_pipelines_data_stays(study):
    (study / "data/smoke/results").mkdir(parents=True)
    (study / "data/smoke/results/stage1.json").write_text("{}")
    begun = notebook.start("stage1")
    begun.record("stage1.json", {"loss": 1})
    begun.figures("a.md").write_text("x")
    assert (study / "data/smoke/results/stage1.json").read_text() == "{}"
    assert begun.read("results/stage1.json") == study / "data/smoke/results/stage1.json"
    assert (study / ".scratch/by-hand/smoke/results/stage1.json").is_file()
    assert (study / ".scratch/by-hand/smoke/figures/stage1/a.md").is_file() and not (study / "figures").exists()


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("foundation/llm", "foundation"),
        ("manifests/acted.test.jsonl", "data"),
        ("corpora", "data"),
        ("continuations/neutral.jsonl", "continuations"),
        ("models/seed1/blsp", "stage1@blsp-1"),
        ("models/seed2/blsp-emo", "stage2@blsp-emo-2"),
        ("models/seed8/blsp/config.json", "stage1_again@blsp-8"),
        ("models/seed8/blsp-emo", "stage2_again@blsp-emo-8"),
        ("models/seed1/hubert+llm", "classifier@hubert+llm-1"),
        ("transcripts/acted.test.jsonl", "transcripts"),
        ("results/training/blsp-emo/seed1.json", "evaluate"),
        ("predictions/text+llm/seed1.jsonl", "evaluate"),
        ("results/summary.json", "paper"),
    ],
)
def test_what_is_missing_names_the_stage_that_makes_it(study, path, stage):
    with pytest.raises(StudyError) as error:
        notebook.start("stage1").read(path)
    assert str(error.value) == f"data/smoke/{path} is not there yet; run `dvc repro {stage}` at scale smoke"


def test_unfinished_work_is_found_again_on_the_same_terms_only(study):
    manifest = study / "data/smoke/manifests/a.jsonl"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("1")

    def folder(**terms):
        begun = notebook.start("stage1", **terms)
        begun.read("manifests")
        return begun.checkpoints

    first = folder()
    assert first == folder() and first.is_dir()
    assert first not in (folder(seed=2), folder(train_seed=2), folder(settings={"steps": 9}))
    os.utime(manifest, ns=(1, 1))
    assert folder() != first
    notebook.start("stage1").record("stage1.json", {})
    assert not first.exists()


def test_work_for_all_training_seeds_lies_where_each_of_them_finds_it(study):
    def place(**terms):
        return notebook.start("stage1", **terms).shared

    assert place(train_seed=1) == place(train_seed=2) and not place().exists()
    assert place() not in (place(seed=2), place(settings={"steps": 9}), place(system="blsp"))


def test_a_new_colour_does_not_throw_unfinished_work_away():
    terms = {path.name for path in notebook._loaded_code()}
    assert Path(training.__file__).name in terms and Path(figures.__file__).name not in terms
