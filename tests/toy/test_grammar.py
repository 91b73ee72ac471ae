"""The toy language: its sentences, and that the parser recovers what the grammar generated."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blsp_core.data.emotions import EMOTIONS
from blsp_core.toy import grammar, lexicon
from blsp_core.toy.grammar import draw_sentence, object_of, parse_reply

SEEDS, ANY_EMOTION = st.integers(0, 10**6), st.sampled_from(EMOTIONS)
SPLITS = st.sampled_from(["train", "validation", "test"])


@given(SEEDS, SPLITS, st.booleans(), st.none() | ANY_EMOTION)
def test_a_sentence_is_of_its_split_and_contains_its_object_and_its_cue(seed, split, request, cue):
    sentence = draw_sentence(random.Random(seed), split, request, cue)
    assert sentence.split == split and sentence.request == request
    assert object_of(sentence.text) == sentence.object in lexicon.TOPICS[sentence.topic]["objects"]
    found = {emotion for emotion, cues in lexicon.CUES.items() for text in cues if text in sentence.text}
    assert found == ({cue} if cue else set())
    cued = grammar.Sentence(**{**vars(sentence), "cue": lexicon.CUES["angry"][0]})
    assert cued.split == split  # whatever the cue


@given(SEEDS, st.booleans(), ANY_EMOTION)
def test_the_parser_recovers_kind_emotion_and_object(seed, request, emotion):
    rng = random.Random(seed)
    sentence = draw_sentence(rng, "test", request)
    for text, kind, expected in (
        (grammar.continuation(rng, sentence, emotion), "continuation", emotion),
        (grammar.empathetic_reply(rng, sentence, emotion), "reply", emotion),
        (grammar.plain_reply(rng, sentence), "reply", None),
    ):
        found = parse_reply(text)
        assert (found.kind, found.emotion, found.object, found.well_formed) == (kind, expected, sentence.object, True)


@given(SEEDS, SPLITS, ANY_EMOTION, ANY_EMOTION)
def test_only_the_first_turn_of_a_dialogue_names_the_object(seed, split, emotion, cue):
    rng = random.Random(seed)
    first, reply, last = grammar.draw_dialogue(rng, split, emotion, last_cue_emotion=cue)
    assert first.split == split and object_of(first.text) == last.object and last.cue in lexicon.CUES[cue]
    assert object_of(reply) is None and object_of(last.text) is None
    assert parse_reply(reply).emotion == (None if emotion == "neutral" else emotion)
    found = parse_reply(grammar.empathetic_reply(rng, last, cue))
    assert (found.emotion, found.object, found.topic, found.well_formed) == (cue, first.object, first.topic, True)


@given(SEEDS, ANY_EMOTION, st.randoms(use_true_random=False))
def test_shuffled_words_are_malformed(seed, emotion, shuffler):
    rng = random.Random(seed)
    words = grammar.continuation(rng, draw_sentence(rng, "test"), emotion).split()
    shuffled = words[:]
    shuffler.shuffle(shuffled)
    assert shuffled == words or not parse_reply(" ".join(shuffled)).well_formed


@pytest.mark.parametrize("text", ["", ".", "dog", "sure.", "the dog the dog the dog", "sure. it was pure joy when"])
def test_any_text_can_be_parsed(text):
    assert not parse_reply(text).well_formed


def test_parts_that_do_not_fit_together_are_malformed():
    travel = lexicon.TOPICS["travel"]
    hotel, soup = (f"like {travel['folk']} {travel['advice'][0]}.".format(object=name) for name in ("hotel", "soup"))
    assert parse_reply(hotel).well_formed and not parse_reply(soup).well_formed and parse_reply(soup).object == "soup"
    assert parse_reply(f"alas, {lexicon.OPENINGS_REPLY['sad'][0]} {hotel}").well_formed
    assert not parse_reply(f"alas, {lexicon.OPENINGS_CONTINUATION['sad'][0]} {hotel}").well_formed
