import sys
from types import SimpleNamespace

import pytest

from blsp_core.errors import StudyError
from blsp_core.evaluation import judges, metrics
from blsp_core.evaluation.judges import FLIPPED, LOSS, TIE, WIN, Asked, ChatJudge, LocalChat
from blsp_core.inference import llm
from blsp_core.inference.llm import Answer

ASKED = Asked((("user", "how do i cook the soup"),), "sad")
ROW = {"id": "d0", "task": "dialogue", "text": "text", "speaker": "ann", "reference": "sad"}


class Scripted:
    """A chat LLM with given replies, which remembers the questions."""

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def __call__(self, chats):
        self.asked += [chat[-1]["content"] for chat in chats]
        return [self.replies.pop(0) for _ in chats]


def test_quality_and_empathy_are_asked_for_apart_and_marks_become_shares():
    chat = Scripted("Clear. [[8]]", "Cold. [[0]]")
    (found,) = ChatJudge("a-judge", chat).mark([ASKED], ["boil it"])
    assert (found["quality"], found["empathy"], found["judge"]) == (0.8, 0.0, "a-judge")
    quality, empathy = chat.asked
    assert "sounded sad" in empathy and "sad" not in quality
    assert all("boil it" in question and "user: how do i cook the soup" in question for question in chat.asked)


def test_a_verdict_without_one_clear_mark_is_not_guessed():
    for verdict in ("[[7]]", "first [[7]], and again [[7]]", "I cannot say that it is bad. [[7]]"):
        assert judges.read_mark(verdict) == 0.7, verdict
    for verdict in ("[[7]] or [[8]]", "[[11]]", "about 7 of 10", " ", "I'm sorry, but I can't judge this."):
        assert judges.read_mark(verdict) is None, verdict


VERDICTS = {  # in the order of the systems, and swapped -> outcome
    ("[[A]]", "[[B]]"): WIN, ("[[B]]", "[[A]]"): LOSS, ("[[C]]", "[[C]]"): TIE,
    ("[[A]]", "[[A]]"): FLIPPED, ("[[A]]", "[[C]]"): FLIPPED,
    ("[[A]]", "As an AI I do not judge."): None, ("[[A]] or [[B]]", "[[B]]"): None,
}  # fmt: skip


@pytest.mark.parametrize("replies", VERDICTS)
def test_a_win_needs_both_orders(replies):
    chat = Scripted(*replies)
    found = ChatJudge("a-judge", chat).prefer([ROW | {"response": "mine"}], [ROW | {"response": "theirs"}])
    assert found == [VERDICTS[replies]]
    assert [question.index("mine") < question.index("theirs") for question in chat.asked] == [True, False]


def test_rates_leave_out_what_was_not_judged_and_say_how_much_that_is():
    run = [WIN, FLIPPED, LOSS, WIN, None]
    found = metrics.preference_rates([run])
    wanted = {"win": 0.5, "tie": 0.25, "loss": 0.25, "flips": 0.25, "unjudged": 0.2}
    assert found == pytest.approx(wanted)
    for metric in ("preference", "unbeaten"):
        assert metrics.estimate_preference([run], range(5), metric).value == pytest.approx(0.25)


def test_a_judge_of_whose_first_replies_none_can_be_read_stops_and_is_asked_no_more():
    chat = Scripted(*["Good, I would say 8 of 10."] * 60)
    with pytest.raises(StudyError, match=r"none of the first 20 verdicts of a-judge can be read, one is .*8 of 10"):
        ChatJudge("a-judge", chat).mark([ASKED] * 30, ["boil it"] * 30)
    assert len(chat.asked) == 20
    rows = [ROW | {"response": "boil it"}] * 30
    with pytest.raises(StudyError, match="wanted is a last line as"):
        ChatJudge("a-judge", Scripted(*["A is better."] * 60)).prefer(rows, rows)


def test_single_verdicts_that_cannot_be_read_are_counted():
    chat = Scripted("[[8]]", *["who knows"] * 49)
    found = ChatJudge("a-judge", chat).mark([ASKED] * 25, ["boil it"] * 25)
    marks = [row[name] for row in found for name in ("quality", "empathy")]
    assert (len(chat.asked), marks.count(None), found[0]["quality"]) == (50, 49, 0.8)
    assert metrics.measure([[row | ROW for row in found]])["unjudged"] == 1


def test_a_local_judge_answers_the_same_question_once_and_keeps_replies_as_they_come(tmp_path, monkeypatch):
    questions = [[{"role": "user", "content": f"the soup {i}"}] for i in range(100)]
    asked, batch = [], 8 * LocalChat.batch_size

    def answer(model, tokenizer, chats, *_):
        asked.extend(chats)
        if len(asked) > batch:
            raise KeyboardInterrupt
        return [Answer("[[3]]")] * len(chats)

    monkeypatch.setattr(llm, "load", lambda name: (name, None))
    monkeypatch.setattr(llm, "answer", answer)
    with pytest.raises(KeyboardInterrupt):
        LocalChat("a-model", tmp_path).chat(questions)
    assert len(list(tmp_path.glob("*.json"))) == batch
    asked.clear()
    assert LocalChat("a-model", tmp_path).chat(questions) == ["[[3]]"] * 100 and asked == questions[batch:]
    assert LocalChat("a-model", tmp_path).chat(questions[:3]) == ["[[3]]"] * 3 and len(asked) == 36


def test_the_settings_name_the_judge(tmp_path, monkeypatch):
    assert judges.load("", "", tmp_path) is None
    endpoint = SimpleNamespace(Endpoint=lambda url, model, cache: SimpleNamespace(chat=(url, model, cache)))
    monkeypatch.setitem(sys.modules, "blsp_core.inference.endpoint", endpoint)
    assert judges.load("a-model", "https://host/v1", tmp_path).chat == ("https://host/v1", "a-model", tmp_path)
    monkeypatch.setitem(sys.modules, "blsp_core.toy.judge", SimpleNamespace(ToyJudge=lambda: "the toy judge"))
    assert judges.load("toy", "", tmp_path) == "the toy judge"
