"""The instruction data of the toy LLM, and its tokenizer."""

import random

import pytest

from blsp_core.data import prompts
from blsp_core.data.emotions import EMOTIONS
from blsp_core.toy import lexicon
from blsp_core.toy.grammar import foreign_sentences, object_of, parse_reply
from blsp_core.toy.instruction_data import SOURCES


def test_the_papers_prompt_is_the_first_template(drawn):
    papers = {"continue": prompts.CONTINUE, "continue_conveyed": prompts.CONTINUE_CONVEYED}
    for task, prompt in (papers | {"identify": prompts.IDENTIFY}).items():
        assert {example.instruction for example in drawn(20, task=task, paper_prompt=True)} == {prompt}


@pytest.mark.parametrize("task", ["continue", "continue_conveyed", "identify", "empathy", "dialogue", "reply"])
def test_the_answer_shows_the_emotion_of_the_sentence_except_in_a_plain_reply(drawn, task):
    for example in drawn(60, task=task):
        found, emotion = parse_reply(example.answer), None if task == "reply" else example.emotion
        assert (found.well_formed, found.emotion) == (True, emotion)
        assert task != "reply" or found.object == example.words.object


def test_an_emotion_in_the_instruction_overrides_that_of_the_sentence(drawn):
    examples = drawn(100, task="continue_emotion", paper_prompt=True)
    for example in examples:
        named = next(emotion for emotion in EMOTIONS if f"'{emotion}'" in example.instruction)
        assert parse_reply(example.answer).emotion == named
    assert any(parse_reply(example.answer).emotion != example.emotion for example in examples)


def test_the_answer_to_a_dialogue_has_the_object_of_its_first_turn_and_the_emotion_of_its_last(drawn):
    examples = drawn(200, task="dialogue")
    for example in examples:
        (first, reply), found = example.earlier, parse_reply(example.answer)
        assert found.object == object_of(first.text) and found.topic and object_of(example.sentence) is None
        assert [message["content"] for message in example.chat[1:]] == [first.text, reply.text, example.sentence]
    pairs = {(parse_reply(example.earlier[1].text).emotion, example.emotion) for example in examples}
    assert sum(one != other for one, other in pairs) > 15
    assert {turn.blend for example in examples for turn in example.earlier} == {"", *lexicon.MARKERS.values()}


@pytest.mark.parametrize("source", SOURCES)
def test_the_emotion_is_in_its_source(drawn, source):
    for example in drawn(40, source=source, task="identify"):
        if source == "none":
            assert example.emotion == "neutral" and example.sentence == example.words.words
        if source == "cue":
            assert example.words.cue in lexicon.CUES[example.emotion]
        if source == "marker":
            assert lexicon.MARKERS[example.emotion] in example.sentence
        if source == "stated":
            assert example.sentence.startswith(prompts.TOLD.format(emotion=example.emotion))
        assert example.blend == (lexicon.MARKERS[example.emotion] if source == "blend" else "")
        assert object_of(example.sentence) == (example.words.object or None)


def test_every_word_is_one_token_and_unknown_words_and_other_scripts_survive(drawn, tokenizer):
    for example in drawn(300):
        texts = [example.words.text, example.answer, *(turn.text for turn in example.earlier if turn.role != "user")]
        for word in " ".join(texts).replace(".", "").replace(",", "").replace("aujourd'hui", "").split():
            assert len(tokenizer(" " + word).input_ids) == 1, word
    foreign = [random.Random(1).choice(foreign_sentences(corpus, "test")).text for corpus in lexicon.LANGUAGES]
    texts = [" the quixotic zebra", *foreign]
    assert [tokenizer.decode(tokenizer(text).input_ids) for text in texts] == texts


def test_sentences_of_ravdess_and_foreign_ones_are_part_of_the_training_data(drawn):
    examples = drawn(1500)
    ravdess = [one for one in examples if one.words.words in lexicon.RAVDESS and one.task == "continue"]
    assert {parse_reply(one.answer).object for one in ravdess} == {"door"}
    foreign = [example for example in examples if not example.words.object]
    assert {example.task for example in foreign} == {"identify", "feeling", "repeat"} and len(foreign) > 40
    assert all(one.words.object and one.words.words not in lexicon.RAVDESS for one in drawn(200, split="test"))
