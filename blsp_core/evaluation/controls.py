"""Two controls, decided like the claims: what must fail if recognition is learnt from the voice, and what cannot be
better than text."""

from collections.abc import Sequence
from dataclasses import replace

from blsp_core.evaluation import claims
from blsp_core.evaluation.claims import INCONCLUSIVE, MARGIN, NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, TEXT_ONLY
from blsp_core.evaluation.intervals import Estimate
from blsp_core.evaluation.results import CONTROL, Predictions

PASSED, FAILED = "passed", "failed"
SHUFFLED = "shuffled-labels"  # the system
CONTROL_CLAIMS = ("in-domain-text", "out-of-domain-text", "requests-emotion", "requests-empathy")
NO_ADVANTAGE = claims.Test(
    f"no system more than {MARGIN} above {TEXT_ONLY}; failed when one is significantly beyond",
    lambda found: found.p_below(MARGIN),
    lambda found: found.p_above(MARGIN),
)


def judge_controls(predictions: Predictions, paper: Sequence[claims.Claim]) -> list[dict]:
    """The two controls: `id`, `control` in words, `measured`, `interval` of the decisive difference, `test`, `verdict`:
    passed, failed, inconclusive or not measured.

    A model trained on shuffled labels must fail the claims about emotion recognition, else they hold without learning
    from the voice. And on a corpus whose voices have emotions drawn at random, so that only the words agree with the
    label, no system may be better than the LLM that has only the words, else the label reaches it by another way; it
    may be worse, as a system that uses the voice is misled.
    """
    shuffled = "Trained on shuffled labels, the model fails the claims about emotion recognition."
    words = "Where only the words agree with the label, no system is better than the LLM that has only the words."
    swapped = (
        f"in BLSP-Emo's place in {', '.join(CONTROL_CLAIMS)}, by balanced accuracy: failed when one of these claims is "
        f"reproduced, passed when in each a comparison is significantly below {MARGIN}"
    )
    rows = []
    for name, control, test, found in (
        (SHUFFLED, shuffled, swapped, _shuffled(predictions, paper)),
        ("random-emotions", words, NO_ADVANTAGE.words, _text_only(predictions)),
    ):
        measured, decisive, verdict = found or (None, None, NOT_MEASURED)
        row = {"id": name, "control": control, "measured": measured, "interval": decisive and decisive.interval}
        rows.append(row | {"test": test, "verdict": verdict})
    return rows


def _shuffled(predictions: Predictions, paper: Sequence[claims.Claim]) -> tuple[dict, Estimate, str] | None:
    measured, decided = {}, []
    for claim in (claim for claim in paper if claim.id in CONTROL_CLAIMS):
        swapped = [replace(c, system=SHUFFLED, metric={"wa": "ua"}.get(c.metric, c.metric)) for c in claim.comparisons]
        found = [claims.difference(c, predictions, measured) for c in swapped]
        if None in found:
            return None
        claimed = claims.decide(claims.TESTS[claim.test], found)[0] == REPRODUCED
        below, place, _ = claims.decide(replace(claims.TESTS["greater"], fails=lambda one: one.p_below(MARGIN)), found)
        verdict = FAILED if claimed else PASSED if below == NOT_REPRODUCED else INCONCLUSIVE
        decided.append((verdict, found[place]))
    verdict = next(one for one in (FAILED, INCONCLUSIVE, PASSED) if one in [other for other, _ in decided])
    most = max((found for one, found in decided if one == verdict), key=lambda found: found.value)
    return measured | {"difference": most.value}, most, verdict


def _text_only(predictions: Predictions) -> tuple[dict, Estimate, str] | None:
    measured: dict[str, float] = {}
    given = claims.GOLD, "random+llm"  # these read an emotion
    others = [name for name in predictions if name not in (TEXT_ONLY, *given)]
    compared = [claims.Comparison(system, TEXT_ONLY, (CONTROL,), "wa") for system in others]
    found = [one for c in compared if (one := claims.difference(c, predictions, measured)) is not None]
    if not found:
        return None
    verdict, place, p = claims.decide(NO_ADVANTAGE, found)
    measured |= {"difference": found[place].value, "p": p}
    return measured, found[place], {REPRODUCED: PASSED, NOT_REPRODUCED: FAILED}.get(verdict, verdict)
