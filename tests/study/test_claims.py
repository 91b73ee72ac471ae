import json
from pathlib import Path

import pytest

from blsp_core.errors import StudyError
from blsp_core.study import claims
from blsp_core.study.statistics import Estimate

PUBLISHED = Path(__file__).parents[2] / "data" / "published.json"
FIELDS = ["id", "claim", "where", "published", "measured", "interval", "test", "verdict"]


@pytest.fixture(scope="module")
def published():
    return claims.read_published(PUBLISHED)


@pytest.fixture(scope="module")
def judged(published, evaluated):
    chances = {"text+llm": 0.0, "whisper+llm": 0.0, "blsp": 0.0, "blsp-emo": 0.8}
    return {row["id"]: row for row in claims.judge_claims(evaluated(chances), published, draws=200)}


def estimate(low, high):
    return Estimate((low + high) / 2, low, high, 100, 10)


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
    decide, _ = claims.TESTS[test]
    assert decide(estimate(low, high)) == verdict


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
    weakest = max(figures["ser.statements.text+llm.wa"], figures["ser.statements.whisper+llm.wa"])
    assert figures["difference"] == pytest.approx(figures["ser.statements.blsp-emo.wa"] - weakest)
    assert row["interval"][0] < figures["difference"] < row["interval"][1]


def test_a_system_that_is_deaf_to_tones_refutes_them(published, evaluated):
    deaf = evaluated({"text+llm": 0.8, "whisper+llm": 0.8, "blsp-emo": 0.0})
    rows = {row["id"]: row for row in claims.judge_claims(deaf, published, draws=200)}
    assert rows["in-domain-text"]["verdict"] == claims.NOT_REPRODUCED
    assert rows["in-domain-text"]["measured"]["difference"] < 0


def test_one_comparison_that_fails_fails_the_claim(published, evaluated):
    mixed = evaluated({"text+llm": 0.0, "whisper+llm": 1.0, "blsp-emo": 0.8})
    rows = {row["id"]: row for row in claims.judge_claims(mixed, published, draws=200)}
    assert rows["out-of-domain-text"]["verdict"] == claims.NOT_REPRODUCED


def test_claims_about_absent_systems_stay_in_the_table_unmeasured(judged):
    assert [*judged] == [claim.id for claim in claims.CLAIMS]
    row = judged["in-domain-classifiers"]
    assert (row["measured"], row["interval"], row["verdict"]) == (None, None, claims.NOT_MEASURED)
    assert row["published"]["table1.iemocap.hubert+llm"] == 64.6
    assert all(list(row) == FIELDS for row in judged.values())


def test_a_test_set_that_was_itself_met_stands_before_its_mirror(published, evaluated):
    predictions = evaluated({"text+llm": 0.0, "whisper+llm": 0.0, "blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks["ser.ravdess"] = [row | {"task": "ser.ravdess"} for row in tasks.pop("ser.statements")]
    rows = {row["id"]: row for row in claims.judge_claims(predictions, published, draws=50)}
    assert "ser.ravdess.blsp-emo.wa" in rows["out-of-domain-text"]["measured"]


def test_an_average_over_languages_needs_every_language(published, evaluated):
    rivals = "whisper+llm wav2vec2+llm hubert+llm wavlm+llm salmonn".split()
    predictions = evaluated(dict.fromkeys(rivals, 0.0) | {"blsp-emo": 0.8})
    for tasks in predictions.values():
        tasks |= {f"ser.{name}": tasks["ser.acted"] for name in ("greek", "french", "russian")}
    row = next(r for r in claims.judge_claims(predictions, published, draws=50) if r["id"] == "cross-lingual")
    assert row["verdict"] == claims.REPRODUCED
    del predictions["salmonn"]["ser.russian"]
    row = next(r for r in claims.judge_claims(predictions, published, draws=50) if r["id"] == "cross-lingual")
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
