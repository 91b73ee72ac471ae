"""The model of a run, from its settings."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.manifest import as_row
from blsp_core.errors import StudyError
from blsp_core.inference.llm import load
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.checkpoint import load_encoder
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment
from blsp_core.training.setup import begin_stage1, begin_stage2
from blsp_core.training.trainer import train

WORDS = ["door", "dog", "train", "soup", "song"]
HEAD = {"init": WORDS, "norm": 6.0, "train": True}
STAGE2 = {
    "from_stage1": True, "adapter": None, "train_encoder": False, "emotion_weight": 1.0, "lora_rank": 2,
    "lora_alpha": 4, "lora_dropout": 0.0, "lora_scope": "speech", "head": HEAD | {"init": []},
}  # fmt: skip
STAGE1 = {"type": "convolution", "kernel_sizes": [5], "inner_dim": 8}
QFORMER = {"type": "qformer", "window": 8, "width": 64, "layers": 1}


@pytest.fixture
def start(stage1, backbones):
    """The model of stage 2 and its processor, with changes to the settings."""
    return lambda **changes: begin_stage2(SimpleNamespace(**STAGE2 | changes), stage1, *backbones)


def trained(model):
    return {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("layers, parts", [("last", {"adapter"}), ("last+mix", {"adapter", "layer_mix"})])
def test_stage_1_trains_a_new_adapter(backbones, layers, parts):
    settings = SimpleNamespace(adapter=STAGE1, encoder_layers=layers, real_frames=False)
    model, processor = begin_stage1(settings, *backbones)
    assert trained(model) == parts and model.config.adapter == processor.adapter == STAGE1
    assert (model.config.real_frames, processor.real_frames) == (False, False)


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"train_encoder": True}, {"adapter", "emotion_head", "llm", "encoder"}),
        ({"lora_rank": 0}, {"adapter", "emotion_head"}),
        ({"emotion_weight": 0}, {"adapter", "llm"}),
        ({"head": HEAD | {"train": False}}, {"adapter", "llm"}),
    ],
)
def test_settings_of_stage_2_say_what_is_trained(start, changes, parts):
    assert trained(start(**changes)[0]) == parts


@pytest.mark.parametrize("from_stage1", [True, False])
def test_stage_2_continues_from_stage_1_or_has_a_new_adapter_like_it(start, stage1, from_stage1):
    (model, processor), before = start(from_stage1=from_stage1), BlspEmoForConditionalGeneration.from_pretrained(stage1)
    found, old = (torch.cat([p.flatten() for p in one.adapter.parameters()]) for one in (model, before))
    assert found.shape == old.shape and torch.equal(found, old) == from_stage1
    assert model.config.adapter == processor.adapter == before.config.adapter and model.config.lora_rank == 2
    assert tuple(model.config.emotions) == tuple(before.config.emotions)


def test_another_adapter_is_new_and_cannot_continue_from_stage_1(start):
    model, processor = start(from_stage1=False, adapter=QFORMER, lora_scope="everywhere")
    assert model.config.adapter == processor.adapter == QFORMER and model.config.lora_scope == "everywhere"
    with pytest.raises(StudyError, match="adapter: .*qformer.* cannot continue from .* which has .*convolution"):
        start(adapter=QFORMER)


@pytest.mark.parametrize("train_encoder", [True, False])
def test_on_a_gpu_only_frozen_weights_are_in_half_precision(start, backbones, monkeypatch, train_encoder):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("blsp_core.inference.batches.fast_precision", lambda kind: torch.bfloat16)
    model, _ = start(train_encoder=train_encoder)
    positions = model.encoder.embed_positions.weight  # fixed, but of the encoder's type
    for weight in model.parameters():
        if weight is not positions:
            assert weight.dtype == (torch.float32 if weight.requires_grad else torch.bfloat16)
    if train_encoder:  # it was read in float32, not rounded first
        read = load_encoder(str(backbones[0])).state_dict()
        assert all(torch.equal(value, read[name]) for name, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("has, saved", [(torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32),
    (torch.float32, torch.bfloat16)])  # fmt: skip
def test_on_a_cpu_an_llm_stays_in_bfloat16_where_it_is_saved_so_and_the_cpu_computes_in_it(
    has, saved, backbones, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("blsp_core.inference.batches.fast_precision", lambda kind: has)
    llm, tokenizer = load(backbones[1])
    for part in (llm.to(saved), tokenizer):
        part.save_pretrained(tmp_path)
    settings = SimpleNamespace(adapter=STAGE1, encoder_layers="last", real_frames=True)
    model, _ = begin_stage1(settings, backbones[0], tmp_path)
    both = torch.bfloat16 if has == saved == torch.bfloat16 else torch.float32
    assert (model.llm.dtype, model.encoder.dtype, load(tmp_path)[0].dtype) == (both, torch.float32, both)


@pytest.mark.parametrize("objective", [SemanticAlignment(2.0), EmotionAlignment({"emotion_weight": 1.0})])
def test_both_stages_train_as_well_with_backbones_in_half_precision(start, corpus, tmp_path, monkeypatch, objective):
    rows = [{**as_row(u), "instruction": "say it: ", "output": u.text, "early_stop": False} for u in corpus[1]]
    options, losses = {"steps": 12, "batch_size": 8, "learning_rate": 3e-3, "seed": 1, "log_steps": 1}, {}
    places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv"}
    for dtype in torch.bfloat16, torch.float32:
        monkeypatch.setattr("blsp_core.training.setup.backbone_precision", lambda *_, dtype=dtype: {"dtype": dtype})
        torch.manual_seed(1)
        model, processor = start()
        train(model, SpeechTextDataset(rows, processor, corpus[0]), collate, objective, **options, **places)
        losses[dtype] = pd.read_csv(tmp_path / "log.csv")["loss"]
    assert losses[torch.bfloat16].iloc[-1] < 0.95 * losses[torch.bfloat16].iloc[0]
    assert abs(losses[torch.bfloat16] / losses[torch.float32] - 1).max() < 0.03


def test_the_head_can_start_as_the_llms_own_embeddings(start):
    model, processor = start(head=HEAD)
    table = model.get_input_embeddings().weight.detach()
    own = torch.stack([table[processor.tokenizer(f" {word}").input_ids].mean(0) for word in WORDS])
    expected = 6 * torch.nn.functional.normalize(own - own.mean(0))
    torch.testing.assert_close(model.emotion_head.weight.detach(), expected)
    with pytest.raises(StudyError, match="head.init: 2 words, wanted is one for each of neutral, happy"):
        start(head=HEAD | {"init": WORDS[:2]})
