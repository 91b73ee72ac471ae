"""What a variant of stage 2 starts from."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from blsp_core.data.audio import load_audio
from blsp_core.data.dataset import Examples, collate
from blsp_core.data.manifest import EMOTIONS, as_row
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoConfig, BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.checkpoint import load_encoder
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment
from blsp_core.training.setup import begin
from blsp_core.training.trainer import train


@pytest.fixture(scope="module")
def stage1(backbones, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage1")
    torch.manual_seed(5)
    processor = BlspEmoProcessor.from_parts(*backbones, adapter_kernel_sizes=(5, 5))
    model = BlspEmoForConditionalGeneration.from_parts(*backbones, processor, adapter_inner_dim=8, emotions=EMOTIONS)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def start(stage1, backbones, **changes):
    settings = {
        "from_stage1": True,
        "adapter": "convolution",
        "train_encoder": False,
        "emotion_weight": 1.0,
        "emotion_pooling": "mean",
        "head_words": [],
        "head_learns": True,
        "head_scale": 6.0,
    }
    settings |= {"lora_rank": 2, "lora_alpha": 4, "lora_dropout": 0.0, "lora_scope": "speech"}
    settings |= {"qformer_seconds": 0.333, "qformer_width": 64, "qformer_layers": 1}
    return begin(SimpleNamespace(**settings | changes), stage1, *backbones)


def adapter(model):
    return {name: value for name, value in model.state_dict().items() if name.startswith("adapter.")}


def test_stage_2_goes_on_from_stage_1_with_new_lora(stage1, backbones):
    model, processor = start(stage1, backbones, train_encoder=True)
    before = adapter(BlspEmoForConditionalGeneration.from_pretrained(stage1))
    assert all(torch.equal(value, before[name]) for name, value in adapter(model).items())
    learns = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learns == {"adapter", "emotion_head", "encoder", "llm"} and model.config.lora_rank == 2
    assert processor.adapter_kernel_sizes == (5, 5)


@pytest.mark.parametrize("train_encoder", [True, False])
def test_on_a_gpu_only_what_is_frozen_is_read_in_half_precision(stage1, backbones, monkeypatch, train_encoder):
    monkeypatch.setattr("blsp_core.training.setup.precision", lambda: torch.bfloat16)
    model, _ = start(stage1, backbones, train_encoder=train_encoder)
    found = {(name.split(".")[0], weight.requires_grad, weight.dtype) for name, weight in model.named_parameters()}
    encoder = {("encoder", train_encoder, torch.float32 if train_encoder else torch.bfloat16)}
    encoder |= {("encoder", False, torch.float32)} if train_encoder else set()  # its fixed positions
    learns = {("adapter", True, torch.float32), ("emotion_head", True, torch.float32), ("llm", True, torch.float32)}
    assert found == encoder | learns | {("llm", False, torch.bfloat16)}
    if train_encoder:  # it was read whole, not rounded first
        read = load_encoder(str(backbones[0])).state_dict()
        assert all(torch.equal(value, read[name]) for name, value in model.encoder.state_dict().items())


def test_both_stages_learn_as_well_over_backbones_of_half_precision(stage1, backbones, corpus, tmp_path, monkeypatch):
    rows = [{**as_row(u), "instruction": "", "output": u.text, "early_stop": False} for u in corpus[1]]
    schedule = {"steps": 12, "batch_size": 8, "learning_rate": 3e-3, "seed": 1, "log_steps": 1}
    for loss in SemanticAlignment(2.0), EmotionAlignment(1.0):
        losses = {}
        for dtype in torch.bfloat16, torch.float32:
            monkeypatch.setattr("blsp_core.training.setup.precision", lambda dtype=dtype: dtype)
            torch.manual_seed(1)
            model, processor = start(stage1, backbones)
            data, log = Examples(rows, processor, corpus[0], [("be kind", "say it: ")]), tmp_path / "log.csv"
            train(model, data, collate, loss, **schedule, checkpoints=tmp_path / "unfinished", log=log)
            losses[dtype] = pd.read_csv(log)["loss"]
        assert losses[torch.bfloat16].iloc[-1] < 0.95 * losses[torch.bfloat16].iloc[0]
        assert abs(losses[torch.bfloat16] / losses[torch.float32] - 1).max() < 0.02


def test_without_stage_1_the_same_adapter_starts_afresh(stage1, backbones):
    model, _ = start(stage1, backbones, from_stage1=False, emotion_weight=0)
    before = adapter(BlspEmoForConditionalGeneration.from_pretrained(stage1))
    found = adapter(model)
    assert found.keys() == before.keys() and all(found[name].shape == before[name].shape for name in found)
    assert not torch.equal(found["adapter.down.weight"], before["adapter.down.weight"])
    assert not model.emotion_head.weight.requires_grad
    assert tuple(model.config.emotions) == tuple(BlspEmoConfig.from_pretrained(stage1).emotions)


def test_salmonn_hears_in_windows_of_a_third_of_a_second(stage1, backbones, corpus):
    model, processor = start(stage1, backbones, from_stage1=False, adapter="qformer", lora_scope="everywhere")
    assert (processor.frame_rate, processor.qformer_window, model.config.qformer_window) == (25, 8, 8)
    assert (model.config.adapter_type, model.config.lora_scope) == ("qformer", "everywhere")
    sound = load_audio(corpus[1][0].audio, corpus[0])
    embeddings, mask = model.get_speech_embeddings(**processor.features([sound]))
    assert mask.sum() == processor.speech_length(len(sound))


def test_another_adapter_cannot_go_on_from_stage_1(stage1, backbones):
    with pytest.raises(StudyError, match="adapter: qformer cannot go on from .* which has a convolution"):
        start(stage1, backbones, adapter="qformer")


def test_a_head_can_begin_as_the_llms_own_words(stage1, backbones):
    words = ["door", "dog", "train", "soup", "song"]
    model, processor = start(stage1, backbones, head_words=words)
    assert model.emotion_head.weight.requires_grad
    table = model.get_input_embeddings().weight.detach()
    own = torch.stack([table[processor.tokenizer(f" {word}").input_ids].mean(0) for word in words])
    apart = own - own.mean(0)
    torch.testing.assert_close(model.emotion_head.weight.norm(dim=1), torch.full((5,), 6.0))
    likeness = torch.cosine_similarity(model.emotion_head.weight, apart)
    torch.testing.assert_close(likeness, torch.ones(5))


def test_a_head_of_too_few_words_is_refused(stage1, backbones):
    with pytest.raises(StudyError, match="head_words: 2 are given, wanted is one for each of neutral, happy"):
        start(stage1, backbones, head_words=["door", "dog"])


def test_attention_learns_before_a_head_that_does_not(stage1, backbones):
    words = ["door", "dog", "train", "soup", "song"]
    model, _ = start(stage1, backbones, head_words=words, head_learns=False, emotion_pooling="attention")
    assert model.emotion_pooling.score.weight.requires_grad and not model.emotion_head.weight.requires_grad
