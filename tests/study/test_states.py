import copy

import numpy as np
import pytest
import torch

from blsp_core.data.states import States, encoder_states


@pytest.fixture
def sound():
    return np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)


def test_states_are_those_of_the_encoder(hearing_model, sound, tmp_path):
    model, processor = hearing_model
    found = States(model, processor, tmp_path).of(sound)
    heard = processor.features([sound])
    wanted, mask = model.encode(heard["input_features"], heard["feature_attention_mask"])
    assert found.dtype == torch.float16 and torch.allclose(found.float(), wanted[0][mask[0]], atol=1e-2)


def test_states_of_many_are_those_of_each_alone_and_in_their_order(hearing_model, sound):
    sounds = [sound, sound[:7_000] * 0.5, sound[:12_000]]
    together = encoder_states(*hearing_model, sounds)
    for found, one in zip(together, sounds, strict=True):
        alone = encoder_states(*hearing_model, [one])[0]
        assert found.shape == alone.shape and torch.allclose(found, alone, atol=1e-5)


def test_a_clip_is_encoded_once_whatever_the_run(hearing_model, sound, tmp_path, monkeypatch):
    model, processor = hearing_model
    first = States(model, processor, tmp_path).of(sound)
    later = States(model, processor, tmp_path)
    monkeypatch.setattr(later.model, "encode", lambda *a: pytest.fail("encoded again"))
    assert torch.equal(later.of(sound), first)
    assert [path.suffix for path in tmp_path.rglob("*.*")] == [".npy"]


def test_another_sound_or_another_encoder_has_states_of_its_own(hearing_model, sound, tmp_path):
    model, processor = hearing_model
    first = States(model, processor, tmp_path).of(sound)
    assert not torch.equal(States(model, processor, tmp_path).of(sound * 0.5), first)
    taught = copy.deepcopy(model)
    with torch.no_grad():
        taught.encoder.conv1.weight.mul_(1.1)
    assert not torch.equal(States(taught, processor, tmp_path).of(sound), first)
    assert len(list(tmp_path.iterdir())) == 2
