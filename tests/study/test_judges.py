import json

import pytest

from blsp_core.evaluation import judges, pairwise
from blsp_core.evaluation.judges import LOSS, TIE, WIN, Asked, ChatJudge, Grammar, LocalChat, Preference

ASKED = Asked((("user", "how do i cook the soup"),), "sad")


def row(number=0, response="a reply", quality=1, empathy=1):
    told = {"id": f"d{number}", "system": "s", "task": "dialogue", "text": f"text {number}", "reference": "sad"}
    return told | {"response": response, "quality": quality, "empathy": empathy}


class Scripted:
    """A chat LLM that says what it is told to, and remembers what it was asked."""

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


@pytest.mark.parametrize(
    "said, mark, how",
    [
        ("[[7]]", 0.7, judges.MARKED),
        ("first [[7]], and again [[7]]", 0.7, judges.MARKED),
        ("[[7]] or [[8]]", None, judges.UNPARSED),
        ("[[11]]", None, judges.UNPARSED),
        ("about 7 of 10", None, judges.UNPARSED),
        (" ", None, judges.REFUSED),
        ("I'm sorry, but I can't judge this.", None, judges.REFUSED),
        ("I’m unable to judge.", None, judges.REFUSED),
        ("I cannot say that it is bad. [[6]]", 0.6, judges.MARKED),
    ],
)
def test_a_verdict_without_one_clear_mark_is_not_guessed(said, mark, how):
    assert judges.read_mark(said) == (mark, how)


@pytest.mark.parametrize(
    "straight, swapped, outcome, flipped",
    [
        ("[[A]]", "[[B]]", WIN, False),
        ("[[B]]", "[[A]]", LOSS, False),
        ("[[C]]", "[[C]]", TIE, False),
        ("[[A]]", "[[A]]", TIE, True),
        ("[[A]]", "[[C]]", TIE, True),
        ("[[A]]", "As an AI I do not judge.", None, False),
        ("[[A]] or [[B]]", "[[B]]", None, False),
    ],
)
def test_a_win_needs_both_orders(straight, swapped, outcome, flipped):
    chat = Scripted(straight, swapped)
    found = ChatJudge("a-judge", chat).prefer([row(response="mine")], [row(response="theirs")])
    assert found == [Preference(outcome, flipped)]
    assert [question.index("mine") < question.index("theirs") for question in chat.asked] == [True, False]


def test_the_grammar_prefers_help_to_kindness_and_kindness_among_equals():
    marks = [(1, 0), (1, 1), (0, 0), (1, 1)], [(0, 1), (1, 0), (0, 1), (1, 1)]
    first, second = ([row(quality=q, empathy=e) for q, e in pairs] for pairs in marks)
    assert [p.outcome for p in Grammar().prefer(first, second)] == [WIN, WIN, LOSS, TIE]


def test_rates_leave_out_what_was_not_judged_and_say_how_much_that_is():
    run = [Preference(WIN), Preference(TIE, flipped=True), Preference(LOSS), Preference(WIN), Preference(None)]
    found = pairwise.rates([run])
    assert {name: found[name] for name in ("win", "tie", "loss", "flips", "unjudged", "n")} == pytest.approx(
        {"win": 0.5, "tie": 0.25, "loss": 0.25, "flips": 0.25, "unjudged": 0.2, "n": 5}
    )
    assert pairwise.estimate([run], range(5), draws=50).value == pytest.approx(0.25)
    assert pairwise.estimate([run], range(5), "unbeaten", draws=50).value == pytest.approx(0.25)


def test_one_system_meets_every_other_over_all_its_runs():
    better, worse = ([row(n, quality=q) for n in range(6)] for q in (1, 0))
    predictions = {"blsp-emo": {1: {"dialogue": better}, 2: {"dialogue": worse}}, "text+llm": {1: {"dialogue": worse}}}
    predictions["blsp"] = {1: {"requests": worse}}
    found = pairwise.against_all(predictions, draws=50)
    assert list(found) == ["blsp-emo.vs.text+llm"]
    figures = found["blsp-emo.vs.text+llm"]
    assert (figures["win"], figures["tie"], figures["seeds"], figures["sd"]["win"]) == pytest.approx(
        (0.5, 0.5, 2, 0.5**0.5)
    )


def test_a_local_judge_answers_the_same_question_once(tmp_path, backbones, monkeypatch):
    question = [[{"role": "system", "content": "judge"}, {"role": "user", "content": "the soup"}]]
    local = LocalChat(backbones[1], tmp_path, max_new_tokens=3)
    first = local.chat(question)
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text())["reply"] == first[0]
    monkeypatch.setattr(LocalChat, "_answer", lambda *_: pytest.fail("asked again"))
    assert LocalChat(backbones[1], tmp_path, max_new_tokens=3).chat(question) == first


def test_the_settings_name_the_judge(tmp_path):
    assert judges.load("grammar", "", tmp_path).name == "grammar"
    assert judges.load("some/chat-model", "", tmp_path).name == "some/chat-model"


def test_to_ask_for_more_is_kind_but_no_help():
    advice, question = "like cooks you could add some salt to the soup.", "please tell me more about the soup."
    kind = "alas, i am sorry that you feel so sad."
    helped, asked_back = Grammar().mark([ASKED, ASKED], [f"{kind} {advice}", f"{kind} {question}"])
    assert (helped["quality"], helped["empathy"]) == (1, 1)
    assert (asked_back["quality"], asked_back["empathy"]) == (0, 1)
