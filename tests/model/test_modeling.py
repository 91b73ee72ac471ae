"""The model as a whole: rows are independent, and speech replaces its placeholders only."""

import pytest
import torch
from fixtures import make_llm
from tiny import CHATS, CONVOLUTION, QFORMER, VARIANTS, ask, make_both, make_model, sound

from blsp_core.errors import StudyError
from blsp_core.model.losses import emotion_ce


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("settings", [{}, {"real_frames": False}, *VARIANTS])
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(settings, padding_side):
    model, processor = make_both(**settings)
    batch = processor(CHATS, padding_side=padding_side)
    together, alone = model(**batch), [model(**processor(chat)) for chat in CHATS]
    for logits, real, one in zip(together.logits, batch["attention_mask"].bool(), alone, strict=True):
        torch.testing.assert_close(logits[real], one.logits[0], atol=5e-5, rtol=0)
    embeddings = torch.cat([one.speech_embeddings[one.speech_mask] for one in alone[:2]])
    torch.testing.assert_close(together.speech_embeddings[together.speech_mask], embeddings, atol=1e-5, rtol=0)
    emotions = torch.cat([one.emotion_logits for one in alone[:2]])
    torch.testing.assert_close(together.emotion_logits, emotions, atol=1e-5, rtol=0)


def test_what_is_in_the_padding_changes_nothing(model, processor):
    speech = processor.features([sound(1.0), sound(2.0)])
    clean, mask = model.get_speech_embeddings(**speech)
    speech["input_features"][0, :, 50:] = 7.0
    noisy, _ = model.get_speech_embeddings(**speech)
    assert torch.equal(clean[mask], noisy[mask])


@pytest.mark.parametrize("real_frames, seconds, frames", [(False, [1.03, 3.0], [26, 75]), (True, [10], [250])])
@torch.no_grad()
def test_a_full_window_is_what_transformers_own_encoder_gives(real_frames, seconds, frames):
    model, processor = make_both(real_frames=real_frames)
    batch = processor.features([sound(length) for length in seconds])
    hidden, mask = model.encode(**batch)
    reference = model.encoder(batch["input_features"]).last_hidden_state
    torch.testing.assert_close(hidden, reference[:, : hidden.shape[1]], atol=1e-5, rtol=0)
    assert mask.sum(1).tolist() == frames


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("adapter", [CONVOLUTION, QFORMER])
def test_replies_are_the_same_without_a_cache_and_alone(adapter, beams):
    model, processor = make_both(adapter)
    batch, settings = processor(CHATS), {"max_new_tokens": 8, "do_sample": False, "num_beams": beams}
    together = model.generate(**batch, **settings)
    assert torch.equal(together, model.generate(**batch, **settings, use_cache=False))
    for row, chat in zip(together[:, batch["input_ids"].shape[1] :], CHATS, strict=True):
        one = processor(chat)
        alone = model.generate(**one, **settings)[0, one["input_ids"].shape[1] :]
        assert row[: len(alone)].tolist() == alone.tolist()


def test_a_speech_token_inside_the_vocabulary_is_never_generated(processor):
    model = make_model(processor, llm=make_llm(vocab_size=300))
    model.llm.lm_head.weight.data[processor.speech_token_id] *= 100
    batch = processor(CHATS[:2])
    reply = model.generate(**batch, max_new_tokens=5, do_sample=False)[:, batch["input_ids"].shape[1] :]
    assert processor.speech_token_id not in reply


@torch.no_grad()
def test_a_clip_can_come_as_features_kept_from_earlier(model, processor):
    batch = processor(CHATS)
    speech = {name: batch.pop(name) for name in ("input_features", "feature_attention_mask")}
    kept = dict(zip(("encoder_hidden_states", "encoder_attention_mask"), model.encode(**speech), strict=True))
    assert torch.equal(model(**batch, **kept).logits, model(**batch, **speech).logits)
    for beams in (1, 2):
        settings = {"max_new_tokens": 5, "do_sample": False, "num_beams": beams}
        assert torch.equal(model.generate(**batch, **kept, **settings), model.generate(**batch, **speech, **settings))


def test_wrong_numbers_of_placeholders_and_of_frames_are_errors_with_both_numbers(model, processor):
    batch = processor(CHATS[:1])
    with pytest.raises(StudyError, match="4 speech placeholders for 0 speech embeddings"):
        model(batch["input_ids"])
    batch["input_ids"] = torch.where(batch["input_ids"] == processor.speech_token_id, 65, batch["input_ids"])
    with pytest.raises(StudyError, match="0 speech placeholders for 4 speech embeddings"):
        model(**batch)
    with pytest.raises(StudyError, match="501 frames, but the speech encoder reads at most 500"):
        model.encode(torch.zeros(1, 80, 501))


@pytest.mark.parametrize(
    "stage, prefixes",
    [
        ({}, ["adapter."]),
        ({"lora": True, "head": True}, ["adapter.", "emotion_head.", "lora_"]),
        ({"lora": True, "head": True, "encoder": True}, ["adapter.", "emotion_head.", "lora_", "encoder."]),
        ({"adapter": False, "head": True}, ["emotion_head."]),
    ],
)
def test_gradients_reach_exactly_the_trained_parts(model, processor, stage, prefixes):
    model.set_trainable(**stage)
    batch = processor(CHATS)
    out = model(**batch)
    (out.logits.square().mean() + out.emotion_logits.square().mean()).backward()
    for name, parameter in model.named_parameters():
        trained = any(prefix in name for prefix in prefixes) and "embed_positions" not in name
        assert (parameter.grad is not None and parameter.grad.abs().sum() > 0) == trained, name


def gradients(model, value):
    """By parameter; and they are cleared."""
    value.square().mean().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("lora_scope", ["speech", "everywhere"])
def test_a_prefix_that_rows_share_is_read_once_and_changes_neither_logits_nor_gradients(processor, lora_scope):
    model = make_model(processor, lora_scope=lora_scope)
    model.set_trainable(encoder=True, lora=True)
    chats = [ask("hear this: ", sound(1.03), " and answer"), ask("hear this: ", sound(2.4, 1))]
    batch = processor(chats, padding_side="right")
    ids = batch["input_ids"]
    shared = int((ids[0] == ids[1]).long().cumprod(0)[: ids[0].tolist().index(processor.speech_token_id)].sum())
    wanted = batch["attention_mask"].bool() & (torch.arange(ids.shape[1]) >= shared)
    assert 10 < shared < ids.shape[1] - 10

    tokens = []
    model.get_input_embeddings().register_forward_hook(lambda _, args, __: tokens.append(args[0].numel()))
    logits, same_logits = (model(**batch, logits_to_keep=wanted, shared_prefix=n).logits for n in (0, shared))
    assert tokens == [ids.numel(), shared, ids.numel() - 2 * shared]
    torch.testing.assert_close(same_logits, logits, atol=1e-5, rtol=1e-4)
    expected = gradients(model, logits)
    assert any("lora_A" in name for name in expected)
    torch.testing.assert_close(gradients(model, same_logits), expected, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("lora_scope", ["speech", "everywhere"])
def test_in_training_a_frozen_prefix_is_read_once_and_forgotten_at_its_end(processor, lora_scope):
    model = make_model(processor, lora_scope=lora_scope, lora_dropout=0.0)
    model.set_trainable(encoder=True, lora=True)
    batch = processor([ask("hear this: ", sound(1.03)), ask("hear this: ", sound(2.4, 1))], padding_side="right")
    lengths = []
    model.get_input_embeddings().register_forward_hook(lambda _, args, __: lengths.append(args[0].shape[1]))
    model.train()
    results = []
    for _ in range(3):
        logits = model(**batch, shared_prefix=8).logits
        results.append((logits.detach(), gradients(model, logits)))
        model.train()  # as transformers' Trainer does in every update
    assert lengths.count(8) == (3 if lora_scope == "everywhere" else 1)
    for logits, found in results[1:]:
        torch.testing.assert_close(logits, results[0][0])
        torch.testing.assert_close(found, results[0][1])
    with torch.no_grad():
        model.eval()
        model.get_input_embeddings().weight.mul_(2)
        again, whole = model(**batch, shared_prefix=8).logits, model(**batch).logits
    torch.testing.assert_close(again, whole[:, 8:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_prefix_that_cannot_be_shared_changes_nothing_and_one_that_must_not_is_an_error(model, processor):
    batch = processor([ask("hear this: ", sound(1.03)), ask("hear this: ", sound(2.4, 1))], padding_side="right")
    whole, labels = model(**batch).logits, torch.full_like(batch["input_ids"], -100)
    labels[:, -1] = 65
    shared = model(**batch, labels=labels, shared_prefix=8)
    torch.testing.assert_close(shared.logits, whole[:, 8:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.loss, model(**batch, labels=labels).loss, atol=1e-5, rtol=1e-4)
    alone = processor(ask("hear this: ", sound(1.03)))
    assert torch.equal(model(**alone, shared_prefix=8).logits, model(**alone).logits[:, 8:])
    with pytest.raises(StudyError, match="past_key_values are given too"):
        model(**alone, past_key_values=model(**alone, use_cache=True).past_key_values, shared_prefix=8)
    model.train().activation_checkpointing_enable()
    torch.testing.assert_close(model(**batch, shared_prefix=8).logits, whole[:, 8:], atol=1e-5, rtol=1e-4)
    labels[:, 8] = 65
    with pytest.raises(StudyError, match="labels begin before token 9"):
        model(**batch, labels=labels, shared_prefix=8)


@pytest.mark.parametrize("lora_scope", ["speech", "everywhere"])
def test_gradient_checkpointing_gives_the_same_gradients(processor, lora_scope):
    model = make_model(processor, lora_scope=lora_scope)
    model.set_trainable(encoder=True, lora=True)
    batch = processor(CHATS)

    def passed():
        logits = model(**batch, use_cache=False).logits
        with torch.no_grad():
            model(**processor(CHATS[2]), use_cache=False)  # a teacher's pass in between changes nothing
        return gradients(model, logits)

    plain = passed()
    model.train().activation_checkpointing_enable()
    torch.testing.assert_close(passed(), plain, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_half_precision_stays_within_two_percent_of_the_losses(model, processor):
    batch, losses = processor(CHATS[:2]), []
    labels = batch["input_ids"].masked_fill((batch["input_ids"] > 255) | (batch["attention_mask"] == 0), -100)
    for dtype in (torch.float32, torch.bfloat16):
        out = model.to(dtype)(**batch, labels=labels)
        losses.append([out.loss.item(), emotion_ce(out.emotion_logits, torch.tensor([0, 1, 2])).item()])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
