"""The name of an emotion, read from a free answer."""

import pytest

from blsp_core.data.emotions import parse_emotion


@pytest.mark.parametrize(
    ("answer", "emotion"),
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
