"""The model of a run, from its settings."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.manifest import as_row
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.checkpoint import load_encoder
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment
from blsp_core.training.setup import begin_stage1, begin_stage2, schedule
from blsp_core.training.trainer import train

STAGE2 = {
    "from_stage1": True, "adapter": None, "train_encoder": False, "emotion_weight": 1.0, "lora_rank": 2,
    "lora_alpha": 4, "lora_dropout": 0.0, "lora_scope": "speech", "head": {"init": [], "norm": 6.0, "train": True},
}  # fmt: skip
QFORMER = {"type": "qformer", "window": 8, "width": 64, "layers": 1}
WORDS = ["door", "dog", "train", "soup", "song"]


def start(stage1, backbones, **changes):
    return begin_stage2(SimpleNamespace(**STAGE2 | changes), stage1, *backbones)


def trained(model):
    return {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}


def adapter(model):
    return {name: value for name, value in model.state_dict().items() if name.startswith("adapter.")}


@pytest.mark.parametrize("layers, parts", [("last", {"adapter"}), ("last+mix", {"adapter", "layer_mix"})])
def test_stage_1_trains_a_new_adapter(backbones, layers, parts):
    shape = {"type": "convolution", "kernel_sizes": [5], "inner_dim": 8}
    settings = SimpleNamespace(adapter=shape, encoder_layers=layers, real_frames=False)
    model, processor = begin_stage1(settings, *backbones)
    assert trained(model) == parts and model.config.adapter == processor.adapter == shape
    assert (model.config.real_frames, processor.real_frames) == (False, False)


def test_stage_2_continues_from_stage_1_with_new_lora(stage1, backbones):
    model, processor = start(stage1, backbones, train_encoder=True)
    before = BlspEmoForConditionalGeneration.from_pretrained(stage1)
    assert all(torch.equal(value, adapter(before)[name]) for name, value in adapter(model).items())
    assert trained(model) == {"adapter", "emotion_head", "encoder", "llm"} and model.config.lora_rank == 2
    assert processor.adapter == before.config.adapter


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"lora_rank": 0}, {"adapter", "emotion_head"}),
        ({"emotion_weight": 0}, {"adapter", "llm"}),
        ({"head": {"init": WORDS, "norm": 6.0, "train": False}}, {"adapter", "llm"}),
    ],
)
def test_settings_say_what_is_trained(stage1, backbones, changes, parts):
    assert trained(start(stage1, backbones, **changes)[0]) == parts


@pytest.mark.parametrize("train_encoder", [True, False])
def test_on_a_gpu_only_frozen_weights_are_in_half_precision(stage1, backbones, monkeypatch, train_encoder):
    monkeypatch.setattr("blsp_core.training.setup.precision", lambda: torch.bfloat16)
    model, _ = start(stage1, backbones, train_encoder=train_encoder)
    found = {(name.split(".")[0], weight.requires_grad, weight.dtype) for name, weight in model.named_parameters()}
    encoder = {("encoder", train_encoder, torch.float32 if train_encoder else torch.bfloat16)}
    encoder |= {("encoder", False, torch.float32)} if train_encoder else set()  # its fixed positions
    rest = {("adapter", True, torch.float32), ("emotion_head", True, torch.float32), ("llm", True, torch.float32)}
    assert found == encoder | rest | {("llm", False, torch.bfloat16)}
    if train_encoder:  # it was read in float32, not rounded first
        read = load_encoder(str(backbones[0])).state_dict()
        assert all(torch.equal(value, read[name]) for name, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("objective", [SemanticAlignment(2.0), EmotionAlignment({"emotion_weight": 1.0})])
def test_both_stages_train_as_well_with_backbones_in_half_precision(
    stage1, backbones, corpus, tmp_path, monkeypatch, objective
):
    rows = [{**as_row(u), "instruction": "say it: ", "output": u.text, "early_stop": False} for u in corpus[1]]
    options, losses = {"steps": 12, "batch_size": 8, "learning_rate": 3e-3, "seed": 1, "log_steps": 1}, {}
    for dtype in torch.bfloat16, torch.float32:
        monkeypatch.setattr("blsp_core.training.setup.precision", lambda dtype=dtype: dtype)
        torch.manual_seed(1)
        model, processor = start(stage1, backbones)
        places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv"}
        train(model, SpeechTextDataset(rows, processor, corpus[0]), collate, objective, **options, **places)
        losses[dtype] = pd.read_csv(tmp_path / "log.csv")["loss"]
    assert losses[torch.bfloat16].iloc[-1] < 0.95 * losses[torch.bfloat16].iloc[0]
    assert abs(losses[torch.bfloat16] / losses[torch.float32] - 1).max() < 0.03


def test_without_stage_1_the_same_adapter_is_new(stage1, backbones):
    model, _ = start(stage1, backbones, from_stage1=False)
    before = BlspEmoForConditionalGeneration.from_pretrained(stage1)
    found, old = adapter(model), adapter(before)
    assert found.keys() == old.keys() and all(found[name].shape == old[name].shape for name in found)
    assert not torch.equal(found["adapter.down.weight"], old["adapter.down.weight"])
    assert tuple(model.config.emotions) == tuple(before.config.emotions)


def test_another_adapter_is_new_and_cannot_continue_from_stage_1(stage1, backbones):
    model, processor = start(stage1, backbones, from_stage1=False, adapter=QFORMER, lora_scope="everywhere")
    assert model.config.adapter == processor.adapter == QFORMER and model.config.lora_scope == "everywhere"
    with pytest.raises(StudyError, match="adapter: .*qformer.* cannot continue from .* which has .*convolution"):
        start(stage1, backbones, adapter=QFORMER)


def test_the_head_can_start_as_the_llms_own_embeddings(stage1, backbones):
    model, processor = start(stage1, backbones, head={"init": WORDS, "norm": 6.0, "train": True})
    table = model.get_input_embeddings().weight.detach()
    own = torch.stack([table[processor.tokenizer(f" {word}").input_ids].mean(0) for word in WORDS])
    torch.testing.assert_close(model.emotion_head.weight.norm(dim=1), torch.full((5,), 6.0))
    cosine = torch.cosine_similarity(model.emotion_head.weight, own - own.mean(0))
    torch.testing.assert_close(cosine, torch.ones(5))
    with pytest.raises(StudyError, match="head.init: 2 words, wanted is one for each of neutral, happy"):
        start(stage1, backbones, head={"init": WORDS[:2], "norm": 6.0, "train": True})


def test_the_schedule_of_a_section_is_what_training_takes():
    settings = SimpleNamespace(steps=3, optimizer="muon", learning_rates={"lora": 1e-3}, temperature=2.0)
    assert schedule(settings) == {"steps": 3, "optimizer": "muon", "learning_rates": {"lora": 1e-3}}
