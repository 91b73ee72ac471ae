"""A scale is rehearsed with random weights and noise."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig
from typer.testing import CliRunner

from blsp_core.apps import rehearse
from blsp_core.errors import StudyError

SIZES = {
    f"{part}_{name}": size for part in ("asr", "llm") for name, size in (("width", 32), ("layers", 2), ("ffn", 64))
}
SIZES |= {"asr_heads": 2, "llm_heads": 2}


def test_both_stages_run_with_their_own_batches():
    first, second = rehearse.both_stages("smoke", updates=3, seconds=1.5)
    assert (first["stage"], second["stage"]) == ("stage1", "stage2")
    for cost in first, second:
        assert cost["utterances an update"] == 4 and cost["updates"] == 2
        assert cost["seconds an update"] > 0 and cost["most memory, GB"] > 0


def test_the_command_prints_what_each_stage_costs():
    result = CliRunner().invoke(rehearse.app, ["--scale", "smoke", "--updates", "2", "--seconds", "1"])
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if line.startswith("stage")] == [
        "stage: stage1",
        "stage: stage2",
    ]


def test_a_gpu_that_is_too_small_is_said_in_a_sentence_below_what_was_measured(monkeypatch):
    def costs(*_):
        yield {"stage": "stage1"}
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(rehearse, "both_stages", costs)
    result = CliRunner().invoke(rehearse.app, [])
    assert result.exit_code == 1 and "stage: stage1" in result.output and "clips of 15 s; halve" in result.output


def test_a_scale_that_is_none_is_refused_in_a_sentence():
    result = CliRunner().invoke(rehearse.app, ["--scale", "huge"])
    assert result.exit_code == 1 and "no scale 'huge'" in result.output


def test_a_backbone_may_be_a_folder(tmp_path, backbones):
    foundation = SimpleNamespace(encoder=str(backbones[0]), llm=str(backbones[1]), **SIZES)
    encoder, llm = rehearse.backbones(foundation, tmp_path, torch.bfloat16)
    assert encoder.config.d_model == AutoConfig.from_pretrained(backbones[0]).d_model
    assert encoder.dtype == llm.dtype == torch.bfloat16 and torch.get_default_dtype() == torch.float32


def test_a_backbone_of_unknown_size_is_refused(tmp_path):
    foundation = SimpleNamespace(encoder=None, llm="somebody/llm", **SIZES)
    with pytest.raises(StudyError, match="somebody/llm: its size is not known here, only that of Qwen/Qwen2.5-1.5B"):
        rehearse.backbones(foundation, tmp_path, torch.float32)


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_the_backbones_of_every_scale_are_known(scale):
    from blsp_core.study.notebook import find_root
    from blsp_core.study.settings import read_params, resolve

    found = resolve(read_params(find_root()), "foundation", scale)
    assert found["encoder"] in rehearse.ENCODERS and (found["llm"] is None or found["llm"] in rehearse.LLMS)
