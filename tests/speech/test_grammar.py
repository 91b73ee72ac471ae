"""The miniature language: what it says, and that its parser reads back what it wrote."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blsp_core.data.manifest import EMOTIONS
from blsp_core.toy import grammar, lexicon
from blsp_core.toy.grammar import draw_sentence, object_of, parse_reply

SEEDS, TONES = st.integers(0, 10**6), st.sampled_from(EMOTIONS)
SPLITS = st.sampled_from(["train", "validation", "test"])


@given(SEEDS, SPLITS, st.booleans(), st.none() | TONES)
def test_a_sentence_is_of_its_split_about_its_object_and_says_its_cue(seed, split, request, cue_tone):
    sentence = draw_sentence(random.Random(seed), split, request, cue_tone)
    assert sentence.split == split and sentence.request == request
    assert object_of(sentence.text) == sentence.object in lexicon.TOPICS[sentence.topic]["objects"]
    said = {tone for tone, cues in lexicon.CUES.items() for cue in cues if cue in sentence.text}
    assert said == ({cue_tone} if cue_tone else set())


def test_no_verb_person_or_cue_is_an_object_too():
    others = [verb for topic in lexicon.TOPICS.values() for verb in topic["verbs"]]
    others += [
        *lexicon.PEOPLE,
        *lexicon.PLACES,
        *lexicon.MOMENTS,
        *(cue for cues in lexicon.CUES.values() for cue in cues),
    ]
    assert {text: object_of(text) for text in others if object_of(text)} == {}


@given(SEEDS, SPLITS, TONES)
def test_a_cue_moves_no_sentence_to_another_split(seed, split, tone):
    plain = draw_sentence(random.Random(seed), split)
    cued = grammar.Sentence(**{**vars(plain), "cue": lexicon.CUES[tone][0]})
    assert cued.text != plain.text and cued.split == plain.split


@given(SEEDS, st.booleans(), TONES)
def test_the_parser_reads_back_what_the_grammar_writes(seed, request, tone):
    rng = random.Random(seed)
    sentence = draw_sentence(rng, "test", request)
    for text, kind, expected in (
        (grammar.continuation(rng, sentence, tone), "continuation", tone),
        (grammar.empathetic_reply(rng, sentence, tone), "reply", tone),
        (grammar.plain_reply(rng, sentence), "reply", None),
    ):
        found = parse_reply(text)
        assert (found.kind, found.tone, found.object, found.well_formed) == (kind, expected, sentence.object, True)


@given(SEEDS, SPLITS, TONES, TONES)
def test_a_dialogue_asks_at_last_about_what_was_named_at_first(seed, split, tone, cue_tone):
    rng = random.Random(seed)
    dialogue = grammar.draw_dialogue(rng, split, tone, last_cue_tone=cue_tone)
    assert dialogue.first.split == split and object_of(dialogue.first.text) == dialogue.last.object
    assert object_of(dialogue.reply) is None and object_of(dialogue.last.text) is None
    assert parse_reply(dialogue.reply).tone == (None if tone == "neutral" else tone)
    assert dialogue.last.cue in lexicon.CUES[cue_tone]
    found = parse_reply(grammar.empathetic_reply(rng, dialogue.last, cue_tone))
    assert (found.tone, found.object, found.topic) == (cue_tone, dialogue.first.object, dialogue.first.topic)
    assert found.well_formed


@given(SEEDS, TONES, st.randoms(use_true_random=False))
def test_words_in_disorder_are_malformed(seed, tone, shuffler):
    rng = random.Random(seed)
    words = grammar.continuation(rng, draw_sentence(rng, "test"), tone).split()
    shuffled = words[:]
    shuffler.shuffle(shuffled)
    if shuffled != words:
        assert not parse_reply(" ".join(shuffled)).well_formed


def test_advice_that_belongs_to_another_topic_is_malformed():
    advice = f"like {lexicon.TOPICS['travel']['folk']} {lexicon.TOPICS['travel']['advice'][0]}"
    right, wrong = (parse_reply(advice.format(object=thing) + ".") for thing in ("hotel", "soup"))
    assert right.well_formed and not wrong.well_formed
    assert wrong.object == "soup"


@pytest.mark.parametrize("text", ["", ".", "dog", "sure.", "the dog the dog the dog", "sure. it was pure joy when"])
def test_no_text_at_all_is_too_odd_to_be_judged(text):
    assert not parse_reply(text).well_formed


def test_an_opening_of_one_kind_does_not_go_with_the_body_of_another():
    sentence = draw_sentence(random.Random(1), "test", request=True)
    advice = grammar.plain_reply(random.Random(1), sentence)
    assert not parse_reply(f"alas, {lexicon.OPENINGS_CONTINUATION['sad'][0]} {advice}").well_formed
    assert parse_reply(f"alas, {lexicon.OPENINGS_REPLY['sad'][0]} {advice}").well_formed


@pytest.mark.parametrize("tone", EMOTIONS)
def test_a_named_tone_is_read(tone):
    for name in (grammar.NAMED.format(emotion=tone), grammar.name_of_tone(tone)):
        found = parse_reply(name.capitalize())
        assert (found.kind, found.tone, found.well_formed) == ("name", tone, True)


def test_openings_of_different_tones_are_never_mistaken_for_each_other():
    for table in (lexicon.OPENINGS_CONTINUATION, lexicon.OPENINGS_REPLY):
        openings = [(tone, opening) for tone in EMOTIONS for opening in table[tone]]
        assert len({opening for _, opening in openings}) == len(openings)
        for tone, opening in openings:
            assert parse_reply(f"{lexicon.INTERJECTIONS[tone]} {opening} anything").tone == tone
