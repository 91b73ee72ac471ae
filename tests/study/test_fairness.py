"""A cascade that cannot know the words is no rival, and no claim is decided against it."""

from blsp_core.evaluation import fairness
from blsp_core.evaluation.claims import NOT_MEASURED, judge_claims
from blsp_core.evaluation.paper_claims import CLAIMS

PUBLISHED = {key: {"value": None} for claim in CLAIMS for key in claim.published_keys}


def rows(corpus: str, right: int) -> list[dict]:
    """Ten answers of which so many are right."""
    return [
        {"id": f"{corpus}-test-{i}", "reference": "sad", "predicted": "sad" if i < right else "happy", "text": str(i)}
        | {"speaker": str(i % 3), "quality": float(i < right), "empathy": float(i < right)}
        for i in range(10)
    ]


def predictions(**right: int) -> dict:
    found = {"ser.acted": rows("acted", 5), "ser.talk": rows("talk", 5)}
    ceiling = {f"ser.{corpus}": rows(corpus, count) for corpus, count in right.items()}
    ceiling["showcase"] = [{"id": "showcase-test-0", "reference": "sad", "quality": 0.0}]  # counts nowhere
    names = ("blsp-emo", "text+llm", "whisper+llm", "wavlm+llm")
    return {**{name: {1: found} for name in names}, "gold+llm": {1: ceiling}}


def test_where_words_are_understood_every_cascade_is_a_rival():
    assert fairness.unfit(predictions(acted=10, talk=9), {"acted": 0.01, "talk": 0.05}) == {}


def test_a_whisper_that_mistakes_the_words_makes_its_cascades_unfit_but_not_the_one_with_true_words():
    found = fairness.unfit(predictions(acted=10, talk=10), {"acted": 0.42})
    assert set(found) == {"ser.acted"} and set(found["ser.acted"]) == {"whisper+llm", "wavlm+llm"}
    assert "word error rate of 0.42" in found["ser.acted"]["whisper+llm"]


def test_a_task_beyond_the_llm_makes_every_cascade_unfit():
    found = fairness.unfit(predictions(acted=2, talk=10), {})
    assert set(found["ser.acted"]) == {"text+llm", "whisper+llm", "wavlm+llm"}


def test_a_claim_against_an_unfit_rival_is_not_measured_and_says_why():
    unfit = fairness.unfit(predictions(acted=10, talk=10), {"acted": 0.42})
    judged = {row["id"]: row for row in judge_claims(predictions(acted=10), PUBLISHED, 50, 1, None, unfit)}
    claim = judged["in-domain-text"]
    assert claim["verdict"] == NOT_MEASURED and claim["why"].startswith("whisper+llm is no rival: its Whisper")
    assert "why" not in next(
        row for row in judge_claims(predictions(acted=10), PUBLISHED, 50, 1) if row["id"] == "in-domain-text"
    )
