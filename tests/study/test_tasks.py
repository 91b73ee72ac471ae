from types import SimpleNamespace

import pytest

from blsp_core.study.prompts import IDENTIFY, SYSTEM_EMPATHY
from blsp_core.study.tasks import parse_emotion, task_list


@pytest.mark.parametrize(
    "answer, emotion",
    [
        ("The emotion tone of the speech provided is neutral.", "neutral"),
        ("The speaker sounds rather cheerful!", "happy"),
        ("Sadness.", "sad"),
        ("furious, plainly angry", "angry"),
        ("She is surprised", "surprise"),
        ("The tone is sad, not angry.", "sad"),
        ("not sad but happy", "happy"),
        ("rather than angry, the speaker is surprised", "surprise"),
        ("They don’t sound sad; they sound joyful", "happy"),
    ],
)
def test_a_free_sentence_that_names_one_emotion_is_read(answer, emotion):
    assert parse_emotion(answer) == emotion


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot tell.",
        "happy or sad",
        "The speaker does not sound very happy",
        "The options are neutral, sad, angry, happy, or surprise.",
        "The meeting was unhelpful",
        "neither angry nor sad",
    ],
)
def test_an_answer_without_exactly_one_emotion_is_never_a_guess(answer):
    assert parse_emotion(answer) is None


def test_the_tasks_of_a_scale_are_its_corpora_under_the_papers_prompts():
    settings = SimpleNamespace(ser=["acted", "talk"], requests="requests", split="test", ser_tokens=8, reply_tokens=16)
    acted, talk, requests = task_list(settings)
    assert [acted.name, talk.name, requests.name] == ["ser.acted", "ser.talk", "requests"]
    assert (acted.instruction, acted.max_new_tokens, acted.manifest) == (IDENTIFY, 8, "manifests/acted.test.jsonl")
    assert (requests.system, requests.instruction, requests.max_new_tokens) == (SYSTEM_EMPATHY, "", 16)


def test_a_scale_without_spoken_requests_has_recognition_only():
    settings = SimpleNamespace(ser=["ravdess"], requests="", split="test", ser_tokens=8, reply_tokens=16)
    assert [task.name for task in task_list(settings)] == ["ser.ravdess"]
