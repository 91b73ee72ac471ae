"""A first look at a trained model, on the validation splits; the evaluation on test splits is another matter."""

from blsp_core.data.manifest import EMOTIONS, Utterance
from blsp_core.evaluation.tasks import parse_emotion
from blsp_core.toy.grammar import object_of, parse_reply


def judge_replies(utterances: list[Utterance], replies: list[str]) -> dict:
    """Replies to requests, by the grammar: shares that are `well_formed`, advise on the right `object`, and open in the
    speaker's `tone`; `by_tone`: the last one for each tone; n. What is malformed is wrong in all; to ask for more is no
    advice."""
    parsed = [parse_reply(reply) for reply in replies]
    formed = [reply.well_formed and reply.kind == "reply" for reply in parsed]
    advised = [f and reply.topic is not None for f, reply in zip(formed, parsed, strict=True)]
    right = [a and r.object == object_of(u.text) for a, r, u in zip(advised, parsed, utterances, strict=True)]
    tone = [f and r.tone == u.emotion for f, r, u in zip(formed, parsed, utterances, strict=True)]
    shares = {"well_formed": _mean(formed), "object": _mean(right), "tone": _mean(tone)}
    return {**shares, "by_tone": _by_tone(utterances, tone), "n": len(replies)}


def judge_names(utterances: list[Utterance], answers: list[str]) -> dict:
    """Answers that should name the tone: the share that is right as `tone`, `by_tone`, and how often each tone was
    `named`; n."""
    named = [parse_emotion(answer) for answer in answers]
    right = [name == utterance.emotion for name, utterance in zip(named, utterances, strict=True)]
    shares = {tone: _mean(name == tone for name in named) for tone in EMOTIONS}
    return {"tone": _mean(right), "by_tone": _by_tone(utterances, right), "named": shares, "n": len(answers)}


def _by_tone(utterances: list[Utterance], right: list[bool]) -> dict[str, float]:
    rows = {tone: [r for u, r in zip(utterances, right, strict=True) if u.emotion == tone] for tone in EMOTIONS}
    return {tone: _mean(found) for tone, found in rows.items() if found}


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
