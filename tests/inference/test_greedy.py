"""Greedy decoding whose rows leave, against transformers' `generate`."""

from itertools import takewhile

import pytest
import torch
from fixtures import disturbed, make_llm, make_tokenizer
from transformers import MistralConfig, MistralForCausalLM

from blsp_core.data.prompts import SYSTEM, chat
from blsp_core.inference import speech
from blsp_core.inference.batches import GREEDY
from blsp_core.inference.greedy import greedy

CHATS = [chat(SYSTEM, "word " * count + "end") for count in (1, 9, 3, 5, 2, 7, 4)]
LIMIT = 12


def prompts(chats=CHATS) -> dict[str, torch.Tensor]:
    tokenizer = make_tokenizer()
    ids = [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]
    return tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")


def generated(model, inputs, ends) -> torch.Tensor:
    ids = model.generate(**inputs, **GREEDY, max_new_tokens=LIMIT, eos_token_id=ends, pad_token_id=0)
    return ids[:, inputs["input_ids"].shape[1] :]


def shapes_of(model) -> list[tuple[int, int]]:
    """Rows and tokens of every pass, filled as the model runs."""
    shapes = []
    note = lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape))  # noqa: E731
    model.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


def upto_ends(ids: torch.Tensor, ends: list[int]) -> list[list[int]]:
    return [list(takewhile(lambda token: token not in ends, row)) for row in ids.tolist()]


def test_replies_are_those_of_generate_while_the_prefix_is_read_once_and_finished_rows_leave():
    model, inputs = make_llm(), prompts()
    free = generated(model, inputs, [258])
    ends = [258, *free[::2, 2].tolist()]  # rows end at different places
    wanted, shapes = upto_ends(generated(model, inputs, ends), ends), shapes_of(model)
    found, emotions = greedy(model, inputs, LIMIT, ends)
    assert upto_ends(found, ends) == wanted and emotions is None
    assert len({len(row) for row in wanted}) > 1
    rows, tokens = inputs["input_ids"].shape
    (first, prefix), (whole, rest), *later = shapes
    assert first == 1 and whole == rows and prefix + rest == tokens and prefix >= len(SYSTEM)
    assert [1] * len(later) == [tokens for _, tokens in later] and min(count for count, _ in later) < rows


def test_a_single_prompt_and_prompts_without_a_common_start_are_read_whole():
    model = make_llm()
    for ids in ([[65, 66, 67]], [[0, 65, 66], [70, 71, 72]]):
        inputs = {"input_ids": torch.tensor(ids), "attention_mask": (torch.tensor(ids) > 0).long()}
        found, wanted = greedy(model, inputs, LIMIT, [258])[0], generated(model, inputs, [258])
        assert upto_ends(found, [258]) == upto_ends(wanted, [258])


def test_replies_to_speech_and_the_emotion_head_are_those_of_separate_passes(speech_model, corpus):
    (model, processor), (folder, rows) = speech_model, corpus
    batch = processor([speech.spoken_dialogue(SYSTEM, "say: ", row, folder) for row in rows])
    model.generation_config.suppress_tokens = [65]
    wanted, shapes = upto_ends(generated(model, batch, [258]), [258]), shapes_of(model)
    ids, emotions = greedy(model, batch, LIMIT, [258])
    assert upto_ends(ids, [258]) == wanted and len({tuple(row) for row in wanted}) > 1
    assert shapes[0][0] == 1 and shapes[0][1] > len(SYSTEM)
    embedded = model.get_speech_embeddings(batch["input_features"], batch["feature_attention_mask"])
    torch.testing.assert_close(emotions, model.get_emotion_logits(*embedded))


@pytest.mark.parametrize("limit", [1, LIMIT])
def test_a_model_that_attends_to_a_window_is_left_to_generate(limit):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=259, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=32, sliding_window=8, head_dim=16,
    )  # fmt: skip
    model, inputs = disturbed(MistralForCausalLM(config)), prompts()
    shapes = shapes_of(model)
    found, _ = greedy(model, inputs, limit, [258])
    assert shapes[0] == tuple(inputs["input_ids"].shape)
    assert upto_ends(found, [258]) == [row[:limit] for row in upto_ends(generated(model, inputs, [258]), [258])]


def test_the_output_head_reads_contiguous_states_or_its_weight_would_be_copied_for_every_row():
    model, seen = make_llm(), []
    model.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()))
    greedy(model, prompts(), 3, [258])
    assert len(seen) == 4 and all(seen)
