"""SALMONN's adapter: one query a window, and windows that do not meet."""

import pytest
import torch
from tiny import ask, make_model, sound

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.adapters import embedding_count
from blsp_core.model.qformer import WindowQFormer

CHATS = [ask("hear this: ", sound(1.03), " and answer"), ask(sound(2.517, 1), " or ", sound(0.4, 2)), ask("no speech")]
SIZES = {"qformer_width": 64, "qformer_layers": 2}


@pytest.fixture
def processor(processor):
    processor.adapter_type, processor.qformer_window = "qformer", 8
    return processor


@pytest.fixture
def model(processor):
    return make_model(processor, lora_scope="everywhere", **SIZES)


@pytest.fixture
def adapter():
    torch.manual_seed(0)
    return WindowQFormer(encoder_dim=12, llm_dim=20, window=5, width=64, layers=2).eval()


def test_every_window_has_one_embedding_and_the_last_may_be_short(adapter):
    mask = torch.arange(11)[None] < torch.tensor([11, 10, 4, 1])[:, None]
    embeddings, real = adapter(torch.randn(4, 11, 12), mask)
    assert embeddings.shape == (4, 3, 20) and real.sum(1).tolist() == [3, 2, 1, 1]
    assert real.sum(1).tolist() == adapter.output_lengths(mask.sum(1)).tolist()
    assert [embedding_count(n, "qformer", (5, 5), 5) for n in (11, 10, 4, 1)] == [3, 2, 1, 1]


@torch.no_grad()
def test_a_window_hears_its_own_frames_only(adapter):
    hidden, mask = torch.randn(1, 15, 12), torch.ones(1, 15)
    before, _ = adapter(hidden, mask)
    hidden[:, 5:10] = torch.randn(5, 12)
    changed = (adapter(hidden, mask)[0] - before).abs().amax(2)[0] > 1e-3
    assert changed.tolist() == [False, True, False]


@torch.no_grad()
def test_what_lies_in_the_padding_is_not_heard(adapter):
    hidden, mask = torch.randn(2, 13, 12), torch.arange(13)[None] < torch.tensor([13, 7])[:, None]
    clean, real = adapter(hidden, mask)
    hidden[1, 7:] = 50.0
    assert torch.equal(adapter(hidden, mask)[0], clean)
    alone, _ = adapter(hidden[1:, :7], mask[1:, :7])
    torch.testing.assert_close(clean[1][real[1]], alone[0], atol=1e-5, rtol=0)


def test_padding_alone_gives_no_gradient_that_is_not_a_number(adapter):
    mask = torch.arange(12)[None] < torch.tensor([12, 2])[:, None]
    adapter(torch.randn(2, 12, 12), mask)[0].square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in adapter.parameters() if parameter.grad is not None)
    assert adapter.query.grad.abs().sum() > 0


def test_speech_starts_at_the_size_of_words(model, processor):
    speech, mask = model.get_speech_embeddings(**processor.features([sound(3.0)]))
    words = model.get_input_embeddings().weight
    assert 0.5 < speech[mask].std() / words.std() < 2


@pytest.mark.parametrize("padding_side", ["left", "right"])
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(model, processor, padding_side):
    batch = processor(CHATS, padding_side=padding_side)
    together = model(**batch)
    for i, chat in enumerate(CHATS):
        alone = model(**processor(chat)).logits[0]
        torch.testing.assert_close(together.logits[i, batch["attention_mask"][i].bool()], alone, atol=2e-5, rtol=0)


def test_generation_is_the_same_with_and_without_a_cache_alone_and_in_beams(model, processor):
    batch, settings = processor(CHATS), {"max_new_tokens": 6, "do_sample": False}
    assert torch.equal(model.generate(**batch, **settings), model.generate(**batch, **settings, use_cache=False))
    together = model.generate(**batch, **settings, num_beams=2)[1, batch["input_ids"].shape[1] :]
    one = processor(CHATS[1])
    alone = model.generate(**one, **settings, num_beams=2)[0, one["input_ids"].shape[1] :]
    assert together[: len(alone)].tolist() == alone.tolist()


@pytest.mark.parametrize("samples", [1600, 2720, 5120, 5121, 16000, 16159, 64000])
@pytest.mark.parametrize("real_frames", [True, False])
def test_placeholders_are_as_many_as_embeddings(processor, samples, real_frames):
    processor.real_frames = real_frames
    batch = processor(ask(sound(samples / 16000)))
    mask = make_model(processor, **SIZES)(**batch).speech_mask
    assert mask.sum() == (batch["input_ids"] == processor.speech_token_id).sum()


def test_the_windows_last_as_long_as_the_frame_rate_says(processor):
    assert processor.frame_rate == 25  # hop 320 at 16 kHz, halved by the encoder
    assert processor.speech_length(2 * 16000) == 7  # 50 frames in windows of 8


@torch.no_grad()
def test_it_comes_back_from_its_folder(processor, tmp_path):
    from tiny import make_llm

    model = make_model(processor, llm=make_llm(), lora_scope="everywhere", **SIZES)
    model.export(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, reader = (
        BlspEmoForConditionalGeneration.from_pretrained(tmp_path),
        BlspEmoProcessor.from_pretrained(tmp_path),
    )
    assert (loaded.config.adapter_type, loaded.config.lora_scope) == ("qformer", "everywhere")
    assert reader.model_settings == processor.model_settings
    assert torch.equal(loaded(**reader(CHATS)).logits, model(**processor(CHATS)).logits)


def test_unknown_adapters_and_odd_widths_are_refused(processor):
    with pytest.raises(StudyError, match="qformer_width: 200 is no multiple of 64"):
        make_model(processor, qformer_width=200)
    processor.adapter_type = "pooling"
    with pytest.raises(StudyError, match="adapter_type: 'pooling' is unknown; wanted is convolution or qformer"):
        processor.speech_length(16000)
    with pytest.raises(StudyError, match="adapter_type: 'pooling' is unknown"):
        make_model(processor)
