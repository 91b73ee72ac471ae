import json
from functools import partial
from pathlib import Path

import pytest

from blsp_core.errors import StudyError
from blsp_core.evaluation import claims
from blsp_core.evaluation.intervals import Estimate

DATA = Path(__file__).parents[2] / "data"
CLAIMS = claims.read_claims(DATA / "claims.yaml")
PUBLISHED = claims.read_published(DATA / "published.json", CLAIMS)


def by_id(evaluated, **options):
    """The claims judged on one run of each system."""
    runs = {system: {1: tasks} for system, tasks in evaluated.items()}
    return {row["id"]: row for row in claims.judge_claims(runs, PUBLISHED, CLAIMS, **options)}


@pytest.fixture(scope="module")
def judged(evaluated):
    return by_id(evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp": 0.0, "blsp-emo": 0.8}))


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


def test_several_comparisons_need_smaller_p_values_than_one():
    narrowly, widely = estimate(0.001, 0.2), estimate(0.1, 0.2)
    greater = claims.TESTS["greater"]
    assert claims.decide(greater, [narrowly])[0] == claims.REPRODUCED
    assert claims.decide(greater, [narrowly, widely])[0] == claims.REPRODUCED
    assert claims.decide(greater, [narrowly, narrowly])[0] == claims.INCONCLUSIVE
    narrowly_below = estimate(-0.2, 0.019)
    assert claims.decide(greater, [narrowly_below])[0] == claims.NOT_REPRODUCED
    assert claims.decide(greater, [narrowly_below, widely])[0] == claims.INCONCLUSIVE


def test_an_open_question_needs_one_difference_for_yes_and_none_for_no():
    same, unlike, unclear = estimate(-0.01, 0.01), estimate(0.1, 0.2), estimate(-0.2, 0.2)
    differs = claims.TESTS["differs"]
    assert claims.decide(differs, [same, unlike, unclear])[:2] == (claims.REPRODUCED, 1)
    assert claims.decide(differs, [same, same])[0] == claims.NOT_REPRODUCED
    assert claims.decide(differs, [same, unclear])[0] == claims.INCONCLUSIVE


def test_a_system_that_recognises_emotions_reproduces_the_claims_about_it(judged):
    for name in ("in-domain-text", "out-of-domain-text", "semantic-stage-alone", "requests-empathy"):
        assert judged[name]["verdict"] == claims.REPRODUCED, name
    row = judged["out-of-domain-text"]
    figures = row["measured"]
    gains = [
        figures[f"ser.statements.blsp-emo.{metric}"] - figures[f"ser.statements.{baseline}.{metric}"]
        for baseline in ("text+llm", "whisper+llm")
        for metric in ("wa", "ua")
    ]
    assert min(abs(figures["difference"] - gain) for gain in gains) < 1e-9
    assert row["interval"][0] < figures["difference"] < row["interval"][1]


def test_a_system_that_does_not_recognise_them_refutes_them(evaluated):
    rows = by_id(evaluated({"text+llm": 0.8, "whisper+llm": 0.8, "blsp-emo": 0.0}))
    assert rows["in-domain-text"]["verdict"] == claims.NOT_REPRODUCED
    assert rows["in-domain-text"]["measured"]["difference"] < 0
    mixed = by_id(evaluated({"text+llm": 0.0, "whisper+llm": 1.0, "blsp-emo": 0.8}))
    assert mixed["out-of-domain-text"]["verdict"] == claims.NOT_REPRODUCED  # one comparison that fails is enough


def test_claims_about_absent_systems_stay_in_the_table_unmeasured(judged):
    assert [*judged] == [claim.id for claim in CLAIMS]
    row = judged["in-domain-classifiers"]
    assert (row["measured"], row["interval"], row["verdict"]) == (None, None, claims.NOT_MEASURED)
    assert row["published"]["table1.iemocap.hubert+llm"] == 64.6
    fields = ["id", "title", "claim", "where", "published", "measured", "interval", "test", "verdict"]
    assert all(list(row) == fields for row in judged.values())


def test_without_a_judge_claims_about_replies_are_not_measured(evaluated):
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.8})
    for tasks in predictions.values():
        marks = ("quality", "empathy")
        tasks["requests"] = [{k: v for k, v in row.items() if k not in marks} for row in tasks["requests"]]
        tasks["dialogue"] = tasks["requests"]
    rows = by_id(predictions)
    for name in ("requests-quality", "requests-empathy", "dialogue-unbeaten"):
        assert rows[name]["verdict"] == claims.NOT_MEASURED
    assert rows["in-domain-text"]["verdict"] == claims.REPRODUCED


def test_a_test_set_that_was_itself_evaluated_is_taken_before_its_mirror(evaluated):
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks["ser.ravdess"] = [row | {"task": "ser.ravdess"} for row in tasks.pop("ser.statements")]
    assert "ser.ravdess.blsp-emo.wa" in by_id(predictions)["out-of-domain-text"]["measured"]


def test_an_average_over_languages_needs_every_language(evaluated):
    baselines = "whisper+llm wav2vec2+llm hubert+llm wavlm+llm salmonn".split()
    predictions = evaluated(dict.fromkeys(baselines, 0.0) | {"blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks |= {f"ser.{name}": tasks["ser.acted"] for name in ("greek", "french", "russian")}
    assert by_id(predictions)["cross-lingual"]["verdict"] == claims.REPRODUCED
    del predictions["salmonn"]["ser.russian"]
    assert by_id(predictions)["cross-lingual"]["verdict"] == claims.NOT_MEASURED


def test_always_answering_one_emotion_is_no_recognition(evaluated):
    """Where neutral is rare, guessing beats always answering neutral; by balanced accuracy neither is better."""
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.0})
    for system in ("text+llm", "whisper+llm"):
        rows = predictions[system]["ser.statements"]
        predictions[system]["ser.statements"] = [row | {"predicted": "neutral"} for row in rows]
    for tasks in predictions.values():
        rows = tasks["ser.statements"]
        tasks["ser.statements"] = [r for i, r in enumerate(rows) if r["reference"] != "neutral" or i % 50 < 5]
    assert by_id(predictions)["out-of-domain-text"]["verdict"] != claims.REPRODUCED


def test_a_verdict_is_over_all_training_runs(evaluated):
    good, bad = (evaluated({"blsp-emo": chance})["blsp-emo"] for chance in (0.8, 0.0))
    text = {system: {1: tasks} for system, tasks in evaluated({"text+llm": 0.0, "whisper+llm": 0.0}).items()}

    def verdict(*runs):
        predictions = text | {"blsp-emo": dict(enumerate(runs, start=1))}
        rows = {row["id"]: row for row in claims.judge_claims(predictions, PUBLISHED, CLAIMS)}
        return rows["out-of-domain-text"]["verdict"], rows["out-of-domain-text"]["measured"]["runs"]

    assert verdict(good, good, good) == (claims.REPRODUCED, 3)
    assert verdict(good, bad, bad) == (claims.INCONCLUSIVE, 3)


def test_dialogues_are_decided_by_wins_and_losses(evaluated, judge):
    predictions = evaluated({"whisper+llm": 0.0, "blsp-emo": 0.9, "wavlm+llm": 1.0})
    for tasks in predictions.values():
        tasks["dialogue"] = [row | {"task": "dialogue"} for row in tasks["requests"]]
    rows = by_id(predictions, judge=judge)
    assert rows["dialogue-unbeaten"]["verdict"] == claims.REPRODUCED
    assert rows["dialogue-cascade"]["verdict"] == "yes"  # the paper says "wins or ties", no more
    assert rows["dialogue-classifier"]["verdict"] == claims.NOT_REPRODUCED
    figures = rows["dialogue-cascade"]["measured"]
    won, lost = (figures[f"dialogue.blsp-emo.vs.whisper+llm.{outcome}"] for outcome in ("win", "loss"))
    assert figures["difference"] == pytest.approx(won - lost)


def test_every_published_number_has_a_known_source_and_claims_have_an_entry(tmp_path):
    assert PUBLISHED["table1.iemocap.blsp-emo"]["value"] == 76.0
    assert PUBLISHED["table1.iemocap.text+llm"]["value"] is None
    assert PUBLISHED["table1.meld.text+llm"]["uncertain"]
    document, path = json.loads((DATA / "published.json").read_text()), tmp_path / "published.json"
    del document["numbers"]["table2.empathy.text+llm"]
    path.write_text(json.dumps(document))
    with pytest.raises(StudyError, match="requests-empathy looks for table2.empathy.text\\+llm"):
        claims.read_published(path, CLAIMS)
    document["numbers"]["table1.iemocap.blsp-emo"]["source"] = "hearsay"
    path.write_text(json.dumps(document))
    with pytest.raises(StudyError, match="table1.iemocap.blsp-emo has the source hearsay"):
        claims.read_published(path)


def test_a_claim_with_an_unknown_test_or_field_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    head = "claims:\n  - {id: a, title: a, claim: a, where: Table 1, "
    for rest in ("test: bigger, comparisons: []}", "test: same, comparisons: [], why: so}", "test: same}"):
        path.write_text(head + rest)
        with pytest.raises(StudyError, match=r"claims.yaml, claim 1: .*a claim has id, title"):
            claims.read_claims(path)
    assert len(claims.read_changes(DATA / "claims.yaml")) > 8


def controlled(evaluated, shuffled, on_control):
    """The controls judged; `on_control`: how often blsp-emo is right where only the words agree with the label."""
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp": 0.0, "shuffled-labels": shuffled}, 200)
    acted = evaluated({"text+llm": 0.0, "blsp-emo": on_control}, 200)
    for system in acted:
        predictions.setdefault(system, {})["ser.control"] = acted[system]["ser.acted"]
    runs = {system: {1: tasks} for system, tasks in predictions.items()}
    return {row["id"]: row for row in claims.judge_controls(runs, CLAIMS)}


def test_the_controls_pass_for_a_study_that_measures_recognition(evaluated):
    rows = controlled(evaluated, shuffled=-1, on_control=-1)
    assert rows["random-emotions"]["verdict"] == claims.PASSED
    assert rows["shuffled-labels"]["verdict"] in (claims.PASSED, claims.INCONCLUSIVE)


def test_a_control_fails_where_the_label_leaks(evaluated):
    rows = controlled(evaluated, shuffled=0.8, on_control=0.8)
    assert {row["verdict"] for row in rows.values()} == {claims.FAILED}
    assert rows["random-emotions"]["measured"]["difference"] > 0.5


def test_controls_that_were_not_run_are_not_measured(evaluated):
    runs = {system: {1: tasks} for system, tasks in evaluated({"text+llm": 0.0}).items()}
    assert {row["verdict"] for row in claims.judge_controls(runs, CLAIMS)} == {claims.NOT_MEASURED}


def rows(corpus: str, right: int) -> list[dict]:
    """Ten answers of which so many are right."""
    return [
        {"id": f"{corpus}-test-{i}", "reference": "sad", "predicted": "sad" if i < right else "happy", "text": str(i)}
        | {"speaker": str(i % 3), "system": "s", "task": f"ser.{corpus}"}
        for i in range(10)
    ]


def cascades(**right: int) -> dict:
    """Predictions of three cascades, and of gold+llm with so many right answers on each corpus."""
    found = {"ser.acted": rows("acted", 5), "ser.talk": rows("talk", 5)}
    ceiling = {f"ser.{corpus}": rows(corpus, count) for corpus, count in right.items()}
    ceiling["showcase"] = [{"id": "showcase-test-0", "reference": "sad"}]  # is not counted
    names = ("blsp-emo", "text+llm", "whisper+llm", "wavlm+llm")
    return {**{name: {1: found} for name in names}, "gold+llm": {1: ceiling}}


def test_cascades_are_excluded_where_words_are_not_understood():
    assert claims.excluded(cascades(acted=10, talk=9), {"acted": 0.01, "talk": 0.05}) == {}
    found = claims.excluded(cascades(acted=10, talk=10), {"acted": 0.42})
    assert set(found) == {"ser.acted"} and set(found["ser.acted"]) == {"whisper+llm", "wavlm+llm"}
    assert "word error rate of 0.42" in found["ser.acted"]["whisper+llm"]
    found = claims.excluded(cascades(acted=2, talk=10), {})
    assert set(found["ser.acted"]) == {"text+llm", "whisper+llm", "wavlm+llm"}


def test_a_claim_against_an_excluded_baseline_is_not_measured_and_says_why():
    predictions = cascades(acted=10)
    judge = partial(claims.judge_claims, predictions, PUBLISHED, CLAIMS[:1])
    (row,) = judge(excluded=claims.excluded(predictions, {"acted": 0.42}))
    assert row["verdict"] == claims.NOT_MEASURED and row["why"].startswith("whisper+llm is excluded: its Whisper")
    assert "why" not in judge()[0]
