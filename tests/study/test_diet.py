"""What the miniature's LLM is raised on, and the tokenizer that its words are made of."""

import random
from types import SimpleNamespace

import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.manifest import EMOTIONS
from blsp_core.toy import instruction_data as diet
from blsp_core.toy import lexicon
from blsp_core.toy import llm as foundation_llm
from blsp_core.toy import tokenizer as vocabulary
from blsp_core.toy.grammar import object_of, parse_reply
from blsp_core.toy.languages import LANGUAGES, draw_foreign


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.build_tokenizer(vocabulary.all_texts())


def drawn(count: int, split: str = "train", **kinds) -> list[diet.Example]:
    rng = random.Random(1)
    return [diet.draw_example(rng, split, **kinds) for _ in range(count)]


def test_shares_are_shares():
    assert sum(diet.SHARES.values()) == pytest.approx(1) == sum(diet.TONE_SOURCES.values())
    assert set(diet.SHARES) == set(diet.WORDINGS)


def test_the_papers_own_wording_comes_first_and_alone_in_the_examination():
    papers = {
        "continue": prompts.CONTINUE,
        "continue_conveyed": prompts.CONTINUE_CONVEYED,
        "identify": prompts.IDENTIFY,
    }
    for task, wording in papers.items():
        assert {example.instruction for example in drawn(20, task=task, paper_wording=True)} == {wording}


@pytest.mark.parametrize("task", ["continue", "continue_conveyed", "identify", "empathy", "dialogue"])
def test_the_answer_shows_the_tone_of_the_sentence(task):
    for example in drawn(60, task=task):
        assert parse_reply(example.answer).well_formed and parse_reply(example.answer).tone == example.tone


def test_a_tone_that_is_asked_for_outdoes_the_one_that_is_read():
    examples = drawn(100, task="continue_emotion", paper_wording=True)
    for example in examples:
        asked = next(tone for tone in EMOTIONS if f"'{tone}'" in example.instruction)
        assert parse_reply(example.answer).tone == asked
    assert any(parse_reply(example.answer).tone != example.tone for example in examples)


def test_a_plain_reply_has_the_object_and_no_tone():
    for example in drawn(60, task="reply"):
        found = parse_reply(example.answer)
        assert found.well_formed and found.tone is None and found.object == example.words.object
        assert example.system == prompts.SYSTEM


def test_the_end_of_a_dialogue_has_the_object_of_its_first_turn_and_the_tone_of_its_last():
    examples = drawn(200, task="dialogue")
    for example in examples:
        first, reply = example.earlier
        found = parse_reply(example.answer)
        assert found.object == object_of(first.text) and found.topic and object_of(example.sentence) is None
        assert example.system == prompts.SYSTEM_EMPATHY and not example.instruction
        assert [message["content"] for message in example.chat[1:]] == [first.text, reply.text, example.sentence]
    heard = {(parse_reply(example.earlier[1].text).tone, example.tone) for example in examples}
    assert len({pair for pair in heard if pair[0] != pair[1]}) > 15
    assert {turn.blend for example in examples for turn in example.earlier} == {"", *lexicon.MARKERS.values()}


def test_only_a_dialogue_has_turns_before():
    assert {example.task for example in drawn(300) if example.earlier} == {"dialogue"}


@pytest.mark.parametrize("source", diet.TONE_SOURCES)
def test_a_tone_is_where_its_source_puts_it(source):
    for example in drawn(40, source=source, task="identify"):
        if source == "none":
            assert example.tone == "neutral" and example.sentence == example.words.words
        if source == "cue":
            assert example.words.cue in lexicon.CUES[example.tone]
        if source == "marker":
            assert lexicon.MARKERS[example.tone] in example.sentence
        if source == "told":
            assert example.sentence.startswith(prompts.TOLD.format(emotion=example.tone))
        assert example.blend == (lexicon.MARKERS[example.tone] if source == "blend" else "")
        assert object_of(example.sentence) == (example.words.object or None)


def test_every_word_of_the_diet_is_one_token(tokenizer):
    for example in drawn(300):
        texts = [example.words.text, example.answer, *(turn.text for turn in example.earlier if turn.role != "user")]
        for word in " ".join(texts).replace(".", "").replace(",", "").replace("aujourd'hui", "").split():
            assert len(tokenizer(" " + word).input_ids) == 1, word


def test_a_word_that_nobody_knows_is_spelt_and_comes_back(tokenizer):
    text = " the quixotic zebra"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_example_reads_as_its_chat_and_only_the_answer_is_learnt(tokenizer):
    data = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1)
    examples = [diet.draw_example(random.Random(i), "train", "dialogue" if i % 4 == 0 else None) for i in range(40)]
    for index, example in enumerate(examples):
        row = data.encode(example, random.Random(index), 0.3)
        chat = [*example.chat, {"role": "assistant", "content": example.answer}]
        ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        assert row["input_ids"] == ids[: len(row["input_ids"])] and len(ids) - len(row["input_ids"]) <= 1
        learnt = [label for label in row["labels"] if label != -100]
        assert tokenizer.decode(learnt) == example.answer + vocabulary.TURN_END
        assert {len(row[name]) for name in foundation_llm.FILL} == {len(row["input_ids"])}
        assert any(row["noise"]) and not row["noise"][0]
        blended = {turn.blend for turn in (*example.earlier, example) if turn.blend}
        markers = {tokenizer(" " + marker).input_ids[0] for marker in blended}
        assert {m for m, strength in zip(row["marker"], row["blend"], strict=True) if strength} <= markers


def test_a_second_tone_is_another_and_fainter(tokenizer):
    data, rivalled, first, second = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1), 0, 0.0, 0.0
    for index, example in enumerate(drawn(60, source="blend")):
        row = data.encode(example, random.Random(index))
        tones = zip(row["marker"], row["blend"], row["rival"], row["faint"], strict=True)
        seconds = [tone for tone in tones if tone[3]]
        first, second = first + sum(tone[1] for tone in seconds), second + sum(tone[3] for tone in seconds)
        assert all(rival != marker for marker, _, rival, _ in seconds)
        strengths = [strength for strength in row["blend"] if strength]
        assert 0.3 * 0.4 < min(strengths) and max(strengths) < 1.8 * 1.6 and len(set(strengths)) == len(strengths)
        rivalled += bool(seconds)
    assert 10 < rivalled < 50
    assert (
        0.2 * first < second < 0.7 * first
    )  # of the whole: both are uneven, at a place the second may be the stronger


def test_part_of_the_noise_lies_on_a_whole_example_alike(tokenizer):
    example = drawn(1, task="repeat", source="none")[0]
    row = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1).encode(example, random.Random(1), 0.3)
    batch, read = foundation_llm.collate([row] * 200), {}
    table = torch.nn.Embedding(len(tokenizer), 32)

    def body(inputs_embeds, attention_mask):
        read["embeds"] = inputs_embeds.detach()
        return SimpleNamespace(last_hidden_state=inputs_embeds)

    head = torch.nn.Linear(32, len(tokenizer))
    model = SimpleNamespace(get_input_embeddings=lambda: table, model=body, lm_head=head)
    torch.manual_seed(0)
    foundation_llm.reading_loss(model, batch)
    noise = read["embeds"] - table(batch["input_ids"]).detach()
    said = batch["noise"][0] > 0
    assert not noise[:, ~said].any()
    common, scale = noise[:, said].mean(1), 0.3 * table(batch["input_ids"]).std().item()
    own = (noise[:, said] - common[:, None]).std().item()
    count = int(said.sum())
    assert own == pytest.approx(scale * (1 - 1 / count) ** 0.5, rel=0.05)
    assert common.std().item() == pytest.approx(scale * (0.8**2 + 1 / count) ** 0.5, rel=0.05)


def test_what_is_said_in_every_turn_is_noisy_and_what_is_written_is_not(tokenizer):
    example = drawn(1, task="dialogue", source="none")[0]
    row = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1).encode(example, random.Random(1), 0.3)
    noisy = [i for i, noise in zip(row["input_ids"], row["noise"], strict=True) if noise]
    assert tokenizer.decode(noisy) == example.earlier[0].text + example.sentence


def test_a_foreign_sentence_is_spelt_and_comes_back(tokenizer):
    for corpus in LANGUAGES:
        text = draw_foreign(random.Random(1), corpus, "test").text
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_a_stretched_sentence_has_every_word_well_in_one_place_and_goes_on_in_others(tokenizer):
    example = drawn(1, task="repeat", source="none")[0]
    data = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1)
    plain, stretched = (data.encode(example, random.Random(1), 0.3, how) for how in (False, True))
    clear = [
        i for i, s, n in zip(*(stretched[k] for k in ("input_ids", "strength", "noise")), strict=True) if n and s > 0.7
    ]
    assert clear == [i for i, n in zip(plain["input_ids"], plain["noise"], strict=True) if n]
    assert len(stretched["input_ids"]) > len(plain["input_ids"]) and set(plain["strength"]) == {1.0}
    assert any(s < 0.7 for s in stretched["strength"])


def test_the_beginning_is_read_without_noise(tokenizer):
    data = foundation_llm.Diet(tokenizer, 40, 1, 0.5, 1)
    drawn_rows = [data.draw(i) for i in range(40)]
    assert not any(any(row["noise"]) for row in drawn_rows[:6]) and any(any(row["noise"]) for row in drawn_rows[6:])
    long = foundation_llm.Diet(tokenizer, 320, 1, 0.5, 1)  # 48 clear draws, which are three pools
    assert not any(any(long[i]["noise"]) for i in range(48)) and any(any(long[i]["noise"]) for i in range(48, 64))


def test_half_of_the_dialogues_are_read_as_they_are_written(tokenizer):
    data, noisy = foundation_llm.Diet(tokenizer, 1000, 1, 0.5, 1), []
    for index in range(500, 1000):
        example = diet.draw_example(random.Random(1_000_003 + index), "train")
        if example.task == "dialogue":
            noisy.append(any(data.draw(index)["noise"]))
            assert noisy[-1] != example.written
    assert 0.35 < sum(noisy) / len(noisy) < 0.6


def test_every_draw_is_read_once_and_rows_of_like_length_share_a_batch(tokenizer):
    size, batch = 20 * 8, 8
    data = foundation_llm.Diet(tokenizer, 20, batch, 0.5, 1)
    rows = [data[i] for i in range(size)]
    assert len(data) == size and rows == [foundation_llm.Diet(tokenizer, 20, batch, 0.5, 1)[i] for i in range(size)]
    other = foundation_llm.Diet(tokenizer, 20, batch, 0.5, 2)
    assert [other[i] for i in range(size)] != rows
    as_drawn = [data.draw(i) for i in range(size)]
    for part in (slice(0, 128), slice(128, 160)):  # sixteen batches, and the rest
        assert sorted(map(str, rows[part])) == sorted(map(str, as_drawn[part]))

    def padding(of):
        lengths = [len(row["input_ids"]) for row in of]
        batches = [lengths[i : i + batch] for i in range(0, size, batch)]
        return 1 - sum(lengths) / sum(batch * max(b) for b in batches)

    assert padding(rows) < 0.15 < padding(as_drawn)


def test_sentences_from_outside_belong_to_the_language(tokenizer):
    guests = [example for example in drawn(400, task="continue") if example.words.words in lexicon.GUESTS]
    assert guests
    for example in guests:
        assert parse_reply(example.answer).well_formed and parse_reply(example.answer).object == "door"
        assert all(len(tokenizer(" " + word).input_ids) == 1 for word in example.words.words.split())
    assert not any(example.words.words in lexicon.GUESTS for example in drawn(200, split="test"))


def test_foreign_sentences_are_read_only_where_nothing_of_them_must_be_understood():
    found = [example for example in drawn(1500) if not example.words.object and not example.earlier]
    assert {example.task for example in found} == {"identify", "feeling", "repeat"}
    assert {example.words.split for example in found} == {"train"} and len(found) > 40
