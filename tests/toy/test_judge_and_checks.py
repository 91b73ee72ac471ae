"""The judge of the miniature, thresholds of the backbones, and the scores of a trained model's answers."""

import random
from types import SimpleNamespace

import pytest

from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.toy import checks, llm
from blsp_core.toy.corpora import plan
from blsp_core.toy.grammar import NAMED, empathetic_reply
from blsp_core.toy.instruction_data import SHARES
from blsp_core.toy.judge import ToyJudge

REQUEST = (("user", "how do i cook the soup"),)
DIALOGUE = (("user", "we saw my uncle with the soup"), ("assistant", "please go on."), ("user", "what can i do"))
OPENING = "alas, i am sorry that you feel so sad."
ADVICE = "like cooks you could add some salt to the soup."
QUESTION = "please tell me more about the soup."


@pytest.mark.parametrize(
    "turns, reply, quality, empathy",
    [
        (REQUEST, f"{OPENING} {ADVICE}", 1, 1),
        (REQUEST, ADVICE, 1, 0),
        (REQUEST, f"argh, i understand that you are angry. {ADVICE}", 1, 0),
        (REQUEST, f"{OPENING} {ADVICE.replace('soup', 'cake')}", 0, 1),
        (REQUEST, f"{OPENING} {ADVICE} the", 0, 0),
        (REQUEST, f"{OPENING} {QUESTION}", 0, 1),
        (DIALOGUE, f"{OPENING} {QUESTION}", 0, 0),  # a question does not end a dialogue
        (DIALOGUE, f"{OPENING} {ADVICE}", 1, 1),
    ],
)
def test_quality_is_advice_on_the_object_and_empathy_the_emotion_of_the_opening(turns, reply, quality, empathy):
    (found,) = ToyJudge().mark([SimpleNamespace(turns=turns, emotion="sad")], [reply])
    assert (found["quality"], found["empathy"]) == (quality, empathy)


def test_quality_decides_preferences_before_empathy():
    pairs = [(1, 0), (1, 1), (0, 0), (1, 1)], [(0, 1), (1, 0), (0, 1), (1, 1)]
    first, second = ([{"quality": quality, "empathy": empathy} for quality, empathy in rows] for rows in pairs)
    assert ToyJudge().prefer(first, second) == ["win", "win", "loss", "tie"]


def test_replies_and_named_emotions_are_counted_by_emotion_and_a_malformed_reply_is_wrong_in_all():
    lines = plan("requests", "validation", 8, 1)
    utterances = [Utterance("", x.text, x.emotion, str(i), "", "en", 1.0, "", "") for i, x in enumerate(lines)]
    replies = [empathetic_reply(random.Random(1), line.sentence, line.emotion) for line in lines]
    by_emotion = {"neutral": 1, "happy": 1, "sad": 1, "angry": 1}
    right = {"well_formed": 1, "object": 1, "emotion": 1, "by_emotion": by_emotion, "n": 8}
    assert checks.judge_replies(utterances, replies) == right
    broken = checks.judge_replies(utterances, [reply.removesuffix(".") + " the" for reply in replies])
    assert (broken["well_formed"], broken["object"], broken["emotion"]) == (0, 0, 0)
    answers = [NAMED.format(emotion=emotion) for emotion in ("neutral", "sad", "sad")] + ["hard to say"]
    found = checks.judge_names(utterances[:4], answers)
    assert found["emotion"] == 0.5 and found["by_emotion"] == {"neutral": 1, "happy": 0, "sad": 1, "angry": 0}
    assert found["named"]["sad"] == 0.5 and sum(found["named"].values()) == 0.75


def test_every_instruction_is_scored_by_what_its_answer_has(tokenizer):
    found = checks.instruction_accuracy(llm.build_llm(tokenizer, 8, 1, 1, 8), tokenizer, 2, 1)
    scores = {task: set(row) - {"n"} for task, row in found.items()}
    assert list(scores) == list(SHARES) and scores["dialogue"] == scores["continue"] == {"object", "emotion"}
    assert (scores["identify"], scores["reply"], scores["repeat"]) == ({"emotion"}, {"object"}, {"exact"})


def test_the_worst_instruction_counts_and_beyond_a_threshold_the_study_stops():
    accuracy = {"continue": {"object": 1.0, "emotion": 0.9}, "identify": {"emotion": 0.7}, "repeat": {"exact": 0.1}}
    assert checks.check_llm(accuracy, 0.6) == {"object": 1.0, "emotion": 0.7}
    with pytest.raises(StudyError, match="right emotion in 0.700 of its answers to the instruction 'identify'"):
        checks.check_llm(accuracy, 0.8)
    checks.check_whisper(0.1, 0.1)
    with pytest.raises(StudyError, match="word error rate is 0.300, whisper.max_wer is 0.1"):
        checks.check_whisper(0.3, 0.1)
