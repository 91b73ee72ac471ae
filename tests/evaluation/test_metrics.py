import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import metrics
from blsp_core.evaluation.tasks import recognition, spoken_requests


def utterance(emotion="sad", id="u1", speaker="voice", **more):
    return Utterance("clip.flac", "what do i do", emotion, id, speaker, "en", 2.0, "requests", "test", **more)


def named(pairs):
    """Recognition rows of (reference, answer) pairs, three speakers in turn."""
    spoken = [utterance(e, f"u{i}", f"voice {i % 3}") for i, (e, _) in enumerate(pairs)]
    return metrics.judge(recognition("acted"), "blsp-emo", spoken, [answer for _, answer in pairs])


def compare(first, second, metric):
    return metrics.compare([(first, second)], metric)


RIGHT = named([(emotion, emotion) for emotion in EMOTIONS * 6])
WRONG = named([(emotion, "neutral") for emotion in EMOTIONS * 6])  # right one time in five


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
    values = accuracy_score(truth, found), recall_score(truth, found, **macro), f1_score(truth, found, **macro)
    for metric, value in zip(("wa", "ua", "f1"), values, strict=True):
        one = metrics.estimate([rows], metric)
        assert one.value == pytest.approx(value) == metrics.measure([rows])[metric]
        assert one.low < one.value < one.high


@pytest.mark.parametrize("metric", ["ua", "f1"])
def test_the_standard_error_of_a_figure_that_is_no_mean_is_that_of_the_bootstrap(metric):
    rng, draw = random.Random(1), np.random.default_rng(1)
    pairs = [(e, e if rng.random() < 0.7 else rng.choice(EMOTIONS)) for e in rng.choices(EMOTIONS[:3], k=300)]
    rows = [row | {"speaker": str(i % 60)} for i, row in enumerate(named(pairs))]
    samples = [[row for s in draw.integers(0, 60, 60) for row in rows[s::60]] for _ in range(300)]
    bootstrap = np.std([metrics.figure(sample, metric) for sample in samples])
    assert metrics.estimate([rows], metric).error == pytest.approx(bootstrap, rel=0.15)


def test_replies_are_scored_emotion_by_emotion_and_only_by_a_judge(judge):
    spoken = [utterance(emotion, emotion) for emotion in ("sad", "angry")]
    figures = metrics.measure([metrics.judge(spoken_requests(), "blsp-emo", spoken, ["helpful, sad"] * 2, judge)])
    assert figures["empathy_by_emotion"] == {"sad": 1.0, "angry": 0.0}
    assert (figures["quality"], figures["empathy"], figures["n"]) == (1.0, 0.5, 2)
    rows = metrics.judge(spoken_requests(), "blsp-emo", spoken, ["helpful"] * 2)
    assert "quality" not in rows[0] and not metrics.is_scored(rows) and not metrics.is_right(rows[0])


def test_a_row_of_a_dialogue_holds_its_turns(judge):
    earlier = (Turn("user", "we saw the cat", "first.flac", "happy", 1.0), Turn("assistant", "go on."))
    task = spoken_requests("dialogues", kind="dialogue")
    (row,) = metrics.judge(task, "blsp-emo", [utterance(history=earlier)], ["helpful, sad"], judge)
    assert row["turns"] == (("user", "we saw the cat"), ("assistant", "go on."), ("user", "what do i do"))
    assert metrics.cluster_of(row) == ("voice", "we saw the cat / what do i do")
    assert (row["quality"], row["empathy"]) == (1, 1)


def test_systems_are_compared_on_the_same_utterances_run_by_run_and_a_single_run_with_each():
    assert compare([RIGHT], [WRONG[::-1]], "wa").value == pytest.approx(0.8)
    assert compare([RIGHT], [WRONG], "ua").value == pytest.approx(0.8)
    assert compare([RIGHT, WRONG], [WRONG, WRONG], "wa").runs == pytest.approx((0.8, 0.0))
    both, one = (compare(runs, [WRONG], "f1").value for runs in ([RIGHT, WRONG], [RIGHT]))
    assert both == pytest.approx(one / 2)
    with pytest.raises(StudyError, match="did not answer the same utterances of ser.acted"):
        compare([RIGHT], [WRONG[:1]], "wa")


def test_folds_are_one_run_on_all_of_them_and_figures_over_runs_are_means_with_their_spread():
    figures = metrics.measure([WRONG[:15], WRONG[15:]])
    assert (figures["wa"], figures["n"], figures["seeds"]) == (0.2, 30, 1) and "sd" not in figures
    assert compare([RIGHT], [WRONG[:15], WRONG[15:]], "wa").value == pytest.approx(0.8)
    figures = metrics.measure([RIGHT, WRONG])
    assert (figures["wa"], figures["seeds"], figures["n"]) == (0.6, 2, 30)
    assert figures["sd"]["wa"] == pytest.approx(0.8 / 2**0.5) and figures["confusion"]["sad"]["neutral"] == 6


def test_an_average_over_test_sets_gives_each_the_same_weight():
    sets = [([RIGHT], [WRONG]), ([RIGHT[:6]], [RIGHT[:6]])]
    assert metrics.compare(sets, "wa").value == pytest.approx(0.4)


def test_a_reply_without_a_mark_is_counted_and_not_guessed():
    reply = {"reference": "sad", "system": "s", "task": "requests", "empathy": 0.5, "speaker": "ann"}
    marks = enumerate((1.0, None, 0.4))
    rows = [reply | {"id": f"{place}", "text": f"t{place}", "quality": quality} for place, quality in marks]
    figures = metrics.measure([rows])
    assert (figures["quality"], figures["unjudged"]) == pytest.approx((0.7, 1 / 3))
    other = [row | {"quality": 0.2} for row in rows]
    assert compare([rows], [other], "quality").value == pytest.approx(0.5)


def test_every_utterance_needs_a_response_and_predictions_are_read_back_by_task(tmp_path):
    with pytest.raises(StudyError, match="gave 1 responses to the 2 utterances of ser.acted"):
        metrics.judge(recognition("acted"), "blsp", [utterance(), utterance(id="u2")], ["sad"])
    write_jsonl(tmp_path / "predictions.jsonl", RIGHT)
    assert metrics.read_predictions(tmp_path / "predictions.jsonl") == {"ser.acted": RIGHT}
