"""What the miniature's LLM is raised on, and the tokenizer that its words are made of."""

import random

import pytest

from blsp_core.speech import lexicon
from blsp_core.speech.grammar import object_of, parse_reply
from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import diet, foundation_llm, prompts, vocabulary


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary.build_tokenizer(vocabulary.all_texts())


def drawn(count: int, **kinds) -> list[diet.Example]:
    rng = random.Random(1)
    return [diet.draw_example(rng, "train", **kinds) for _ in range(count)]


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


@pytest.mark.parametrize("task", ["continue", "continue_conveyed", "identify", "empathy"])
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
        assert object_of(example.sentence) == example.words.object


def test_every_word_of_the_diet_is_one_token(tokenizer):
    for example in drawn(300):
        for word in (example.words.text + " " + example.answer.replace(".", "")).split():
            assert len(tokenizer(" " + word).input_ids) == 1, word


def test_a_word_that_nobody_knows_is_spelt_and_comes_back(tokenizer):
    text = " the quixotic zebra"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_example_reads_as_its_chat_and_only_the_answer_is_learnt(tokenizer):
    data = foundation_llm.Diet(tokenizer, 40, 0.5, 1)
    for index, example in [(i, diet.draw_example(random.Random(i), "train")) for i in range(40)]:
        row = data.encode(example, random.Random(index), 0.3)
        chat = [{"role": "system", "content": example.system}]
        chat += [{"role": "user", "content": example.instruction + example.sentence}]
        chat += [{"role": "assistant", "content": example.answer}]
        ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        assert row["input_ids"] == ids[: len(row["input_ids"])] and len(ids) - len(row["input_ids"]) <= 1
        learnt = [label for label in row["labels"] if label != -100]
        assert tokenizer.decode(learnt) == example.answer + vocabulary.TURN_END
        assert {len(row[name]) for name in ("labels", "noise", "blend")} == {len(row["input_ids"])}
        assert any(row["noise"]) and not row["noise"][0] and any(row["blend"]) <= bool(example.blend)


def test_the_first_quarter_is_read_without_noise(tokenizer):
    data = foundation_llm.Diet(tokenizer, 40, 0.5, 1)
    assert not any(any(data[i]["noise"]) for i in range(10)) and any(any(data[i]["noise"]) for i in range(10, 40))
    assert data[3] == foundation_llm.Diet(tokenizer, 40, 0.5, 1)[3] != foundation_llm.Diet(tokenizer, 40, 0.5, 2)[3]
