"""Learned averages begin as plain ones, ignore padding, are kept with the model, and can be added to a trained one."""

import pytest
import torch
from tiny import ask, make_model, sound

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration

CHATS = [ask("hear this: ", sound(1.03)), ask(sound(2.517, 1))]


@torch.no_grad()
def test_attention_pooling_begins_as_the_mean_over_time(processor):
    batch, plain = processor(CHATS), make_model(processor)
    pooled = make_model(processor, emotion_pooling="attention")
    torch.testing.assert_close(pooled(**batch).emotion_logits, plain(**batch).emotion_logits, atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(
    "settings", [{"emotion_pooling": "attention"}, {"encoder_layers": "mix"}, {"encoder_layers": "last+mix"}]
)
def test_a_clip_does_not_depend_on_its_neighbours(processor, settings):
    model = _stirred(make_model(processor, **settings))
    together = model(**processor(CHATS)).emotion_logits
    for row, chat in zip(together, CHATS, strict=True):
        torch.testing.assert_close(row, model(**processor(chat)).emotion_logits[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_mix_of_layers_ends_in_the_encoders_last_and_may_be_kept_from_earlier(processor):
    model, plain = make_model(processor, encoder_layers="mix"), make_model(processor)
    features = processor.features([sound(1.03), sound(2.517, 1)])
    (states, mask), (last, _) = model.encode(**features), plain.encode(**features)
    assert states.shape == (*last.shape[:2], model.encoder.config.encoder_layers + 1, last.shape[2])
    assert torch.equal(states[:, :, -1], last)
    model.layer_mix.scores.data = torch.tensor([-1e9, -1e9, 0.0])
    heard, _ = model.get_speech_embeddings(**features)
    kept, _ = model.get_speech_embeddings(encoder_hidden_states=states, encoder_attention_mask=mask)
    torch.testing.assert_close(heard, plain.get_speech_embeddings(**features)[0], atol=1e-6, rtol=0)
    assert torch.equal(heard, kept)


@torch.no_grad()
def test_beside_the_last_layer_the_mix_adds_and_takes_nothing_away(processor):
    model, plain = make_model(processor, encoder_layers="last+mix"), make_model(processor)
    features, width = processor.features([sound(1.03), sound(2.517, 1)]), model.encoder.config.d_model
    states, _ = model.encode(**features)
    read = model.layer_mix(states)
    assert torch.equal(read[..., :width], states[:, :, -1])
    torch.testing.assert_close(read[..., width:], states.mean(2))
    model.adapter.load_state_dict(plain.adapter.state_dict() | _reading_only_the_last(model, plain))
    heard, before = (m.get_speech_embeddings(**features)[0] for m in (model, plain))
    torch.testing.assert_close(heard, before, atol=1e-6, rtol=0)


def _reading_only_the_last(model, plain) -> dict[str, torch.Tensor]:
    name = "convolutions.0.weight"
    wide = torch.zeros_like(model.adapter.state_dict()[name])
    wide[:, : wide.shape[1] // 2] = plain.adapter.state_dict()[name]
    return {name: wide}


@pytest.mark.parametrize("layers", ["mix", "last+mix"])
def test_the_weights_learn_with_their_part_and_are_kept(processor, tmp_path, layers):
    model = make_model(processor, encoder_layers=layers, emotion_pooling="attention")
    model.set_trainable(adapter=True)
    assert model.layer_mix.scores.requires_grad and not model.emotion_pooling.score.weight.requires_grad
    model.set_trainable(adapter=False, head=True)
    assert not model.layer_mix.scores.requires_grad and model.emotion_pooling.score.weight.requires_grad
    _stirred(model).export(tmp_path / "x")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x")
    with torch.no_grad():
        batch = processor(CHATS)
        assert torch.equal(loaded(**batch).emotion_logits, model(**batch).emotion_logits)


@torch.no_grad()
def test_attention_can_be_given_to_a_model_that_was_trained_without(processor, tmp_path):
    model, batch = make_model(processor), processor(CHATS)
    model.export(tmp_path / "x")
    loaded = BlspEmoForConditionalGeneration.from_pretrained(tmp_path / "x", emotion_pooling="attention")
    torch.testing.assert_close(loaded(**batch).emotion_logits, model(**batch).emotion_logits, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["encoder_layers", "emotion_pooling"])
def test_an_unknown_kind_is_refused(processor, name):
    with pytest.raises(StudyError, match=f"{name}: 'median' is unknown"):
        make_model(processor, **{name: "median"})


def _stirred(model):
    for part in (model.layer_mix, model.emotion_pooling):
        for weight in [] if part is None else part.parameters():
            weight.data += 0.5 * torch.randn_like(weight)
    return model.eval()
