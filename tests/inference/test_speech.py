"""Asking a model in speech, and a first judgement of what it says."""

from dataclasses import replace

import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.manifest import EMOTIONS, Turn
from blsp_core.inference import speech as hearing
from blsp_core.toy import validation
from blsp_core.toy.grammar import NAMED


def ask(hearing_model, corpus, utterances, batch_size=8):
    told = {"system": prompts.SYSTEM, "instruction": prompts.CONTINUE, "max_new_tokens": 5}
    return hearing.reply(*hearing_model, utterances, corpus[0], **told, batch_size=batch_size)


def test_replies_come_in_order_and_do_not_depend_on_their_neighbours(hearing_model, corpus):
    model, _ = hearing_model
    with torch.no_grad():  # louder than words, so that clips differ in what follows
        model.adapter.norm.weight.mul_(20)
    together = ask(hearing_model, corpus, corpus[1])
    assert together == [ask(hearing_model, corpus, [utterance])[0] for utterance in corpus[1]]
    assert together == ask(hearing_model, corpus, corpus[1], batch_size=3) and len(set(together)) > 1


def test_earlier_turns_are_heard_too_and_rows_with_and_without_them_share_a_batch(hearing_model, corpus):
    model, processor = hearing_model
    first, second, last = corpus[1][:3]
    spoken = Turn("user", first.text, first.audio, first.emotion, first.duration)
    dialogue = replace(last, history=(spoken, Turn("assistant", "please go on.")))
    other = replace(dialogue, history=(replace(spoken, audio=second.audio), dialogue.history[1]))
    chat = hearing.spoken_dialogue(prompts.SYSTEM, "", dialogue, corpus[0])
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "user"]
    batch = processor([chat])
    places = [processor.speech_length(round(turn.duration * 16_000)) for turn in dialogue.spoken]
    assert (batch["input_ids"] == processor.speech_token_id).sum() == sum(places) and len(batch["input_features"]) == 2
    with torch.no_grad():
        model.adapter.norm.weight.mul_(20)
    together = ask(hearing_model, corpus, [dialogue, last, other])
    assert together == [ask(hearing_model, corpus, [one])[0] for one in (dialogue, last, other)]
    chats = [hearing.spoken_dialogue(prompts.SYSTEM, "", one, corpus[0]) for one in (dialogue, other)]
    with torch.no_grad():
        logits = [model(**processor([chat])).logits[0, -1] for chat in chats]
    assert not torch.allclose(*logits, atol=1e-4)


def test_every_utterance_has_its_own_speech_embeddings(hearing_model, corpus):
    model, processor = hearing_model
    rows = hearing.speech_embeddings(model, processor, corpus[1], corpus[0], batch_size=3)
    assert [len(row) for row in rows] == [processor.speech_length(round(u.duration * 16_000)) for u in corpus[1]]
    assert torch.allclose(rows[2], hearing.speech_embeddings(model, processor, [corpus[1][2]], corpus[0])[0], atol=1e-5)


def test_the_head_names_one_of_the_emotions_for_every_utterance(hearing_model, corpus):
    model, processor = hearing_model
    with torch.no_grad():
        model.emotion_head.weight.zero_()
        model.emotion_head.weight[3] = hearing.speech_embeddings(model, processor, corpus[1], corpus[0])[0].mean(dim=0)
    named = hearing.named_by_head(model, processor, corpus[1], corpus[0])
    assert len(named) == len(corpus[1]) and named[0] == EMOTIONS[3] and set(named) <= set(EMOTIONS)


def test_likeness_has_a_row_for_every_word(hearing_model, corpus):
    cosine, words = hearing.likeness_to_words(*hearing_model, corpus[1][0], corpus[0])
    assert words == corpus[1][0].text.split() and len(cosine) == len(words)
    assert cosine.abs().max() <= 1 + 1e-6


def test_names_are_counted_tone_by_tone(corpus):
    utterances = corpus[1][:5]  # one of each tone
    answers = [NAMED.format(emotion=tone) for tone in ("neutral", "sad", "sad", "angry")] + ["hard to say"]
    found = validation.judge_names(utterances, answers)
    assert found["tone"] == pytest.approx(3 / 5) and found["n"] == 5
    assert found["by_tone"] == {"neutral": 1, "happy": 0, "sad": 1, "angry": 1, "surprise": 0}
    assert found["named"]["sad"] == pytest.approx(2 / 5) and sum(found["named"].values()) == pytest.approx(4 / 5)


def test_a_malformed_reply_is_wrong_in_all(requests):
    utterances, replies = requests
    right = validation.judge_replies(utterances, replies)
    assert (right["well_formed"], right["object"], right["tone"]) == (1, 1, 1)
    broken = validation.judge_replies(utterances, [reply.removesuffix(".") + " the" for reply in replies])
    assert (broken["well_formed"], broken["object"], broken["tone"]) == (0, 0, 0)


@pytest.fixture
def requests():
    import random

    from blsp_core.data.manifest import Utterance
    from blsp_core.toy.corpora import plan
    from blsp_core.toy.grammar import empathetic_reply

    lines = plan("requests", "validation", 8, 1)
    utterances = [Utterance("", x.sentence.text, x.tone, str(i), "", "en", 1.0, "", "") for i, x in enumerate(lines)]
    return utterances, [empathetic_reply(random.Random(1), line.sentence, line.tone) for line in lines]
