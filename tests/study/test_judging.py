import random

import pytest

from blsp_core.data.manifest import EMOTIONS, Turn, Utterance, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation.judges import Asked, Grammar
from blsp_core.evaluation.tasks import dialogue, recognition, spoken_requests
from blsp_core.toy.grammar import draw_sentence, empathetic_reply, plain_reply


def utterance(text="how do i cook the soup today", emotion="sad", id="u1", speaker="voice"):
    return Utterance("sound.flac", text, emotion, id, speaker, "en", 2.0, "requests", "test")


def named(pairs):
    """Recognition rows of (reference, answer) pairs, three voices in turn."""
    spoken = [utterance(emotion=e, id=f"u{i}", speaker=f"voice {i % 3}") for i, (e, _) in enumerate(pairs)]
    return judging.judge(recognition("acted"), "blsp-emo", spoken, [answer for _, answer in pairs])


def marks(spoken, response):
    return Grammar().mark([Asked.of(spoken)], [response])[0]


def test_an_unparsed_answer_is_an_error_and_is_counted_apart():
    figures = judging.score(named([("sad", "sad"), ("sad", "who knows"), ("happy", "sad"), ("happy", "joyful")]))
    assert (figures["wa"], figures["ua"], figures["unparsed"], figures["n"]) == (0.5, 0.5, 0.25, 4)
    assert figures["confusion"]["sad"] == dict.fromkeys(EMOTIONS, 0) | {"sad": 1, "unparsed": 1}
    assert list(figures["confusion"]) == ["happy", "sad"]


def test_balanced_accuracy_and_f1_are_over_the_emotions_that_occur():
    figures = judging.score(named([("neutral", "neutral")] * 8 + [("sad", "neutral")] * 2))
    assert (figures["wa"], figures["ua"]) == (0.8, 0.5)
    assert figures["f1"] == pytest.approx((2 * 8 / (8 + 10)) / 2)


def test_the_bootstrap_counts_the_same_figures_as_the_scorer():
    rng = random.Random(0)
    rows = named([(rng.choice(EMOTIONS[:4]), rng.choice([*EMOTIONS, "who knows"])) for _ in range(200)])
    figures = judging.score(rows)
    for metric in ("wa", "ua", "f1", "unparsed"):
        found = judging.estimate([rows], metric, draws=50)
        assert found.value == pytest.approx(figures[metric])
        assert found.low < found.value < found.high


@pytest.mark.parametrize("tone", EMOTIONS)
def test_a_reply_in_the_speakers_tone_about_the_right_object_is_good_and_empathetic(tone):
    rng = random.Random(1)
    sentence = draw_sentence(rng, "test", request=True)
    found = marks(utterance(sentence.text, tone), empathetic_reply(rng, sentence, tone))
    assert (found["quality"], found["empathy"]) == (1, 1)


def test_quality_and_empathy_fail_apart():
    rng = random.Random(2)
    asked, other = (draw_sentence(rng, "test", request=True) for _ in range(2))
    assert asked.object != other.object
    spoken = utterance(asked.text, "sad")

    def judged(response):
        found = marks(spoken, response)
        return found["quality"], found["empathy"]

    assert judged(plain_reply(rng, asked)) == (1, 0)
    assert judged(empathetic_reply(rng, asked, "angry")) == (1, 0)
    assert judged(empathetic_reply(rng, other, "sad")) == (0, 1)
    assert judged("i am sorry that you feel so sad. the the the") == (0, 0)


def test_requests_are_scored_tone_by_tone():
    rng = random.Random(3)
    sentence = draw_sentence(rng, "test", request=True)
    spoken = [utterance(sentence.text, tone, id=tone) for tone in ("sad", "angry")]
    replies = [empathetic_reply(rng, sentence, "sad")] * 2
    figures = judging.score(judging.judge(spoken_requests(), "blsp-emo", spoken, replies))
    assert figures["tone_by_tone"] == {"sad": 1.0, "angry": 0.0}
    assert (figures["quality"], figures["empathy"], figures["n"]) == (1.0, 0.5, 2)


def test_a_dialogue_asks_for_the_object_of_its_first_turn_in_the_tone_of_its_last():
    rng = random.Random(4)
    asked, other = (draw_sentence(rng, "test", request=True) for _ in range(2))
    earlier = (Turn("user", asked.text, "first.flac", "happy", 1.0), Turn("assistant", "go on."))
    last = Utterance("s.flac", "what do i do now", "sad", "d1", "v", "en", 2.0, "dialogues", "test", earlier)
    replies = [
        empathetic_reply(rng, asked, "sad"),
        empathetic_reply(rng, asked, "happy"),
        empathetic_reply(rng, other, "sad"),
    ]
    rows = judging.judge(dialogue(), "blsp-emo", [last] * 3, replies)
    assert [(row["quality"], row["empathy"]) for row in rows] == [(1, 1), (1, 0), (0, 1)]
    assert rows[0]["turns"] == (("user", asked.text), ("assistant", "go on."), ("user", last.text))
    assert judging.cluster_of(rows[0]) == f"{asked.text} / {last.text}"


def test_two_systems_are_compared_utterance_by_utterance_in_any_order():
    right = named([(emotion, emotion) for emotion in EMOTIONS * 6])
    wrong = named([(emotion, "neutral") for emotion in EMOTIONS * 6])
    found = judging.compare([right], [wrong[::-1]], "wa", draws=200)
    assert found.value == pytest.approx(0.8)
    assert judging.compare([right], [wrong], "ua", draws=200).value == pytest.approx(0.8)


def test_systems_that_met_different_utterances_are_not_compared():
    rows = named([("sad", "sad"), ("happy", "sad")])
    with pytest.raises(StudyError, match="did not answer the same utterances of ser.acted"):
        judging.compare([rows], [rows[:1]], "wa")


def test_training_runs_are_compared_run_by_run_and_a_single_one_with_each():
    right = named([(emotion, emotion) for emotion in EMOTIONS * 6])
    wrong = named([(emotion, "neutral") for emotion in EMOTIONS * 6])
    assert judging.compare([right, wrong], [wrong, wrong], "wa").runs == pytest.approx((0.8, 0.0))
    assert judging.compare([right, wrong], [wrong], "f1").value == pytest.approx(
        judging.compare([right], [wrong], "f1").value / 2
    )
    with pytest.raises(StudyError, match="has 3 runs of ser.acted, blsp-emo has 2"):
        judging.compare([right] * 3, [wrong] * 2, "wa")


def test_runs_that_were_tested_on_folds_are_one_run_on_all_of_them():
    pairs = [("sad", "sad"), ("happy", "sad"), ("angry", "angry"), ("sad", "sad")]
    rows = named(pairs)
    folds, whole = [rows[:2], rows[2:]], [named([(said, said) for said, _ in pairs])]
    figures = judging.measure(folds, draws=50)
    assert (figures["wa"], figures["n"], figures["seeds"]) == (0.75, 4, 1) and "sd" not in figures
    assert judging.compare(whole, folds, "wa", draws=50).value == 0.25


def test_an_average_over_test_sets_gives_each_the_same_weight():
    many = named([("sad", "sad")] * 30), named([("sad", "happy")] * 30)
    few = named([("sad", "sad")] * 6), named([("sad", "sad")] * 6)
    sets = [([one], [other]) for one, other in (many, few)]
    assert judging.compare_sets(sets, "wa", draws=50).value == pytest.approx(0.5)


def test_figures_over_several_runs_are_means_with_their_spread():
    right, wrong = named([("sad", "sad"), ("happy", "happy")] * 9), named([("sad", "happy"), ("happy", "happy")] * 9)
    figures = judging.measure([right, wrong], draws=50)
    assert (figures["wa"], figures["seeds"], figures["n"]) == (0.75, 2, 18)
    assert figures["sd"]["wa"] == pytest.approx(0.5 / 2**0.5)
    assert figures["confusion"]["sad"]["happy"] == 9
    assert "sd" not in judging.measure([right], draws=50)


def test_a_reply_that_the_judge_left_unmarked_is_counted_and_not_guessed():
    marked = [{"quality": q, "empathy": e} for q, e in ((1.0, 0.5), (None, 0.7), (0.4, 0.9))]
    told = [{"reference": "sad", "text": f"t{i}", "id": f"{i}", "system": "s", "task": "requests"} for i in range(3)]
    rows = [one | two for one, two in zip(told, marked, strict=True)]
    figures = judging.measure([rows], draws=50)
    assert figures["quality"] == pytest.approx(0.7)
    assert figures["unjudged"] == pytest.approx(1 / 3)
    assert "well_formed" not in figures
    other = [row | {"quality": 0.2} for row in rows]
    assert judging.compare([rows], [other], "quality", draws=50).value == pytest.approx(0.5)


def test_a_system_that_skips_an_utterance_is_refused():
    with pytest.raises(StudyError, match="gave 1 responses to the 2 utterances of ser.acted"):
        judging.judge(recognition("acted"), "blsp", [utterance(), utterance(id="u2")], ["sad"])


def test_predictions_are_read_back_by_task_and_a_row_without_its_fields_is_named(tmp_path):
    rows = named([("sad", "sad")])
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    assert judging.read_predictions(tmp_path / "predictions.jsonl") == {"ser.acted": rows}
    write_jsonl(tmp_path / "predictions.jsonl", [*rows, {"id": "u2"}])
    with pytest.raises(StudyError, match="line 2: no system, task"):
        judging.read_predictions(tmp_path / "predictions.jsonl")
