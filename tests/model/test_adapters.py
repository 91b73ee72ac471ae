"""Adapters and the mix of layers: as many embeddings as placeholders, and nothing but one class for a new adapter."""

import pytest
import torch
from fixtures import make_tokenizer
from tiny import CHATS, CONVOLUTION, QFORMER, VARIANTS, ask, make_both, make_encoder, make_model, sound
from torch import nn
from transformers import WhisperFeatureExtractor

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, adapters
from blsp_core.model.adapters import embedding_count
from blsp_core.model.qformer import WindowQFormer


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


def assert_saved_and_loaded(model, processor, folder):
    model.export(folder, processor)
    loaded, reader = BlspEmoForConditionalGeneration.from_pretrained(folder), BlspEmoProcessor.from_pretrained(folder)
    assert reader.model_settings == processor.model_settings and loaded.config.adapter == model.config.adapter
    with torch.no_grad():
        assert torch.equal(loaded(**reader(CHATS)).logits, model(**processor(CHATS)).logits)


@pytest.mark.parametrize("settings", VARIANTS)
def test_the_mix_is_trained_with_the_adapter_and_both_are_saved_and_loaded(tmp_path, settings):
    model, processor = make_both(**settings)
    for trained in (True, False):
        model.set_trainable(adapter=trained, head=True)
        assert model.layer_mix is None or model.layer_mix.scores.requires_grad == trained
    assert_saved_and_loaded(model, processor, tmp_path / "x")


@pytest.mark.parametrize(
    "adapter, size, tolerance",
    [(CONVOLUTION, None, 0.02), (QFORMER, None, 0.5), ({**CONVOLUTION, "initial_scale": 1.0}, 1.0, 0.02)],
)
def test_speech_embeddings_start_at_the_size_of_word_embeddings_or_at_that_of_the_settings(adapter, size, tolerance):
    model, processor = make_both(adapter)
    speech, mask = model.get_speech_embeddings(**processor.features([sound(3.0)]))
    ratio = speech[mask].std() / (size or model.get_input_embeddings().weight.std())
    assert ratio.item() == pytest.approx(1, abs=tolerance)


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
def test_a_mix_of_layers_reads_all_hidden_states_also_cached_ones(processor):
    plain, (model, _) = make_model(processor), make_both(encoder_layers="mix")
    features = processor.features([sound(1.03), sound(2.517, 1)])
    (states, mask), (last, _) = model.encode(**features), plain.encode(**features)
    assert states.shape == (*last.shape[:2], model.encoder.config.encoder_layers + 1, last.shape[2])
    assert torch.equal(states[:, :, -1], last)
    model.layer_mix.scores.data = torch.tensor([-1e9, -1e9, 0.0])
    embeddings, _ = model.get_speech_embeddings(**features)
    cached, _ = model.get_speech_embeddings(encoder_hidden_states=states, encoder_attention_mask=mask)
    torch.testing.assert_close(embeddings, plain.get_speech_embeddings(**features)[0], atol=1e-6, rtol=0)
    assert torch.equal(embeddings, cached)
    beside = make_model(processor, encoder_layers="last+mix").layer_mix(states)  # it starts as the mean
    assert torch.equal(beside[..., :32], last)
    torch.testing.assert_close(beside[..., 32:], states.mean(2))


class EveryNth(nn.Linear):
    """An adapter as a user may write one: an embedding of every nth frame."""

    def __init__(self, input_dim, encoder_dim, llm_dim, n):
        super().__init__(input_dim, llm_dim)
        self.n = n

    def forward(self, hidden, mask):
        return super().forward(hidden[:, :: self.n]), mask[:, :: self.n]

    @staticmethod
    def output_lengths(frames, n, **_):
        return -(-frames // n)

    def scale_to(self, size):
        pass


def test_a_new_adapter_is_one_class_and_one_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(adapters.ADAPTERS, "every nth", EveryNth)
    model, processor = make_both({"type": "every nth", "n": 3})
    assert_saved_and_loaded(model, processor, tmp_path / "x")
    assert model.generate(**processor(CHATS), max_new_tokens=3, num_beams=2).shape[0] == 3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"adapter": {**QFORMER, "width": 200}}, "adapter: width is 200, wanted is a multiple of 64"),
        ({"adapter": {"type": "qformer", "windows": 8}}, "adapter: .*unexpected keyword argument 'windows'"),
        ({"adapter": {"type": "pooling"}}, "adapter: type is 'pooling', wanted is convolution or qformer"),
        ({"encoder_layers": "median"}, "encoder_layers: 'median' is unknown; wanted is last or mix or last.mix"),
        ({"adapter_inner_dim": 8}, "adapter_inner_dim: BlspEmoConfig has no such setting"),
        ({"lora_targets": ["c_attn"]}, "c_attn names no linear layer of Qwen2ForCausalLM; it has .*q_proj"),
        ({"lora_scope": "nowhere"}, "lora_scope: 'nowhere' is unknown; wanted is speech or everywhere"),
    ],
)
def test_unknown_adapters_and_settings_are_refused(settings, message):
    with pytest.raises(StudyError, match=message):
        make_both(**settings)
