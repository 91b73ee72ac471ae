import json
from functools import partial
from pathlib import Path

import pytest

from blsp_core.errors import StudyError
from blsp_core.evaluation import claims, controls, paper_claims
from blsp_core.evaluation.intervals import Estimate

PUBLISHED = Path(__file__).parents[2] / "data" / "published.json"
FIELDS = ["id", "claim", "where", "published", "measured", "interval", "test", "verdict"]


@pytest.fixture(scope="module")
def published():
    return claims.read_published(PUBLISHED)


@pytest.fixture(scope="module")
def evaluated(evaluated):
    return partial(evaluated, count=100)


@pytest.fixture(scope="module")
def judged(published, evaluated):
    chances = {"text+llm": 0.0, "whisper+llm": 0.0, "blsp": 0.0, "blsp-emo": 0.8}
    return by_id(evaluated(chances), published)


def by_id(evaluated, published, draws=200):
    """The claims judged on one run of each system."""
    runs = {system: {1: tasks} for system, tasks in evaluated.items()}
    return {row["id"]: row for row in claims.judge_claims(runs, published, draws)}


def estimate(low, high):
    """An estimate with this interval, over so many clusters that Student's t is normal."""
    value = (low + high) / 2
    return Estimate(value, low, high, 1000, 1000, (high - low) / 2 / 1.96234, 999.0, (value,))


@pytest.mark.parametrize(
    "test, low, high, verdict",
    [
        ("greater", 0.01, 0.2, claims.REPRODUCED),
        ("greater", -0.01, 0.2, claims.INCONCLUSIVE),
        ("greater", -0.3, 0.01, claims.NOT_REPRODUCED),
        ("kept", -0.04, 0.02, claims.REPRODUCED),
        ("kept", -0.1, 0.02, claims.INCONCLUSIVE),
        ("kept", -0.2, -0.06, claims.NOT_REPRODUCED),
        ("same", -0.04, 0.04, claims.REPRODUCED),
        ("same", -0.1, 0.04, claims.INCONCLUSIVE),
        ("same", 0.06, 0.2, claims.NOT_REPRODUCED),
        ("differs", -0.2, -0.01, claims.REPRODUCED),
        ("differs", -0.2, 0.2, claims.INCONCLUSIVE),
        ("differs", -0.04, 0.04, claims.NOT_REPRODUCED),
    ],
)
def test_the_interval_decides_the_verdict(test, low, high, verdict):
    found, place, p = claims.decide(claims.TESTS[test], [estimate(low, high)])
    assert (found, place) == (verdict, 0)
    assert (p < 0.025) == (verdict != claims.INCONCLUSIVE)


def test_several_comparisons_must_hold_more_surely_than_one():
    narrowly, widely = estimate(0.001, 0.2), estimate(0.1, 0.2)
    greater = claims.TESTS["greater"]
    assert claims.decide(greater, [narrowly])[0] == claims.REPRODUCED
    assert claims.decide(greater, [narrowly, widely])[0] == claims.REPRODUCED
    assert claims.decide(greater, [narrowly, narrowly])[0] == claims.INCONCLUSIVE
    narrowly_below = estimate(-0.2, 0.019)
    assert claims.decide(greater, [narrowly_below])[0] == claims.NOT_REPRODUCED
    assert claims.decide(greater, [narrowly_below, widely])[0] == claims.INCONCLUSIVE


def test_an_open_question_needs_one_difference_to_be_answered_yes_and_none_for_no():
    same, unlike, unsure = estimate(-0.01, 0.01), estimate(0.1, 0.2), estimate(-0.2, 0.2)
    differs = claims.TESTS["differs"]
    assert claims.decide(differs, [same, unlike, unsure])[:2] == (claims.REPRODUCED, 1)
    assert claims.decide(differs, [same, same])[0] == claims.NOT_REPRODUCED
    assert claims.decide(differs, [same, unsure])[0] == claims.INCONCLUSIVE


def test_a_system_that_hears_tones_reproduces_the_claims_about_hearing(judged):
    for claim in (
        "in-domain-text",
        "out-of-domain-text",
        "semantic-stage-alone",
        "requests-emotion",
        "requests-empathy",
    ):
        assert judged[claim]["verdict"] == claims.REPRODUCED, claim
    row = judged["out-of-domain-text"]
    figures = row["measured"]
    gains = [
        figures[f"ser.statements.blsp-emo.{metric}"] - figures[f"ser.statements.{rival}.{metric}"]
        for rival in ("text+llm", "whisper+llm")
        for metric in ("wa", "ua")
    ]
    assert min(abs(figures["difference"] - gain) for gain in gains) < 1e-9
    assert row["interval"][0] < figures["difference"] < row["interval"][1]


def test_a_system_that_is_deaf_to_tones_refutes_them(published, evaluated):
    deaf = evaluated({"text+llm": 0.8, "whisper+llm": 0.8, "blsp-emo": 0.0})
    rows = by_id(deaf, published)
    assert rows["in-domain-text"]["verdict"] == claims.NOT_REPRODUCED
    assert rows["in-domain-text"]["measured"]["difference"] < 0


def test_one_comparison_that_fails_fails_the_claim(published, evaluated):
    mixed = evaluated({"text+llm": 0.0, "whisper+llm": 1.0, "blsp-emo": 0.8})
    rows = by_id(mixed, published)
    assert rows["out-of-domain-text"]["verdict"] == claims.NOT_REPRODUCED


def test_claims_about_absent_systems_stay_in_the_table_unmeasured(judged):
    assert [*judged] == [claim.id for claim in paper_claims.CLAIMS]
    row = judged["in-domain-classifiers"]
    assert (row["measured"], row["interval"], row["verdict"]) == (None, None, claims.NOT_MEASURED)
    assert row["published"]["table1.iemocap.hubert+llm"] == 64.6
    assert all(list(row) == FIELDS for row in judged.values())


def test_a_test_set_that_was_itself_met_stands_before_its_mirror(published, evaluated):
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks["ser.ravdess"] = [row | {"task": "ser.ravdess"} for row in tasks.pop("ser.statements")]
    rows = by_id(predictions, published, 50)
    assert "ser.ravdess.blsp-emo.wa" in rows["out-of-domain-text"]["measured"]


def test_an_average_over_languages_needs_every_language(published, evaluated):
    rivals = "whisper+llm wav2vec2+llm hubert+llm wavlm+llm salmonn".split()
    predictions = evaluated(dict.fromkeys(rivals, 0.0) | {"blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks |= {f"ser.{name}": tasks["ser.acted"] for name in ("greek", "french", "russian")}
    row = by_id(predictions, published, 50)["cross-lingual"]
    assert row["verdict"] == claims.REPRODUCED
    del predictions["salmonn"]["ser.russian"]
    row = by_id(predictions, published, 50)["cross-lingual"]
    assert row["verdict"] == claims.NOT_MEASURED


def test_every_published_number_has_a_known_source_and_unknown_ones_are_null(published, tmp_path):
    assert published["table1.iemocap.blsp-emo"]["value"] == 76.0
    assert published["table1.iemocap.text+llm"]["value"] is None
    assert published["table1.meld.text+llm"]["uncertain"]
    document = json.loads(PUBLISHED.read_text())
    document["numbers"]["table1.iemocap.blsp-emo"]["source"] = "hearsay"
    (tmp_path / "published.json").write_text(json.dumps(document))
    with pytest.raises(StudyError, match="table1.iemocap.blsp-emo has the source hearsay"):
        claims.read_published(tmp_path / "published.json")


def test_a_published_number_that_a_claim_needs_must_have_an_entry(tmp_path):
    document = json.loads(PUBLISHED.read_text())
    del document["numbers"]["table2.empathy.text+llm"]
    (tmp_path / "published.json").write_text(json.dumps(document))
    with pytest.raises(StudyError, match="requests-empathy looks for table2.empathy.text\\+llm"):
        claims.read_published(tmp_path / "published.json")


def test_a_habit_of_answering_is_no_hearing(published, evaluated):
    """Where neutral is rare, whoever guesses beats whoever always says neutral; balanced accuracy tells them apart."""
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.0})
    for system in ("text+llm", "whisper+llm"):
        predictions[system]["ser.statements"] = [
            r | {"predicted": "neutral"} for r in predictions[system]["ser.statements"]
        ]
    rare = {tone: 0.1 if tone == "neutral" else 1.0 for tone in ("neutral", "happy", "sad", "angry", "surprise")}
    for tasks in predictions.values():
        rows = tasks["ser.statements"]
        tasks["ser.statements"] = [r for i, r in enumerate(rows) if (i // 5 % 10) / 10 < rare[r["reference"]]]
    assert by_id(predictions, published)["out-of-domain-text"]["verdict"] != claims.REPRODUCED


def test_training_runs_stand_behind_a_verdict_together(published, evaluated):
    good, bad = (evaluated({"blsp-emo": chance})["blsp-emo"] for chance in (0.8, 0.0))
    text = {system: {1: tasks} for system, tasks in evaluated({"text+llm": 0.0, "whisper+llm": 0.0}).items()}

    def verdict(*runs):
        predictions = text | {"blsp-emo": dict(enumerate(runs, start=1))}
        rows = {row["id"]: row for row in claims.judge_claims(predictions, published, 200)}
        return rows["out-of-domain-text"]["verdict"], rows["out-of-domain-text"]["measured"]["runs"]

    assert verdict(good, good, good) == (claims.REPRODUCED, 3)
    assert verdict(good, bad, bad) == (claims.INCONCLUSIVE, 3)


def test_dialogues_are_decided_by_wins_and_losses(published, evaluated):
    predictions = evaluated({"whisper+llm": 0.0, "blsp-emo": 0.9, "wavlm+llm": 1.0})
    for tasks in predictions.values():
        tasks["dialogue"] = [row | {"task": "dialogue"} for row in tasks["requests"]]
    rows = by_id(predictions, published)
    assert rows["dialogue-unbeaten"]["verdict"] == claims.REPRODUCED
    assert rows["dialogue-cascade"]["verdict"] == "yes"  # the paper says "wins or ties", no more
    assert rows["dialogue-classifier"]["verdict"] == claims.NOT_REPRODUCED
    figures = rows["dialogue-cascade"]["measured"]
    won, lost = (figures[f"dialogue.blsp-emo.vs.whisper+llm.{outcome}"] for outcome in ("win", "loss"))
    assert figures["difference"] == pytest.approx(won - lost)


def controlled(evaluated, shuffled, on_control):
    """The controls judged; `on_control`: how often blsp-emo is right where only the words agree with the label."""
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp": 0.0, "shuffled-labels": shuffled})
    acted = evaluated({"text+llm": 0.0, "blsp-emo": on_control})
    for system in acted:
        predictions.setdefault(system, {})["ser.control"] = acted[system]["ser.acted"]
    runs = {system: {1: tasks} for system, tasks in predictions.items()}
    return {row["id"]: row for row in controls.judge_controls(runs, draws=200)}


def test_the_controls_pass_for_a_study_that_measures_hearing(evaluated):
    rows = controlled(evaluated, shuffled=-1, on_control=-1)
    assert rows["random-tones"]["verdict"] == controls.PASSED
    assert rows["shuffled-labels"]["verdict"] in (controls.PASSED, claims.INCONCLUSIVE)


def test_a_control_fails_where_the_label_leaks(evaluated):
    rows = controlled(evaluated, shuffled=0.8, on_control=0.8)
    assert {row["verdict"] for row in rows.values()} == {controls.FAILED}
    assert rows["random-tones"]["measured"]["difference"] > 0.5


def test_controls_that_were_not_run_are_not_measured(evaluated):
    runs = {system: {1: tasks} for system, tasks in evaluated({"text+llm": 0.0}).items()}
    assert {row["verdict"] for row in controls.judge_controls(runs, draws=50)} == {claims.NOT_MEASURED}
