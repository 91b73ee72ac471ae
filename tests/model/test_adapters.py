"""Adapters and the mix of layers: as many embeddings as placeholders, no dependence on padding or neighbours."""

import pytest
import torch
from tiny import CONVOLUTION, QFORMER, ask, make_encoder, make_model, make_tokenizer, sound
from torch import nn
from transformers import WhisperFeatureExtractor

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, adapters
from blsp_core.model.adapters import embedding_count
from blsp_core.model.qformer import WindowQFormer

CHATS = [ask("hear this: ", sound(1.03), " and answer"), ask(sound(2.517, 1), " or ", sound(0.4, 2)), ask("no speech")]
EVERY = [
    {"adapter": QFORMER, "lora_scope": "everywhere"},
    {"encoder_layers": "mix"},
    {"encoder_layers": "last+mix"},
    {"adapter": QFORMER, "encoder_layers": "last+mix"},
]


def make(extractor, adapter=CONVOLUTION, **settings):
    """A model of these settings, its mix of layers not the plain mean, and its processor."""
    processor = BlspEmoProcessor(extractor, make_tokenizer(), adapter)
    model = make_model(processor, **settings)
    if model.layer_mix is not None:
        model.layer_mix.scores.data = torch.tensor([0.3, -0.5, 0.1])
    return model, processor


@pytest.mark.parametrize("hop, window", [(320, 640), (160, 400)])
@pytest.mark.parametrize("real_frames", [True, False])
@pytest.mark.parametrize("adapter", [CONVOLUTION, {**CONVOLUTION, "kernel_sizes": [3, 4]}, QFORMER])
def test_placeholders_are_as_many_as_embeddings(hop, window, adapter, real_frames):
    extractor = WhisperFeatureExtractor(hop_length=hop, n_fft=window, chunk_length=4)
    processor = BlspEmoProcessor(extractor, make_tokenizer(), adapter, real_frames)
    model = make_model(processor, make_encoder(seconds=4 if hop == 320 else 8))
    batch = processor([ask(sound(samples / 16000)) for samples in (1600, 5333, 16000, 16001, 16159, 16160, 64000)])
    mask = model(**batch).speech_mask
    assert mask.sum(1).tolist() == (batch["input_ids"] == processor.speech_token_id).sum(1).tolist()


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("settings", EVERY)
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(extractor, settings, padding_side):
    model, processor = make(extractor, **settings)
    batch = processor(CHATS, padding_side=padding_side)
    together = model(**batch)
    for i, chat in enumerate(CHATS):
        alone = model(**processor(chat)).logits[0]
        torch.testing.assert_close(together.logits[i, batch["attention_mask"][i].bool()], alone, atol=5e-5, rtol=0)


@pytest.mark.parametrize("settings", EVERY)
def test_it_is_trained_with_the_adapter_saved_and_loaded(extractor, tmp_path, settings):
    model, processor = make(extractor, **settings)
    model.set_trainable(adapter=True)
    assert model.layer_mix is None or model.layer_mix.scores.requires_grad
    model.set_trainable(adapter=False, head=True)
    assert model.layer_mix is None or not model.layer_mix.scores.requires_grad
    model.export(tmp_path / "x", processor)
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    reader = BlspEmoProcessor.from_pretrained(tmp_path / "x")
    assert reader.model_settings == processor.model_settings and loaded.config.adapter == model.config.adapter
    with torch.no_grad():
        assert torch.equal(loaded(**reader(CHATS)).logits, model(**processor(CHATS)).logits)


def test_generation_with_a_qformer_is_the_same_with_and_without_a_cache_alone_and_in_beams(extractor):
    model, processor = make(extractor, QFORMER)
    batch, settings = processor(CHATS), {"max_new_tokens": 6, "do_sample": False}
    assert torch.equal(model.generate(**batch, **settings), model.generate(**batch, **settings, use_cache=False))
    together = model.generate(**batch, **settings, num_beams=2)[1, batch["input_ids"].shape[1] :]
    one = processor(CHATS[1])
    alone = model.generate(**one, **settings, num_beams=2)[0, one["input_ids"].shape[1] :]
    assert together[: len(alone)].tolist() == alone.tolist()


def test_speech_embeddings_of_a_qformer_start_at_the_size_of_word_embeddings(extractor):
    model, processor = make(extractor, QFORMER)
    speech, mask = model.get_speech_embeddings(**processor.features([sound(3.0)]))
    assert 0.5 < speech[mask].std() / model.get_input_embeddings().weight.std() < 2


@pytest.fixture
def qformer():
    torch.manual_seed(0)
    return WindowQFormer(12, 12, 20, window=5, width=64, layers=2).eval()


@torch.no_grad()
def test_every_window_has_one_embedding_that_depends_on_its_frames_only(qformer):
    mask = torch.arange(11)[None] < torch.tensor([11, 10, 4, 1])[:, None]
    embeddings, real = qformer(torch.randn(4, 11, 12), mask)
    assert embeddings.shape == (4, 3, 20) and real.sum(1).tolist() == [3, 2, 1, 1]
    assert embedding_count(mask.sum(1), {"type": "qformer", "window": 5}).tolist() == [3, 2, 1, 1]
    hidden, mask = torch.randn(1, 15, 12), torch.ones(1, 15)
    before, _ = qformer(hidden, mask)
    hidden[:, 5:10] = torch.randn(5, 12)
    assert ((qformer(hidden, mask)[0] - before).abs().amax(2)[0] > 1e-3).tolist() == [False, True, False]


def test_padding_of_a_qformer_gives_finite_gradients(qformer):
    mask = torch.arange(12)[None] < torch.tensor([12, 2])[:, None]
    qformer(torch.randn(2, 12, 12), mask)[0].square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in qformer.parameters() if parameter.grad is not None)
    assert qformer.query.grad.abs().sum() > 0


@torch.no_grad()
def test_a_mix_of_layers_ends_in_the_encoders_output_and_can_be_computed_from_cached_states(processor, extractor):
    plain, (model, _) = make_model(processor), make(extractor, encoder_layers="mix")
    features = processor.features([sound(1.03), sound(2.517, 1)])
    (states, mask), (last, _) = model.encode(**features), plain.encode(**features)
    assert states.shape == (*last.shape[:2], model.encoder.config.encoder_layers + 1, last.shape[2])
    assert torch.equal(states[:, :, -1], last)
    model.layer_mix.scores.data = torch.tensor([-1e9, -1e9, 0.0])
    embeddings, _ = model.get_speech_embeddings(**features)
    cached, _ = model.get_speech_embeddings(encoder_hidden_states=states, encoder_attention_mask=mask)
    torch.testing.assert_close(embeddings, plain.get_speech_embeddings(**features)[0], atol=1e-6, rtol=0)
    assert torch.equal(embeddings, cached)


@torch.no_grad()
def test_a_mix_beside_the_last_layer_starts_as_the_mean(processor):
    model, width = make_model(processor, encoder_layers="last+mix"), 32
    states, _ = model.encode(**processor.features([sound(1.03)]))
    read = model.layer_mix(states)
    assert torch.equal(read[..., :width], states[:, :, -1])
    torch.testing.assert_close(read[..., width:], states.mean(2))


class Mean(nn.Module):
    """An adapter as a user may write one: the mean over pairs of frames."""

    def __init__(self, input_dim, encoder_dim, llm_dim, stride=2):
        super().__init__()
        self.stride, self.linear = stride, nn.Linear(input_dim, llm_dim)

    def forward(self, hidden, mask):
        count = hidden.shape[1] // self.stride * self.stride
        hidden = hidden[:, :count].unflatten(1, (-1, self.stride)).mean(2)
        lengths = self.output_lengths(mask.sum(1), self.stride)
        return self.linear(hidden), torch.arange(hidden.shape[1]) < lengths[:, None]

    @staticmethod
    def output_lengths(frames, stride=2, **_):
        return frames // stride

    def scale_to(self, size):
        pass


def test_a_new_adapter_is_one_class_and_one_entry(extractor, tmp_path, monkeypatch):
    monkeypatch.setitem(adapters.ADAPTERS, "mean", Mean)
    model, processor = make(extractor, {"type": "mean", "stride": 3})
    model.export(tmp_path / "x", processor)
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    batch = BlspEmoProcessor.from_pretrained(tmp_path / "x")(CHATS)
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert model.generate(**batch, max_new_tokens=3, num_beams=2).shape[0] == 3


def test_unknown_adapters_and_settings_are_refused(extractor, processor):
    with pytest.raises(StudyError, match="adapter: width is 200, wanted is a multiple of 64"):
        make(extractor, {**QFORMER, "width": 200})
    with pytest.raises(StudyError, match="adapter: .*unexpected keyword argument 'windows'"):
        make(extractor, {"type": "qformer", "windows": 8})
    with pytest.raises(StudyError, match="adapter: type is 'pooling', wanted is convolution or qformer"):
        make(extractor, {"type": "pooling"})
    with pytest.raises(StudyError, match="type is 'pooling'"):
        BlspEmoProcessor(extractor, make_tokenizer(), {"type": "pooling"}).speech_length(16000)
    with pytest.raises(StudyError, match="encoder_layers: 'median' is unknown; wanted is last or mix or last.mix"):
        make_model(processor, encoder_layers="median")
    with pytest.raises(StudyError, match="adapter_inner_dim: BlspEmoConfig has no such setting"):
        make_model(processor, adapter_inner_dim=8)
