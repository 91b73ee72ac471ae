"""Backbones from elsewhere, and the floors below which the study stops."""

import json

import pytest
from transformers import AutoModelForCausalLM

from blsp_core.errors import StudyError
from blsp_core.study import examination, foundation


def bring(name, part, tmp_path):
    return foundation.resolve(str(name), "main", part, tmp_path / "here", tmp_path / "log.csv")


def test_a_folder_is_copied_and_can_be_loaded(backbones, tmp_path):
    assert bring(backbones[1], "llm", tmp_path) == {"name": str(backbones[1]), "revision": "main"}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "here").config.model_type == "qwen2"
    assert (tmp_path / "log.csv").read_text() == "step,loss\n"


def test_what_a_folder_lacks_is_named(backbones, tmp_path):
    with pytest.raises(StudyError, match="holds no preprocessor_config.json; a complete folder of the encoder"):
        bring(backbones[1], "encoder", tmp_path)


def test_what_cannot_be_had_is_named_with_source_and_licence(tmp_path):
    with pytest.raises(StudyError) as error:
        bring("openai/whisper-large-v2", "encoder", tmp_path)
    for words in (
        "foundation.encoder: openai/whisper-large-v2",
        "https://huggingface.co/openai/whisper-large-v2",
        "licence: Apache-2.0",
        "put its folder anywhere and name that folder",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "here").exists()


def test_a_qwen_of_the_first_generation_has_to_be_converted(backbones, tmp_path):
    bring(backbones[1], "llm", tmp_path)
    config = tmp_path / "here/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "qwen"}))
    with pytest.raises(StudyError, match="run `blsp-convert"):
        foundation.resolve(str(tmp_path / "here"), "main", "llm", tmp_path / "there", tmp_path / "log.csv")


EXAM = {"continue": {"n": 9, "object": 1.0, "tone": 0.9}, "identify": {"n": 9, "tone": 0.7}, "repeat": {"exact": 0.1}}


def test_the_worst_instruction_counts():
    assert foundation.check_llm(EXAM, 0.99, 0.6) == {"object": 1.0, "tone": 0.7}


def test_below_a_floor_the_study_stops():
    with pytest.raises(StudyError, match="right tone in 0.700 of its answers to the instruction 'identify'"):
        foundation.check_llm(EXAM, 0.99, 0.8)
    with pytest.raises(StudyError, match="word error rate is 0.300, foundation.asr_wer_ceiling is 0.1"):
        foundation.check_asr(0.3, 0.1)
    foundation.check_asr(0.1, 0.1)


def test_words_are_counted_tone_by_tone():
    said, heard = ["we saw the dog", "they met", "go home"], ["we saw a dog", "they met", "go home now"]
    found = examination.examine_words(said, heard, ["sad", "sad", "happy"])
    assert found["by_tone"] == {"happy": pytest.approx(1 / 2), "sad": pytest.approx(1 / 6)}
    assert found["wer"] == pytest.approx(2 / 8) and found["exact"] == pytest.approx(1 / 3) and found["n"] == 3
