"""Which prompt the LLM gets, and which of its continuations become targets."""

from dataclasses import replace

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance, of_row
from blsp_core.errors import StudyError
from blsp_core.inference import continuations
from blsp_core.inference.continuations import clean, fault, reasons, without_restatement, write_continuations

UTTERANCE = Utterance("a.flac", "we saw the dog at home", "sad", "a-1", "m1", "en", 2.0, "acted", "train")
ROW = {"instruction": prompts.CONTINUE, **vars(UTTERANCE), "output": "it was a sad moment."}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"output": "  "}, "empty"),
        ({"duration": 0.4}, "duration outside 1-30 s"),
        ({"duration": 31.0}, "duration outside 1-30 s"),
        ({"output": "I'm sorry, but I cannot continue this."}, "refusal"),
        ({"output": "As an AI, I have no dog."}, "refusal"),
        ({"output": "We saw the dog at home again."}, "repeats the sentence"),
        ({"output": "“We saw the dog, at home.”"}, "repeats the sentence"),
        ({"output": "i am sorry that you feel so sad."}, None),
    ],
)
def test_what_cannot_be_a_target_has_a_reason(change, reason):
    assert fault(without_restatement(ROW | change)) == reason


def test_rejects_are_kept_and_counted():
    kept, rejected = clean([ROW, ROW | {"output": ""}, ROW | {"output": ""}, ROW | {"duration": 0.1}])
    assert kept == [ROW]
    assert reasons(rejected) == {"empty": 2, "duration outside 1-30 s": 1}


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("We saw the dog at home. It was asleep.", "It was asleep."),
        ("“We saw the dog at home,” she said quietly.", "she said quietly."),
        ("we saw the dog at home and then it ran away", "and then it ran away"),
    ],
)
def test_what_follows_a_restated_sentence_is_the_target(output, target):
    (row,), rejected = clean([ROW | {"output": output}])
    assert (row["output"], row["restated"], rejected) == (target, True, [])


def test_a_word_that_only_begins_like_the_sentence_is_no_restatement():
    row = ROW | {"output": "we saw the dog at homecoming and were glad"}
    assert clean([row]) == ([row], [])
    again = ROW | {"output": "We saw the dog at home again."}
    assert clean([again])[1] == [again | {"reason": "repeats the sentence"}]


@pytest.fixture(scope="module")
def llm(backbones):
    return AutoModelForCausalLM.from_pretrained(backbones[1]).eval(), AutoTokenizer.from_pretrained(backbones[1])


def write(llm, utterances, **settings):
    settings = {"emotional": True, "writer": "llm", "max_new_tokens": 6, "batch_size": 2} | settings
    return write_continuations(*llm, utterances, **settings)


def test_a_row_has_its_utterance_and_the_prompt(llm):
    (row,) = write(llm, [UTTERANCE])
    assert row["instruction"] == prompts.CONTINUE_EMOTION.format(emotion="sad") and row["writer"] == "llm"
    assert of_row(row) == UTTERANCE
    assert write(llm, [UTTERANCE], emotional=False)[0]["instruction"] == prompts.CONTINUE


def test_what_the_limit_cuts_is_marked(llm):
    (row,) = write(llm, [UTTERANCE], max_new_tokens=3)
    assert row["early_stop"] is True


def test_an_utterance_without_a_label_has_no_emotional_continuation(llm):
    with pytest.raises(StudyError, match="a-1: has no emotion label"):
        write(llm, [replace(UTTERANCE, emotion="")])
    assert write(llm, [replace(UTTERANCE, emotion="")], emotional=False)


def test_a_repeated_sentence_is_a_target_of_the_repeat_prompt():
    again = ROW | {"instruction": prompts.REPEAT, "output": ROW["text"]}
    assert fault(again) is None
    assert fault(again | {"output": "something else"}) == "does not repeat the sentence"


def test_a_second_llm_gets_the_same_prompt_and_its_rows_say_so(llm, backbones, tmp_path):
    settings = {"root": backbones[1].parent, "cache": tmp_path, "max_new_tokens": 6, "batch_size": 2}
    (row,) = continuations.write_elsewhere({"model": "llm"}, [UTTERANCE], **settings)
    (own,) = write(llm, [UTTERANCE])
    assert row == own | {"writer": "other"}
    (tmp_path / "second_llm").mkdir()
    with pytest.raises(StudyError, match="second_llm holds no LLM; set llm.second .* other_writer to null"):
        continuations.write_elsewhere({"model": "second_llm"}, [UTTERANCE], **settings | {"root": tmp_path})


def test_a_refusal_of_the_service_is_rejected():
    assert fault(ROW | {"refused": True, "output": ""}) == "refusal"
    assert fault(ROW | {"refused": False}) is None
