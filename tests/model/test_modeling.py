"""The model as a whole: rows are independent, and speech replaces its placeholders only."""

import numpy as np
import pytest
import torch
from tiny import ask, make_encoder, make_llm, make_model, sound

from blsp_core.errors import StudyError
from blsp_core.model.losses import emotion_ce, response_ce, response_rows, response_targets

CHATS = [
    ask("hear this: ", sound(1.03), " and answer"),
    ask(sound(2.517, 1), " or ", sound(0.4, 2)),
    ask("no speech at all"),
]


@pytest.mark.parametrize("padding_side", ["left", "right"])
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(model, processor, padding_side):
    batch = processor(CHATS, padding_side=padding_side)
    together = model(**batch)
    clip = 0
    for i, chat in enumerate(CHATS):
        alone = model(**processor(chat))
        real = batch["attention_mask"][i].bool()
        torch.testing.assert_close(together.logits[i, real], alone.logits[0], atol=5e-5, rtol=0)
        if alone.speech_mask is not None:
            for mask, embeddings, emotion in zip(
                alone.speech_mask, alone.speech_embeddings, alone.emotion_logits, strict=True
            ):
                found = together.speech_embeddings[clip][together.speech_mask[clip]]
                torch.testing.assert_close(found, embeddings[mask], atol=1e-5, rtol=0)
                torch.testing.assert_close(together.emotion_logits[clip], emotion, atol=1e-5, rtol=0)
                clip += 1
    assert clip == 3


@torch.no_grad()
def test_full_window_rows_do_not_depend_on_their_neighbours(extractor, processor):
    processor.real_frames = False
    model = make_model(processor)
    together = model(**processor(CHATS))
    alone = model(**processor(CHATS[1]))
    torch.testing.assert_close(together.logits[1, -alone.logits.shape[1] :], alone.logits[0], atol=5e-5, rtol=0)


@torch.no_grad()
def test_full_window_is_what_transformers_own_encoder_gives(processor):
    processor.real_frames = False
    model = make_model(processor)
    batch = processor.features([sound(1.03), sound(3.0)])
    hidden, mask = model.encode(**batch)
    reference = model.encoder(batch["input_features"]).last_hidden_state
    torch.testing.assert_close(hidden, reference[:, : hidden.shape[1]], atol=1e-5, rtol=0)
    assert mask.sum(1).tolist() == [26, 75]


@torch.no_grad()
def test_real_frames_fill_the_window_as_transformers_own_encoder(processor, model):
    batch = processor.features([sound(10)])
    hidden, _ = model.encode(**batch)
    torch.testing.assert_close(hidden, model.encoder(batch["input_features"]).last_hidden_state, atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_speech_the_llm_is_the_original_bit_for_bit(processor):
    bare, model = make_llm(), make_model(processor)
    batch = processor(CHATS[2])
    assert torch.equal(model(**batch).logits, bare(**batch).logits)


@torch.no_grad()
def test_generated_tokens_are_read_without_lora(processor):
    """A prompt's logits with LoRA and without differ; a reply's, given the same prompt in the cache, do not."""
    model, bare = make_model(processor), make_llm()
    batch = processor(CHATS[0])
    prompt = model(**batch, use_cache=True)
    reply = torch.tensor([[65, 66, 67]])
    mask = torch.cat([batch["attention_mask"], torch.ones_like(reply)], 1)
    whole = torch.cat([batch["input_ids"], reply], 1)
    speech = {name: batch[name] for name in ("input_features", "feature_attention_mask")}
    cached = model(reply, attention_mask=mask, past_key_values=prompt.past_key_values).logits
    torch.testing.assert_close(cached, model(whole, mask, **speech).logits[:, -3:], atol=1e-5, rtol=0)
    again = model(**batch, use_cache=True)
    expected = bare(reply, attention_mask=mask, past_key_values=again.past_key_values).logits
    torch.testing.assert_close(cached, expected, atol=0, rtol=0)
    without = make_model(processor, noise=0)
    assert (without(**batch).logits - prompt.logits).abs().max() > 0.1


def test_generating_with_a_cache_equals_generating_without(model, processor):
    batch = processor(CHATS)
    settings = {"max_new_tokens": 12, "do_sample": False}
    assert torch.equal(model.generate(**batch, **settings), model.generate(**batch, **settings, use_cache=False))


def test_a_row_is_answered_alike_alone_and_in_a_batch(model, processor):
    batch = processor(CHATS)
    together = model.generate(**batch, max_new_tokens=8, do_sample=False)[:, batch["input_ids"].shape[1] :]
    for i, chat in enumerate(CHATS):
        one = processor(chat)
        alone = model.generate(**one, max_new_tokens=8, do_sample=False)[0, one["input_ids"].shape[1] :]
        assert together[i, : len(alone)].tolist() == alone.tolist()


def test_beams_keep_each_rows_clips_together(model, processor):
    batch, one = processor(CHATS), processor(CHATS[1])
    settings = {"max_new_tokens": 6, "do_sample": False, "num_beams": 3}
    together = model.generate(**batch, **settings)[1, batch["input_ids"].shape[1] :]
    alone = model.generate(**one, **settings)[0, one["input_ids"].shape[1] :]
    assert together[: len(alone)].tolist() == alone.tolist()


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
    hidden, mask = model.encode(**speech)
    kept = {"encoder_hidden_states": hidden, "encoder_attention_mask": mask}
    assert torch.equal(model(**batch, **kept).logits, model(**batch, **speech).logits)
    for beams in (1, 2):
        settings = {"max_new_tokens": 5, "do_sample": False, "num_beams": beams}
        assert torch.equal(model.generate(**batch, **kept, **settings), model.generate(**batch, **speech, **settings))


@torch.no_grad()
def test_only_the_wanted_rows_of_logits_are_made(model, processor):
    batch = processor(CHATS)
    wanted = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    wanted[0, -5:] = wanted[2, -2:] = True
    some = model(**batch, logits_to_keep=wanted).logits
    torch.testing.assert_close(some, model(**batch).logits[wanted], atol=1e-6, rtol=0)


def test_a_wrong_number_of_placeholders_is_an_error_with_both_numbers(model, processor):
    batch = processor(CHATS[:1])
    batch["input_ids"] = torch.where(batch["input_ids"] == 259, 65, batch["input_ids"])
    with pytest.raises(StudyError, match="0 speech placeholders for 4 speech embeddings"):
        model(**batch)
    with pytest.raises(StudyError, match="4 speech placeholders for 0 speech embeddings"):
        model(processor(CHATS[:1])["input_ids"])


def test_features_longer_than_the_window_are_refused(model):
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

    def pass_over(**how):
        model.zero_grad()
        out = model(**batch, logits_to_keep=wanted, **how)
        out.logits.square().mean().backward()
        return out.logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    tokens = []
    embed = model.get_input_embeddings()
    embed.register_forward_hook(lambda _, args, __: tokens.append(args[0].numel()))
    (logits, gradients), (same_logits, same_gradients) = pass_over(), pass_over(shared_prefix=shared)
    assert tokens == [ids.numel(), shared, ids.numel() - 2 * shared]
    torch.testing.assert_close(same_logits, logits, atol=1e-5, rtol=1e-4)
    assert set(same_gradients) == set(gradients) and any("lora_A" in name for name in gradients)
    for name, gradient in same_gradients.items():
        torch.testing.assert_close(gradient, gradients[name], atol=1e-6, rtol=1e-3)


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

    def gradients():
        model.zero_grad()
        out = model(**batch, use_cache=False)
        with torch.no_grad():
            model(**processor(CHATS[2]), use_cache=False)  # a teacher's pass in between changes nothing
        out.logits.square().mean().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    model.train().activation_checkpointing_enable()
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-6, rtol=1e-4)


def test_half_precision_stays_within_two_percent_of_the_loss(model, processor):
    batch = processor(CHATS[:2])
    labels = batch["input_ids"].clone()
    labels[(labels > 255) | (batch["attention_mask"] == 0)] = -100

    def losses():
        out = model(**batch)
        response = response_ce(response_rows(out.logits, labels), response_targets(labels))
        return response.item(), emotion_ce(out.emotion_logits, torch.tensor([0, 1, 2])).item()

    with torch.no_grad():
        full, half = losses(), (model.to(torch.bfloat16), losses())[1]
    assert np.allclose(full, half, rtol=0.02)


def test_speech_embeddings_start_with_the_standard_deviation_of_word_embeddings(model):
    words = model.get_input_embeddings().weight
    assert torch.allclose(model.adapter.norm.weight, words.std().expand(words.shape[1]))


def test_what_is_in_the_padding_changes_nothing(model, processor):
    speech = processor.features([sound(1.0), sound(2.0)])
    clean, mask = model.get_speech_embeddings(**speech)
    speech["input_features"][0, :, 50:] = 7.0
    noisy, _ = model.get_speech_embeddings(**speech)
    assert torch.equal(clean[mask], noisy[mask])


def test_encoders_of_other_sizes_fit(processor):
    model = make_model(processor, encoder=make_encoder(width=64))
    assert model(**processor(CHATS)).logits.shape[-1] == 259
