"""Low-rank updates at speech positions."""

import pytest
import torch
from fixtures import make_llm
from tiny import CHATS, ask, make_model, sound
from torch import nn

from blsp_core.model.lora import EVERYWHERE, acting_at, add_partial_lora


def test_it_acts_at_the_given_positions_only():
    layers = nn.ModuleDict({"q_proj": nn.Linear(6, 4), "other": nn.Linear(6, 4)})
    x = torch.randn(2, 5, 6)
    before = layers["q_proj"](x)
    add_partial_lora(layers, rank=2, alpha=4, dropout=0.0, targets=["q_proj"])
    layer = layers["q_proj"]
    layer.lora_B["default"].weight.data.normal_()
    update = x @ (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).T * 2
    chosen = torch.zeros(2, 5, 1)
    chosen[0, 1] = chosen[1, 3] = 1
    for positions, where in ((torch.tensor([1, 8]), chosen), (EVERYWHERE, 1), (None, 0)):
        with acting_at(positions):
            torch.testing.assert_close(layer(x), before + where * update)


def test_dropout_is_drawn_in_training_only(processor):
    model = make_model(processor, lora_dropout=0.5)
    batch = processor(ask(sound(1.0)))
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**batch).logits)
        model.train()
        assert not torch.equal(model(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("scope", ["speech", "everywhere"])
@torch.no_grad()
def test_text_and_replies_are_read_by_the_original_llm_unless_lora_is_everywhere(processor, scope):
    """A prompt's logits with LoRA and without differ; a reply's, given the same prompt in the cache, do not."""
    bare, model = make_llm(), make_model(processor, lora_scope=scope)
    text, spoken, reply = processor(CHATS[2]), processor(CHATS[0]), torch.tensor([[65, 66, 67]])
    assert torch.equal(model(**text).logits, bare(**text).logits) == (scope == "speech")
    first, again = (model(**spoken, use_cache=True) for _ in range(2))
    assert (make_model(processor, noise=0)(**spoken).logits - first.logits).abs().max() > 0.1
    mask = torch.cat([spoken["attention_mask"], torch.ones_like(reply)], 1)
    cached = model(reply, attention_mask=mask, past_key_values=first.past_key_values).logits
    whole = {**spoken, "input_ids": torch.cat([spoken["input_ids"], reply], 1), "attention_mask": mask}
    torch.testing.assert_close(cached, model(**whole).logits[:, -3:], atol=1e-5, rtol=0)
    original = bare(reply, attention_mask=mask, past_key_values=again.past_key_values).logits
    assert torch.equal(cached, original) == (scope == "speech")
