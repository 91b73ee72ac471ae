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
        ("rather than angry, the speaker is surprised", "surprise"),
        ("They don’t sound sad; they sound joyful", "happy"),
        ("", None),
        ("I cannot tell.", None),
        ("happy or sad", None),
        ("The speaker does not sound very happy", None),
        ("The meeting was unhelpful", None),
        ("neither angry nor sad", None),
    ],
)
def test_a_free_answer_is_read_only_where_it_names_exactly_one_emotion(answer, emotion):
    assert parse_emotion(answer) == emotion
