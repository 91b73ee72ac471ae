from dataclasses import replace
from types import SimpleNamespace

import pytest

from blsp_core.data.manifest import Turn, Utterance, write_manifest
from blsp_core.data.prompts import IDENTIFY, SYSTEM_EMPATHY
from blsp_core.errors import StudyError
from blsp_core.evaluation import tasks

ROW = Utterance("b.wav", "what should i do about it", "angry", "d-1", "m1", "en", 1.0, "d", "test")


def task_list(ser: list[str], requests: str, dialogues: str) -> list[tasks.Task]:
    longest = {"ser": 8, "reply": 16}
    return tasks.task_list(SimpleNamespace(ser=ser, requests=requests, dialogues=dialogues, max_new_tokens=longest))


def test_the_tasks_of_a_scale_are_its_corpora_under_the_papers_prompts():
    acted, talk, requests, dialogue = task_list(["acted", "talk"], "requests", "dialogues")
    assert [acted.name, talk.name, requests.name, dialogue.name] == ["ser.acted", "ser.talk", "requests", "dialogue"]
    assert (acted.instruction, acted.max_new_tokens, acted.manifest) == (IDENTIFY, 8, "manifests/acted.test.jsonl")
    for task in (requests, dialogue):
        assert (task.system, task.instruction, task.max_new_tokens) == (SYSTEM_EMPATHY, "", 16)
    assert (dialogue.kind, dialogue.manifest) == ("dialogue", "manifests/dialogues.test.jsonl")


def test_folds_of_a_corpus_are_parts_of_one_task_and_the_showcase_is_not_measured():
    first, second = task_list(["ravdess.fold1", "ravdess.fold2"], "", "")
    assert first.name == second.name == "ser.ravdess"
    assert tasks.showcase().kind == "requests" and not tasks.showcase().measured


def test_only_a_dialogue_has_the_earlier_turns_and_recognition_needs_an_emotion(tmp_path):
    history = (Turn("user", "we saw the cat", "a.wav", "sad", 1.0), Turn("assistant", "please go on."))
    write_manifest(tmp_path / "d.jsonl", [replace(ROW, history=history)])
    dialogue = tasks.spoken_requests("d", kind="dialogue")
    assert dialogue.utterances(tmp_path / "d.jsonl") == [replace(ROW, history=history)]
    for task in (tasks.recognition("d"), tasks.spoken_requests("d")):
        assert task.utterances(tmp_path / "d.jsonl") == [ROW]
    write_manifest(tmp_path / "d.jsonl", [replace(ROW, emotion=""), replace(ROW, id="d-2")])
    with pytest.raises(StudyError, match="1 of 2 utterances have no emotion, the first is d-1; the task ser.d asks"):
        tasks.recognition("d").utterances(tmp_path / "d.jsonl")
