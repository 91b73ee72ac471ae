"""How the toy LLM reads its instruction data: noise, lengthened words, blended markers, batches."""

import random
from types import SimpleNamespace

import pytest
import torch

from blsp_core.toy import llm
from blsp_core.toy.tokenizer import TURN_END


@pytest.fixture(scope="module")
def data(tokenizer):
    return llm.InstructionData(tokenizer, 20, 8, 0.5, 1)


@pytest.fixture(scope="module")
def plain(drawn):
    return drawn(1, task="repeat", source="none")[0]


def test_a_row_has_the_tokens_of_its_chat_and_labels_for_the_answer_only(tokenizer, data, drawn):
    for index, example in enumerate(drawn(30) + drawn(10, task="dialogue")):
        row = data.encode(example, random.Random(index), 0.3)
        chat = [*example.chat, {"role": "assistant", "content": example.answer}]
        ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        assert row["input_ids"] == ids[: len(row["input_ids"])] and len(ids) - len(row["input_ids"]) <= 1
        labels = [label for label in row["labels"] if label != -100]
        assert tokenizer.decode(labels) == example.answer + TURN_END
        assert {len(row[name]) for name in llm.FILL} == {len(row["input_ids"])}
        assert any(row["noise"]) and not row["noise"][0]
        blended = {turn.blend for turn in (*example.earlier, example) if turn.blend}
        markers = {tokenizer(" " + marker).input_ids[0] for marker in blended}
        assert {m for m, strength in zip(row["marker"], row["marker_strength"], strict=True) if strength} <= markers


def test_a_second_marker_is_another_and_weaker(data, drawn):
    rows, columns = [], ("marker", "marker_strength", "second", "second_strength")
    for index, example in enumerate(drawn(60, source="blend")):
        row = data.encode(example, random.Random(index))
        strengths = [strength for strength in row["marker_strength"] if strength]
        assert 0.3 * 0.4 < min(strengths) and max(strengths) < 1.8 * 1.6 and len(set(strengths)) == len(strengths)
        rows.append([tokens for tokens in zip(*(row[name] for name in columns), strict=True) if tokens[3]])
    tokens = [token for row in rows for token in row]
    assert 10 < sum(map(bool, rows)) < 50 and all(marker != other for marker, _, other, _ in tokens)
    first, second = sum(token[1] for token in tokens), sum(token[3] for token in tokens)
    assert 0.2 * first < second < 0.7 * first  # in sum: at a single position the second may be stronger


def test_part_of_the_noise_is_common_to_all_positions(tokenizer, data, plain):
    batch, inputs = llm.collate([data.encode(plain, random.Random(1), 0.3)] * 200), []
    table, head = torch.nn.Embedding(len(tokenizer), 32), torch.nn.Linear(32, len(tokenizer))

    def body(inputs_embeds, attention_mask):
        inputs.append(inputs_embeds.detach())
        return SimpleNamespace(last_hidden_state=inputs_embeds)

    torch.manual_seed(0)
    llm.reading_loss(SimpleNamespace(get_input_embeddings=lambda: table, model=body, lm_head=head), batch)
    noise, noisy = inputs[0] - table(batch["input_ids"]).detach(), batch["noise"][0] > 0
    assert not noise[:, ~noisy].any()
    common, scale = noise[:, noisy].mean(1), 0.3 * table(batch["input_ids"]).std().item()
    own, count = (noise[:, noisy] - common[:, None]).std().item(), int(noisy.sum())
    assert own == pytest.approx(scale * (1 - 1 / count) ** 0.5, rel=0.05)
    assert common.std().item() == pytest.approx(scale * (0.8**2 + 1 / count) ** 0.5, rel=0.05)


def test_a_lengthened_word_is_strong_at_one_position_and_weak_at_others(data, plain):
    short, longer = (data.encode(plain, random.Random(1), 0.3, lengthened) for lengthened in (False, True))
    columns = zip(*(longer[name] for name in ("input_ids", "strength", "noise")), strict=True)
    strong = [i for i, strength, noise in columns if noise and strength > 0.7]
    assert strong == [i for i, noise in zip(short["input_ids"], short["noise"], strict=True) if noise]
    assert len(longer["input_ids"]) > len(short["input_ids"]) and set(short["strength"]) == {1.0}
    assert min(longer["strength"]) < 0.7


def test_the_first_rows_have_no_noise(tokenizer):
    data = llm.InstructionData(tokenizer, 320, 1, 0.5, 1)  # 48 rows without noise, which are three pools
    noisy = [any(data[i]["noise"]) for i in range(64)]
    assert not any(noisy[:48]) and any(noisy[48:])


def test_blending_and_lengthening_can_be_left_out(tokenizer, data):
    asked = {"lengthened": 0.0, "blended": 0.0}
    bare, same = (llm.InstructionData(tokenizer, 20, 8, 0.5, 1, **how) for how in (asked, {"blended": 0.25}))
    rows, usual = ([one.draw(i) for i in range(100)] for one in (bare, data))
    assert not any(any(row["marker_strength"]) for row in rows) and {s for row in rows for s in row["strength"]} == {
        1.0
    }
    assert any(any(row["noise"]) for row in rows)
    assert any(any(row["marker_strength"]) for row in usual) and any(min(row["strength"]) < 0.7 for row in usual)
    assert [same.draw(i) for i in range(100)] == usual


def test_every_row_is_read_once_and_rows_of_similar_length_share_a_batch(tokenizer, data):
    same, other = (llm.InstructionData(tokenizer, 20, 8, 0.5, seed) for seed in (1, 2))
    rows, as_drawn = [data[i] for i in range(160)], [data.draw(i) for i in range(160)]
    assert len(data) == 160 and rows == [same[i] for i in range(160)] != [other[i] for i in range(160)]
    for part in (slice(0, 128), slice(128, 160)):  # sixteen batches, and the rest
        assert sorted(map(str, rows[part])) == sorted(map(str, as_drawn[part]))

    def padding(of):
        lengths = torch.tensor([len(row["input_ids"]) for row in of]).view(20, 8)
        return 1 - lengths.sum() / (8 * lengths.max(1).values.sum())

    assert padding(rows) < 0.15 < padding(as_drawn)
