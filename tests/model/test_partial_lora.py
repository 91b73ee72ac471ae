"""Low-rank updates that act where speech is."""

import pytest
import torch
from tiny import ask, make_llm, make_model, sound
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.partial_lora import acting_at, add_partial_lora, bare_state_dict


def test_it_acts_at_the_given_positions_only():
    layers = nn.ModuleDict({"q_proj": nn.Linear(6, 4), "other": nn.Linear(6, 4)})
    x = torch.randn(2, 5, 6)
    before = layers["q_proj"](x)
    add_partial_lora(layers, rank=2, alpha=4, dropout=0.0, targets=["q_proj"])
    layer = layers["q_proj"]
    layer.lora_B["default"].weight.data.normal_()
    update = x @ (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).T * 2
    with acting_at(torch.tensor([1, 8])):  # row 0 token 1, row 1 token 3
        after = layer(x)
    expected = before.clone()
    expected[0, 1] += update[0, 1]
    expected[1, 3] += update[1, 3]
    torch.testing.assert_close(after, expected)
    assert torch.equal(layer(x), before)


def test_a_target_that_matches_nothing_is_named(processor):
    with pytest.raises(StudyError, match="c_attn names no linear layer of Qwen2ForCausalLM; it has .*q_proj"):
        make_model(processor, lora_targets=["q_proj", "c_attn"])


def test_at_its_start_it_changes_nothing(processor):
    chat = processor(ask("a", sound(1.0)))
    with_lora = make_model(processor, noise=0, lora_rank=4)
    without = make_model(processor, lora_rank=0)
    without.load_state_dict(with_lora.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(with_lora(**chat).logits, without(**chat).logits)


def test_the_llms_own_weights_keep_their_names():
    llm = make_llm()
    names = {name: value.clone() for name, value in llm.state_dict().items()}
    add_partial_lora(llm, rank=2, alpha=4, dropout=0.0, targets=["q_proj", "down_proj"])
    bare = bare_state_dict(llm)
    assert bare.keys() == names.keys() and all(torch.equal(bare[name], names[name]) for name in names)


def test_dropout_is_drawn_in_training_only(processor):
    model = make_model(processor, lora_dropout=0.5)
    batch = processor(ask(sound(1.0)))
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**batch).logits)
        model.train()
        assert not torch.equal(model(**batch).logits, model(**batch).logits)
