"""The targets: what the LLM is told, and which of its continuations are thrown out."""

from dataclasses import replace

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.inference import continuations
from blsp_core.inference.continuations import clean, fault, reasons, write_continuations

SAID = Utterance("a.flac", "we saw the dog at home", "sad", "a-1", "m1", "en", 2.0, "acted", "train")
ROW = {"instruction": prompts.CONTINUE, **vars(SAID), "output": "it was a sad moment."}


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
        ({"output": "i am sorry that you feel so sad."}, None),
    ],
)
def test_what_cannot_serve_as_a_target_is_told_why(change, reason):
    assert fault(ROW | change) == reason


def test_rejects_are_kept_and_counted():
    kept, rejected = clean([ROW, ROW | {"output": ""}, ROW | {"output": ""}, ROW | {"duration": 0.1}])
    assert kept == [ROW]
    assert reasons(rejected) == {"empty": 2, "duration outside 1-30 s": 1}


@pytest.fixture(scope="module")
def llm(backbones):
    return AutoModelForCausalLM.from_pretrained(backbones[1]).eval(), AutoTokenizer.from_pretrained(backbones[1])


def write(llm, utterances, **settings):
    settings = {"emotional": True, "writer": "llm", "max_new_tokens": 6, "batch_size": 2} | settings
    return write_continuations(*llm, utterances, **settings)


def test_a_row_has_all_of_its_utterance_and_what_was_asked(llm):
    (row,) = write(llm, [SAID])
    assert row["instruction"] == prompts.CONTINUE_EMOTION.format(emotion="sad") and row["writer"] == "llm"
    assert continuations.utterances([row]) == [SAID]
    assert write(llm, [SAID], emotional=False)[0]["instruction"] == prompts.CONTINUE


def test_a_continuation_does_not_depend_on_its_neighbours(llm):
    said = [replace(SAID, id=str(n), text="the dog " * n + "at home") for n in (1, 9, 3, 5)]
    together = [row["output"] for row in write(llm, said, batch_size=4)]
    assert together == [write(llm, [one])[0]["output"] for one in said]
    assert len(set(together)) > 1


def test_what_the_limit_cuts_is_marked(llm):
    (row,) = write(llm, [SAID], max_new_tokens=3)
    assert row["early_stop"] is True


def test_an_utterance_without_a_label_cannot_be_continued_in_its_tone(llm):
    with pytest.raises(StudyError, match="a-1: has no emotion label"):
        write(llm, [replace(SAID, emotion="")])
    assert write(llm, [replace(SAID, emotion="")], emotional=False)


def test_a_sentence_said_again_serves_where_that_was_asked_for():
    again = ROW | {"instruction": prompts.REPEAT, "output": ROW["text"]}
    assert fault(again) is None
    assert fault(again | {"output": "something else"}) == "does not repeat the sentence"


def test_another_llm_is_told_the_same_and_its_rows_say_so(llm, backbones, tmp_path):
    manner = {"cache": tmp_path, "max_new_tokens": 6, "batch_size": 2}
    (row,) = continuations.write_elsewhere({"model": str(backbones[1])}, [SAID], **manner)
    (own,) = write(llm, [SAID])
    assert row == own | {"writer": "other"}


def test_what_a_writer_declined_to_write_is_a_refusal():
    assert fault(ROW | {"refused": True, "output": ""}) == "refusal"
    assert fault(ROW | {"refused": False}) is None


def test_a_second_llm_that_was_not_raised_is_named_with_its_setting(tmp_path):
    (tmp_path / "foundation/other").mkdir(parents=True)
    assert continuations.second_llm(tmp_path, "foundation/other") == tmp_path / "foundation/other"
    with pytest.raises(StudyError, match="foundation/third.*foundation.other_steps is 0.*other_writer: null"):
        continuations.second_llm(tmp_path, "foundation/third")
