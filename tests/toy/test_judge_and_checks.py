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

REQUEST = SimpleNamespace(turns=(("user", "how do i cook the soup"),), emotion="sad")
OPENING = "alas, i am sorry that you feel so sad."
ADVICE = "like cooks you could add some salt to the soup."
QUESTION = "please tell me more about the soup."


def marked(asked, reply) -> tuple[int, int]:
    (found,) = ToyJudge().mark([asked], [reply])
    return found["quality"], found["empathy"]


def test_quality_is_advice_on_the_object_and_empathy_the_emotion_of_the_opening():
    assert marked(REQUEST, f"{OPENING} {ADVICE}") == (1, 1)
    assert marked(REQUEST, ADVICE) == (1, 0)
    assert marked(REQUEST, f"argh, i understand that you are angry. {ADVICE}") == (1, 0)
    assert marked(REQUEST, f"{OPENING} {ADVICE.replace('soup', 'cake')}") == (0, 1)
    assert marked(REQUEST, f"{OPENING} {ADVICE} the") == (0, 0)


def test_a_question_has_empathy_but_no_quality_and_does_not_end_a_dialogue():
    assert marked(REQUEST, f"{OPENING} {QUESTION}") == (0, 1)
    turns = (("user", "we saw my uncle with the soup"), ("assistant", "please go on."), ("user", "what can i do"))
    dialogue = SimpleNamespace(turns=turns, emotion="sad")
    assert marked(dialogue, f"{OPENING} {QUESTION}") == (0, 0)
    assert marked(dialogue, f"{OPENING} {ADVICE}") == (1, 1)


def test_quality_decides_preferences_before_empathy():
    pairs = [(1, 0), (1, 1), (0, 0), (1, 1)], [(0, 1), (1, 0), (0, 1), (1, 1)]
    first, second = ([{"quality": quality, "empathy": empathy} for quality, empathy in rows] for rows in pairs)
    assert ToyJudge().prefer(first, second) == ["win", "win", "loss", "tie"]


@pytest.fixture
def requests():
    lines = plan("requests", "validation", 8, 1)
    utterances = [Utterance("", x.text, x.emotion, str(i), "", "en", 1.0, "", "") for i, x in enumerate(lines)]
    return utterances, [empathetic_reply(random.Random(1), line.sentence, line.emotion) for line in lines]


def test_a_malformed_reply_is_wrong_in_all(requests):
    utterances, replies = requests
    right = checks.judge_replies(utterances, replies)
    assert (right["well_formed"], right["object"], right["emotion"], right["n"]) == (1, 1, 1, 8)
    assert right["by_emotion"] == {"neutral": 1, "happy": 1, "sad": 1, "angry": 1}
    broken = checks.judge_replies(utterances, [reply.removesuffix(".") + " the" for reply in replies])
    assert (broken["well_formed"], broken["object"], broken["emotion"]) == (0, 0, 0)


def test_named_emotions_are_counted_by_emotion(requests):
    answers = [NAMED.format(emotion=emotion) for emotion in ("neutral", "sad", "sad")] + ["hard to say"]
    found = checks.judge_names(requests[0][:4], answers)
    assert found["emotion"] == pytest.approx(2 / 4) and found["n"] == 4
    assert found["by_emotion"] == {"neutral": 1, "happy": 0, "sad": 1, "angry": 0}
    assert found["named"]["sad"] == pytest.approx(2 / 4) and sum(found["named"].values()) == pytest.approx(3 / 4)


def test_every_instruction_is_scored_by_what_its_answer_has(tokenizer):
    found = checks.instruction_accuracy(llm.build_llm(tokenizer, 8, 1, 1, 8), tokenizer, 2, 1)
    scores = {task: set(row) - {"n"} for task, row in found.items()}
    assert list(scores) == list(SHARES) and scores["dialogue"] == scores["continue"] == {"object", "emotion"}
    assert (scores["identify"], scores["reply"], scores["repeat"]) == ({"emotion"}, {"object"}, {"exact"})


ACCURACY = {"continue": {"n": 9, "object": 1.0, "emotion": 0.9}, "identify": {"emotion": 0.7}, "repeat": {"exact": 0.1}}


def test_the_worst_instruction_counts():
    assert checks.check_llm(ACCURACY, 0.6) == {"object": 1.0, "emotion": 0.7}


def test_beyond_a_threshold_the_study_stops():
    with pytest.raises(StudyError, match="right emotion in 0.700 of its answers to the instruction 'identify'"):
        checks.check_llm(ACCURACY, 0.8)
    with pytest.raises(StudyError, match="word error rate is 0.300, whisper.max_wer is 0.1"):
        checks.check_whisper(0.3, 0.1)
    checks.check_whisper(0.1, 0.1)
