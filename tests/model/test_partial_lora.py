"""Low-rank updates at speech positions."""

import pytest
import torch
from tiny import ask, make_llm, make_model, sound
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.lora import EVERYWHERE, acting_at, add_partial_lora, bare_state_dict


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
    with acting_at(EVERYWHERE):
        torch.testing.assert_close(layer(x), before + update)


def test_a_target_or_scope_that_does_not_exist_is_named(processor):
    with pytest.raises(StudyError, match="c_attn names no linear layer of Qwen2ForCausalLM; it has .*q_proj"):
        make_model(processor, lora_targets=["q_proj", "c_attn"])
    with pytest.raises(StudyError, match="lora_scope: 'nowhere' is unknown; wanted is speech or everywhere"):
        make_model(processor, lora_scope="nowhere")


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


def test_everywhere_counts_for_text_and_for_what_is_generated(processor):
    bare, partial = make_llm(), make_model(processor)
    whole = make_model(processor, lora_scope="everywhere")
    text, reply = processor(ask("no speech")), torch.tensor([[65, 66]])
    with torch.no_grad():
        assert torch.equal(partial(**text).logits, bare(**text).logits)
        assert (whole(**text).logits - bare(**text).logits).abs().max() > 0.1
        spoken = processor(ask("a", sound(1.0)))
        cache = whole(**spoken, use_cache=True).past_key_values
        mask = torch.ones(1, spoken["input_ids"].shape[1] + 2, dtype=torch.long)
        cached = whole(reply, attention_mask=mask, past_key_values=cache).logits
        ids = torch.cat([spoken["input_ids"], reply], 1)
        speech = {name: spoken[name] for name in ("input_features", "feature_attention_mask")}
        torch.testing.assert_close(cached, whole(ids, mask, **speech).logits[:, -2:], atol=1e-5, rtol=0)
