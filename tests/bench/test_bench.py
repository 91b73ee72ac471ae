"""`blsp-bench` at tiny sizes: that the reference computes the same, and that everything is measured."""

import json

import pytest
import torch
from typer.testing import CliRunner

from blsp_core import cli
from blsp_core.bench import cases, measure


@pytest.mark.parametrize("stage", ["stage 1", "stage 2"])
def test_loss_and_gradient_are_those_of_the_plain_reference(stage):
    _, agreement = cases.training_steps(stage, cases.TINY)
    assert agreement["loss"] < 1e-5 and agreement["gradient"] < 1e-5


def test_a_wrong_loss_is_seen(monkeypatch):
    monkeypatch.setattr(cases, "SemanticAlignment", lambda *_, **__: cases.EmotionAlignment(cases.SETTINGS))
    monkeypatch.setattr(cases.EmotionAlignment, "keep", lambda *_: None, raising=False)
    assert cases.training_steps("stage 1", cases.TINY)[1]["loss"] > 0.1


def test_runs_are_interleaved_and_the_first_does_not_count():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    costs = measure.interleaved(functions, 2)
    assert calls == [*"ababab"] and [len(cost.seconds) for cost in costs.values()] == [2, 2]
    large = measure.interleaved({"large": lambda: torch.ones(50_000_000).sum()}, 1)["large"]
    assert large.peak is None or 0.19 < large.peak < 0.3


def test_the_command_measures_every_case_and_writes_results_and_a_figure(tmp_path):
    place = tmp_path / "new/results.json"
    result = CliRunner().invoke(cli.bench_app, ["--tiny", "--runs", "1", "--output", str(place)])
    assert result.exit_code == 0, result.output
    found = json.loads(place.read_text())
    assert {row["case"] for row in found["cases"]} == {"stage 1", "stage 2", "continuations", "log-mel", "first token"}
    assert {row["variant"] for row in found["growth"]} == {cases.PLAIN, cases.REAL}
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in found["cases"] + found["growth"])
    assert found["agreement"]["continuations"] == {"batches of 4": 1.0, "batches of 64": 1.0}
    assert found["machine"]["cpu"] and (tmp_path / "new/results.png").stat().st_size > 10_000
