"""Several processes train as one does."""

import pandas as pd
import pytest
import torch

from blsp_core import processes
from blsp_core.data.dataset import SpeechTextDataset
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.training import launch
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment

SCHEDULE = {"steps": 3, "batch_size": 2, "gradient_accumulation": 2, "learning_rate": 0.01, "seed": 1, "log_steps": 1}


def fit(parts, rows, root, folder, objective, **options):
    model, processor = parts
    model.set_trainable(adapter=True, head=isinstance(objective, EmotionAlignment))
    places = {"checkpoints": folder / "unfinished", "log": folder / "log.csv"}
    folder.mkdir(exist_ok=True)
    options = {"shuffle": False, **SCHEDULE, **places, **options}
    words = ([], folder / "words.csv")
    data = SpeechTextDataset(rows, processor, root)
    cost = launch.fit(model, data, objective, held_out=rows[:3], words=words, validations=3, **options)
    weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    return weights, pd.read_csv(folder / "log.csv"), cost


@pytest.mark.parametrize("objective", [SemanticAlignment(2.0), EmotionAlignment({"emotion_weight": 0.5})])
def test_two_processes_have_the_losses_and_weights_of_one(
    stage1, parts, rows, corpus, tmp_path, monkeypatch, objective
):
    one = fit(parts, rows, corpus[0], tmp_path / "one", objective)
    monkeypatch.setenv("BLSP_PROCESSES", "2")
    again = BlspEmoForConditionalGeneration.from_pretrained(stage1), parts[1]
    two = fit(again, rows, corpus[0], tmp_path / "two", objective)
    torch.testing.assert_close(two[0], one[0], atol=2e-5, rtol=1e-4)
    times = ["samples_per_second", "share_waiting", "share_padding", "share_emotion_right"]
    logs = [log.drop(columns=times, errors="ignore") for _, log, _ in (one, two)]
    pd.testing.assert_frame_equal(*logs, rtol=1e-4, atol=1e-5)
    assert "validation_response_ce" in logs[0] and two[2]["steps"] == 3 and not (tmp_path / "two/unfinished").exists()


@pytest.mark.parametrize(("steps", "kept"), [(3, 0), (4, 8)])
def test_the_teacher_reads_before_training_where_there_are_two_epochs(parts, rows, corpus, tmp_path, steps, kept):
    objective = SemanticAlignment(2.0)
    fit(parts, rows, corpus[0], tmp_path / "one", objective, steps=steps, teacher=True)
    assert len(objective.kept) == kept


def test_an_error_of_a_process_is_that_of_the_run(parts, rows, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("BLSP_PROCESSES", "3")
    with pytest.raises(StudyError, match="2 x 2, which 3 processes cannot share"):
        fit(parts, rows, corpus[0], tmp_path, SemanticAlignment(2.0))


def test_processes_that_cannot_find_each_other_are_refused(parts, rows, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(StudyError, match="WORLD_SIZE is 2, .*MASTER_ADDR is not set"):
        fit(parts, rows, corpus[0], tmp_path, SemanticAlignment(2.0))
    assert not (tmp_path / "log.csv").exists()


def test_held_out_rows_may_be_fewer_than_processes(stage1, parts, rows, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("BLSP_PROCESSES", "2")
    model, processor = parts
    model.set_trainable(adapter=True)
    data, options = SpeechTextDataset(rows, processor, corpus[0]), {**SCHEDULE, "steps": 1, "validations": 1}
    places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv"}
    launch.fit(model, data, SemanticAlignment(2.0), held_out=rows[:1], **options, **places)
    assert pd.read_csv(tmp_path / "log.csv")["validation_response_kl"].gt(0).all()


@pytest.mark.parametrize("asked", ["two", "0", "-1"])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, asked):
    monkeypatch.setenv("BLSP_PROCESSES", asked)
    with pytest.raises(StudyError, match=f"BLSP_PROCESSES is '{asked}'; wanted is a number"):
        processes.devices()
