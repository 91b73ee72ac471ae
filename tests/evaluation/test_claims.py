import json
from pathlib import Path

import pytest

from blsp_core.errors import StudyError
from blsp_core.evaluation import claims, controls
from blsp_core.evaluation.claims import INCONCLUSIVE, NOT_MEASURED, NOT_REPRODUCED, REPRODUCED
from blsp_core.evaluation.intervals import Estimate

DATA = Path(__file__).parents[2] / "data"
CLAIMS = claims.read_claims(DATA / "claims.yaml")
PUBLISHED = claims.read_published(DATA / "published.json", CLAIMS)
BASELINES = {"text+llm": 0.0, "whisper+llm": 0.0}  # system -> how often it recognises the emotion
GOOD = BASELINES | {"blsp": 0.0, "blsp-emo": 0.8}
INTERVALS = {  # test -> intervals by which a claim is reproduced, inconclusive and not reproduced
    "greater": ((0.01, 0.2), (-0.01, 0.2), (-0.3, 0.01)),
    "kept": ((-0.04, 0.02), (-0.1, 0.02), (-0.2, -0.06)),
    "same": ((-0.04, 0.04), (-0.1, 0.04), (0.06, 0.2)),
    "differs": ((-0.2, -0.01), (-0.2, 0.2), (-0.04, 0.04)),
}


def one_run(predictions):
    return {system: {1: tasks} for system, tasks in predictions.items()}


def by_id(runs, **options):
    return {row["id"]: row for row in claims.judge_claims(runs, PUBLISHED, CLAIMS, **options)}


def estimate(low, high):
    """An estimate with this interval, over so many clusters that Student's t is normal."""
    value = (low + high) / 2
    return Estimate(value, low, high, 1000, 1000, (high - low) / 2 / 1.96234, 999.0, (value,))


@pytest.mark.parametrize("test", INTERVALS)
def test_the_interval_decides_the_verdict(test):
    for bounds, verdict in zip(INTERVALS[test], (REPRODUCED, INCONCLUSIVE, NOT_REPRODUCED), strict=True):
        p_for, p_against, place = claims.decide(claims.TESTS[test], [estimate(*bounds)])
        assert (claims.verdict_of(p_for, p_against), place) == (verdict, 0)


def decided(test, found):
    p_for, p_against, place = claims.decide(claims.TESTS[test], found)
    return claims.verdict_of(p_for, p_against), place


def test_a_claim_needs_all_of_its_comparisons_and_an_open_question_one_difference():
    narrowly, widely, narrowly_below = estimate(0.001, 0.2), estimate(0.1, 0.2), estimate(-0.2, 0.019)
    assert decided("greater", [narrowly, narrowly, widely]) == (REPRODUCED, 0)  # intersection-union: nothing to adjust
    assert decided("greater", [narrowly_below, widely])[0] == INCONCLUSIVE  # one of two below: adjusted
    assert decided("greater", [narrowly_below])[0] == NOT_REPRODUCED
    same, unclear = estimate(-0.01, 0.01), estimate(-0.2, 0.2)
    assert decided("differs", [same, widely, unclear]) == (REPRODUCED, 1)
    assert decided("differs", [same, narrowly])[0] == decided("differs", [same, unclear])[0] == INCONCLUSIVE
    assert decided("differs", [same, same])[0] == NOT_REPRODUCED


def test_p_values_are_adjusted_over_all_claims(evaluated):
    runs = one_run(evaluated(GOOD, 40))
    together = [row for row in claims.judge_claims(runs, PUBLISHED, CLAIMS) if row["measured"]]
    asked = {claim.id: claim for claim in CLAIMS}
    alone = [claims.judge_claims(runs, PUBLISHED, [asked[row["id"]]])[0]["measured"]["p"] for row in together]
    absent = [1.0] * (len(CLAIMS) - len(alone))  # not measured, but of the same family
    expected = claims.holm(alone + absent)[: len(alone)]
    assert len(alone) > 2 and [row["measured"]["p"] for row in together] == pytest.approx(expected)
    assert max(alone) < 1 and [row["measured"]["p"] for row in together] != alone


def test_a_claim_that_its_null_system_passes_is_uninformative(evaluated, judge):
    predictions = evaluated({"whisper+llm": 0.0, "blsp": 0.0, "blsp-emo": 0.9, "text+llm": 0.0})
    for tasks in predictions.values():
        tasks["dialogue"] = [row | {"task": "dialogue", "empathy": 0} for row in tasks["requests"]]
    rows = by_id(one_run(predictions), judge=judge)  # replies as good as those of the cascade tie with them
    assert (rows["dialogue-unbeaten"]["null"], rows["dialogue-unbeaten"]["verdict"]) == (
        "blsp passes", claims.UNINFORMATIVE,
    )  # fmt: skip
    assert rows["requests-empathy"]["null"] == "blsp fails"
    del predictions["blsp"]
    rows = by_id(one_run(predictions), judge=judge)
    assert rows["dialogue-unbeaten"]["null"] == "blsp not measured"
    assert all(claim.null_system for claim in CLAIMS if claim.where != claims.OPEN_QUESTION)


def test_claims_about_a_system_that_recognises_emotions_are_reproduced_and_absent_ones_stay(evaluated):
    judged = by_id(one_run(evaluated(GOOD)))
    assert [*judged] == [claim.id for claim in CLAIMS]
    for name in ("recognition-text", "requests-empathy"):
        assert judged[name]["verdict"] == REPRODUCED, name
    row = judged["recognition-text"]
    found, low, high = row["measured"], *row["interval"]
    pairs = [key.rsplit(".", 2) for key in found if ".blsp-emo." not in key and key.startswith("ser.")]
    gains = [found[f"{task}.blsp-emo.{metric}"] - found[f"{task}.{name}.{metric}"] for task, name, metric in pairs]
    assert min(abs(found["difference"] - gain) for gain in gains) < 1e-9 and low < found["difference"] < high
    absent = judged["recognition-classifiers"]
    assert (absent["measured"], absent["interval"], absent["verdict"]) == (None, None, NOT_MEASURED)
    assert absent["published"]["table1.iemocap.hubert+llm"] == 64.6


def test_a_system_that_does_not_recognise_them_refutes_them(evaluated):
    chances = dict.fromkeys(("text+llm", "whisper+llm", "blsp"), 0.8) | {"blsp-emo": 0.0}
    row = by_id(one_run(evaluated(chances)))["recognition-text"]
    assert row["verdict"] == NOT_REPRODUCED and row["measured"]["difference"] < 0
    mixed = by_id(one_run(evaluated({"text+llm": 0.0, "whisper+llm": 1.0, "blsp": 0.0, "blsp-emo": 0.5})))
    assert mixed["recognition-text"]["verdict"] == NOT_REPRODUCED  # one comparison that fails is enough


def test_own_test_sets_come_before_their_mirrors_and_replies_need_a_judge(evaluated):
    predictions = evaluated(GOOD)
    for tasks in predictions.values():
        tasks["ser.ravdess"] = [row | {"task": "ser.ravdess"} for row in tasks.pop("ser.statements")]
        marks = ("quality", "empathy")
        tasks["requests"] = [{k: v for k, v in row.items() if k not in marks} for row in tasks["requests"]]
        tasks["dialogue"] = tasks["requests"]
    rows = by_id(one_run(predictions))
    assert "ser.ravdess.blsp-emo.wa" in rows["recognition-text"]["measured"]
    for name in ("requests-quality", "requests-empathy", "dialogue-unbeaten"):
        assert rows[name]["verdict"] == NOT_MEASURED


def test_an_average_over_languages_needs_every_language(evaluated):
    baselines = ("whisper+llm", "wav2vec2+llm", "hubert+llm", "wavlm+llm", "salmonn")
    predictions = evaluated(dict.fromkeys(baselines, 0.0) | {"blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks |= {f"ser.{name}": tasks["ser.acted"] for name in ("greek", "french", "russian")}
    assert by_id(one_run(predictions))["cross-lingual"]["verdict"] == REPRODUCED
    del predictions["salmonn"]["ser.russian"]
    assert by_id(one_run(predictions))["cross-lingual"]["verdict"] == NOT_MEASURED


def test_always_answering_one_emotion_is_no_recognition(evaluated):
    """Where neutral is rare, guessing beats always answering neutral; by balanced accuracy neither is better."""
    predictions = evaluated(BASELINES | {"blsp": 0.0, "blsp-emo": 0.0})
    for system, tasks in predictions.items():
        rows = tasks["ser.statements"]
        rows = [r for i, r in enumerate(rows) if r["reference"] != "neutral" or i % 50 < 5]
        constant = {"predicted": "neutral"} if system in BASELINES else {}
        tasks["ser.statements"] = [row | constant for row in rows]
    assert by_id(one_run(predictions))["recognition-text"]["verdict"] != REPRODUCED


def test_a_verdict_is_over_all_training_runs(evaluated):
    good, bad = (evaluated({"blsp-emo": chance})["blsp-emo"] for chance in (0.8, 0.0))
    for runs, verdict in (((good, good, good), REPRODUCED), ((good, bad, bad), INCONCLUSIVE)):
        predictions = one_run(evaluated(BASELINES | {"blsp": 0.0})) | {"blsp-emo": dict(enumerate(runs))}
        row = by_id(predictions)["recognition-text"]
        assert (row["verdict"], row["measured"]["runs"]) == (verdict, 3)


def test_dialogues_are_decided_by_wins_and_losses(evaluated, judge):
    predictions = evaluated({"whisper+llm": 0.0, "blsp-emo": 0.9, "wavlm+llm": 1.0}, 400)
    for tasks in predictions.values():
        tasks["dialogue"] = [row | {"task": "dialogue"} for row in tasks["requests"]]
    rows = by_id(one_run(predictions), judge=judge)
    assert rows["dialogue-unbeaten"]["verdict"] == REPRODUCED
    assert rows["dialogue-cascade"]["verdict"] == "yes"  # the paper says "wins or ties", no more
    assert rows["dialogue-classifier"]["verdict"] == NOT_REPRODUCED
    found, pair = rows["dialogue-cascade"]["measured"], "dialogue.blsp-emo.vs.whisper+llm"
    assert found["difference"] == pytest.approx(found[f"{pair}.win"] - found[f"{pair}.loss"])


def test_every_published_number_has_a_known_source_and_claims_have_an_entry(tmp_path):
    assert PUBLISHED["table1.iemocap.blsp-emo"]["value"] == 76.0 and PUBLISHED["table1.meld.text+llm"]["uncertain"]
    assert PUBLISHED["table1.iemocap.text+llm"]["value"] is None
    text, path = (DATA / "published.json").read_text(), tmp_path / "published.json"
    path.write_text(text.replace('"table2.empathy.text+llm"', '"table9"'))
    with pytest.raises(StudyError, match="requests-empathy looks for table2.empathy.text\\+llm"):
        claims.read_published(path, CLAIMS)
    document = json.loads(text)
    document["numbers"]["table1.iemocap.blsp-emo"]["source"] = "hearsay"
    path.write_text(json.dumps(document))
    with pytest.raises(StudyError, match="table1.iemocap.blsp-emo has the source hearsay"):
        claims.read_published(path)


def test_a_claim_with_an_unknown_test_or_field_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    for rest in ("test: bigger, comparisons: []}", "test: same, comparisons: [], why: so}", "test: same}"):
        path.write_text(f"claims:\n  - {{id: a, title: a, claim: a, where: Table 1, {rest}")
        with pytest.raises(StudyError, match=r"claims.yaml, claim 1: .*a claim has id, title"):
            claims.read_claims(path)


def controlled(evaluated, chance):
    """Verdicts of the controls: BLSP-Emo is right with this chance where it was trained on shuffled labels, and where
    only the words agree with the label."""
    predictions = evaluated(BASELINES | {"blsp": 0.0, "shuffled-labels": chance}, 200)
    for system, tasks in evaluated({"text+llm": 0.0, "blsp-emo": chance}, 200).items():
        predictions.setdefault(system, {})["ser.control"] = tasks["ser.acted"]
    judged = controls.judge_controls(one_run(predictions), CLAIMS)
    return {row["id"]: row["verdict"] for row in judged if not row["id"].startswith("judge")}


def test_controls_pass_where_recognition_is_measured_and_fail_where_the_label_leaks(evaluated):
    passed = controlled(evaluated, -1)
    assert passed["random-emotions"] == controls.PASSED
    assert passed["shuffled-labels"] in (controls.PASSED, INCONCLUSIVE)
    assert set(controlled(evaluated, 0.8).values()) == {controls.FAILED}
    assert {row["verdict"] for row in controls.judge_controls({}, CLAIMS)} == {NOT_MEASURED}


def cascades(evaluated, **chances: float) -> dict:
    """Predictions of four cascades, and of gold+llm that is right with these chances on each corpus."""
    found = {task: rows for task, rows in evaluated({"s": 0.5}, 10)["s"].items() if task in ("ser.acted", "ser.talk")}
    ceiling = {f"ser.{name}": evaluated({"s": chance}, 10)["s"][f"ser.{name}"] for name, chance in chances.items()}
    ceiling["showcase"] = [{"id": "showcase-test-0", "reference": "sad"}]  # is not counted
    names = "blsp-emo", "text+llm", "random+llm", "whisper+llm", "wavlm+llm"
    return {name: {1: found} for name in names} | {"gold+llm": {1: ceiling}}


def test_cascades_are_excluded_where_words_are_not_understood_and_claims_say_so(evaluated):
    assert claims.excluded(cascades(evaluated, acted=1.0, talk=1.0), {"acted": 0.01, "talk": 0.05}) == {}
    found = claims.excluded(cascades(evaluated, acted=0.0, talk=1.0), {})
    assert set(found["ser.acted"]) == {"text+llm", "random+llm", "whisper+llm", "wavlm+llm"}
    predictions = cascades(evaluated, acted=1.0, talk=1.0)
    found = claims.excluded(predictions, {"acted": 0.42})
    assert {corpus: set(names) for corpus, names in found.items()} == {"ser.acted": {"whisper+llm", "wavlm+llm"}}
    assert "word error rate of 0.42" in found["ser.acted"]["whisper+llm"]
    (row,) = claims.judge_claims(predictions, PUBLISHED, CLAIMS[:1], excluded=found)
    assert row["verdict"] == NOT_MEASURED and row["why"].startswith("whisper+llm is excluded: its Whisper")


def test_the_judge_must_mark_replies_lower_that_are_given_to_other_requests_or_emotions(evaluated, judge):
    predictions = one_run(evaluated({"blsp-emo": 1.0}))
    for row in predictions["blsp-emo"][1]["requests"]:
        row["response"] = f"helpful, {row['reference']}"

    class Strict(type(judge)):
        """Helpful is a reply that repeats the words of its request."""

        def mark(self, asked, replies):
            marks = super().mark(asked, replies)
            pairs = zip(asked, replies, marks, strict=True)
            return [mark | {"quality": int(one.turns[-1][1] in reply)} for one, reply, mark in pairs]

    def verdicts(judge):
        rows = controls.judge_controls(predictions, CLAIMS, judge)
        return {row["id"]: row["verdict"] for row in rows if row["id"].startswith("judge")}

    assert verdicts(judge) == {"judge-quality": INCONCLUSIVE, "judge-empathy": controls.PASSED}
    for row in predictions["blsp-emo"][1]["requests"]:
        row["response"] += f", {row['text']}"
    assert verdicts(Strict()) == {"judge-quality": controls.PASSED, "judge-empathy": controls.PASSED}
    moved = controls.shuffled_replies(predictions, Strict())[controls.SHUFFLED_REPLIES][1]["requests"]
    assert {row["quality"] for row in moved} == {0} and controls.shuffled_replies(predictions, None) == {}
