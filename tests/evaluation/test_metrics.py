import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import metrics
from blsp_core.evaluation.tasks import dialogue, recognition, spoken_requests


def utterance(text="how do i cook the soup today", emotion="sad", id="u1", speaker="voice"):
    return Utterance("clip.flac", text, emotion, id, speaker, "en", 2.0, "requests", "test")


def named(pairs):
    """Recognition rows of (reference, answer) pairs, three speakers in turn."""
    spoken = [utterance(emotion=e, id=f"u{i}", speaker=f"voice {i % 3}") for i, (e, _) in enumerate(pairs)]
    return metrics.judge(recognition("acted"), "blsp-emo", spoken, [answer for _, answer in pairs])


def test_an_unparsed_answer_is_an_error_and_is_counted_apart():
    figures = metrics.measure([named([("sad", "sad"), ("sad", "who knows"), ("happy", "sad"), ("happy", "joyful")])])
    assert (figures["wa"], figures["ua"], figures["unparsed"], figures["n"]) == (0.5, 0.5, 0.25, 4)
    assert figures["confusion"]["sad"] == dict.fromkeys(EMOTIONS, 0) | {"sad": 1, "unparsed": 1}
    assert list(figures["confusion"]) == ["happy", "sad"]


def test_the_figures_are_those_of_scikit_learn_and_their_intervals_contain_them():
    rng = random.Random(0)
    rows = named([(rng.choice(EMOTIONS[:4]), rng.choice([*EMOTIONS, "who knows"])) for _ in range(200)])
    truth, found = ([row[key] or "none" for row in rows] for key in ("reference", "predicted"))
    macro = {"labels": EMOTIONS[:4], "average": "macro"}
    wanted = {
        "wa": accuracy_score(truth, found),
        "ua": recall_score(truth, found, **macro),
        "f1": f1_score(truth, found, **macro),
    }
    for metric, value in wanted.items():
        one = metrics.estimate([rows], metric)
        assert one.value == pytest.approx(value) == metrics.measure([rows])[metric]
        assert one.low < one.value < one.high


@pytest.mark.parametrize("metric", ["ua", "f1"])
def test_the_standard_error_of_a_figure_that_is_no_mean_is_that_of_the_bootstrap(metric):
    rng, draw = random.Random(1), np.random.default_rng(1)
    pairs = [(e, e if rng.random() < 0.7 else rng.choice(EMOTIONS)) for e in rng.choices(EMOTIONS[:3], k=300)]
    rows = [row | {"speaker": str(i % 60)} for i, row in enumerate(named(pairs))]
    speakers = np.array([int(row["speaker"]) for row in rows])
    drawn = []
    for _ in range(300):
        chosen = np.concatenate([np.flatnonzero(speakers == s) for s in draw.integers(0, 60, 60)])
        drawn.append(metrics.figure([rows[i] for i in chosen], metric))
    assert metrics.estimate([rows], metric).error == pytest.approx(np.std(drawn), rel=0.15)


def test_requests_are_scored_emotion_by_emotion(judge):
    spoken = [utterance(emotion=emotion, id=emotion) for emotion in ("sad", "angry")]
    figures = metrics.measure([metrics.judge(spoken_requests(), "blsp-emo", spoken, ["helpful, sad"] * 2, judge)])
    assert figures["empathy_by_emotion"] == {"sad": 1.0, "angry": 0.0}
    assert (figures["quality"], figures["empathy"], figures["n"]) == (1.0, 0.5, 2)


def test_without_a_judge_replies_have_no_marks_and_no_figures():
    rows = metrics.judge(spoken_requests(), "blsp-emo", [utterance()], ["helpful"])
    assert "quality" not in rows[0] and not metrics.is_scored(rows) and not metrics.is_right(rows[0])
    found = metrics.measure_all({"requests": rows, "ser.acted": named([("sad", "sad"), ("happy", "sad")])})
    assert list(found) == ["ser.acted"]


def test_a_row_of_a_dialogue_holds_its_turns(judge):
    earlier = (Turn("user", "we saw the cat", "first.flac", "happy", 1.0), Turn("assistant", "go on."))
    last = Utterance("c.flac", "what do i do now", "sad", "d1", "v", "en", 2.0, "dialogues", "test", earlier)
    (row,) = metrics.judge(dialogue(), "blsp-emo", [last], ["helpful, sad"], judge)
    assert row["turns"] == (("user", "we saw the cat"), ("assistant", "go on."), ("user", last.text))
    assert metrics.cluster_of(row) == f"we saw the cat / {last.text}"
    assert (row["quality"], row["empathy"]) == (1, 1)


def test_two_systems_are_compared_utterance_by_utterance_in_any_order():
    right = named([(emotion, emotion) for emotion in EMOTIONS * 6])
    wrong = named([(emotion, "neutral") for emotion in EMOTIONS * 6])
    assert metrics.compare([right], [wrong[::-1]], "wa").value == pytest.approx(0.8)
    assert metrics.compare([right], [wrong], "ua").value == pytest.approx(0.8)


def test_systems_that_answered_different_utterances_are_not_compared():
    rows = named([("sad", "sad"), ("happy", "sad")])
    with pytest.raises(StudyError, match="did not answer the same utterances of ser.acted"):
        metrics.compare([rows], [rows[:1]], "wa")


def test_training_runs_are_compared_run_by_run_and_a_single_one_with_each():
    right = named([(emotion, emotion) for emotion in EMOTIONS * 6])
    wrong = named([(emotion, "neutral") for emotion in EMOTIONS * 6])
    assert metrics.compare([right, wrong], [wrong, wrong], "wa").runs == pytest.approx((0.8, 0.0))
    both, one = (metrics.compare(runs, [wrong], "f1").value for runs in ([right, wrong], [right]))
    assert both == pytest.approx(one / 2)
    with pytest.raises(StudyError, match="has 3 runs of ser.acted, blsp-emo has 2"):
        metrics.compare([right] * 3, [wrong] * 2, "wa")


def test_runs_that_were_tested_on_folds_are_one_run_on_all_of_them():
    pairs = [("sad", "sad"), ("happy", "sad"), ("angry", "angry"), ("sad", "sad")]
    rows = named(pairs)
    folds, whole = [rows[:2], rows[2:]], [named([(said, said) for said, _ in pairs])]
    figures = metrics.measure(folds)
    assert (figures["wa"], figures["n"], figures["seeds"]) == (0.75, 4, 1) and "sd" not in figures
    assert metrics.compare(whole, folds, "wa").value == 0.25


def test_an_average_over_test_sets_gives_each_the_same_weight():
    many = named([("sad", "sad")] * 30), named([("sad", "happy")] * 30)
    few = named([("sad", "sad")] * 6), named([("sad", "sad")] * 6)
    sets = [([one], [other]) for one, other in (many, few)]
    assert metrics.compare_sets(sets, "wa").value == pytest.approx(0.5)


def test_figures_over_several_runs_are_means_with_their_spread():
    right, wrong = named([("sad", "sad"), ("happy", "happy")] * 9), named([("sad", "happy"), ("happy", "happy")] * 9)
    figures = metrics.measure([right, wrong])
    assert (figures["wa"], figures["seeds"], figures["n"]) == (0.75, 2, 18)
    assert figures["sd"]["wa"] == pytest.approx(0.5 / 2**0.5)
    assert figures["confusion"]["sad"]["happy"] == 9


def test_a_reply_without_a_mark_is_counted_and_not_guessed():
    marked = [{"quality": q, "empathy": e} for q, e in ((1.0, 0.5), (None, 0.7), (0.4, 0.9))]
    told = [{"reference": "sad", "text": f"t{i}", "id": f"{i}", "system": "s", "task": "requests"} for i in range(3)]
    rows = [one | two for one, two in zip(told, marked, strict=True)]
    figures = metrics.measure([rows])
    assert (figures["quality"], figures["unjudged"]) == pytest.approx((0.7, 1 / 3))
    assert "well_formed" not in figures
    other = [row | {"quality": 0.2} for row in rows]
    assert metrics.compare([rows], [other], "quality").value == pytest.approx(0.5)


def test_a_system_that_skips_an_utterance_is_refused():
    with pytest.raises(StudyError, match="gave 1 responses to the 2 utterances of ser.acted"):
        metrics.judge(recognition("acted"), "blsp", [utterance(), utterance(id="u2")], ["sad"])


def test_predictions_are_read_back_by_task_and_a_row_without_its_fields_is_named(tmp_path):
    rows = named([("sad", "sad")])
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    assert metrics.read_predictions(tmp_path / "predictions.jsonl") == {"ser.acted": rows}
    write_jsonl(tmp_path / "predictions.jsonl", [*rows, {"id": "u2"}])
    with pytest.raises(StudyError, match="line 2: no system, task"):
        metrics.read_predictions(tmp_path / "predictions.jsonl")
