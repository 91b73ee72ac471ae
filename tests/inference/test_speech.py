"""Replies to speech, and what the parts of a model make of an utterance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn
from blsp_core.inference import speech
from blsp_core.model.audio import load_audio

SETTINGS = {"system": prompts.SYSTEM_EMPATHY, "instruction": "", "max_new_tokens": 5}


@pytest.fixture
def ask(speech_model, corpus):
    return lambda rows, **more: speech.reply(*speech_model, rows, corpus[0], **SETTINGS, **more)


def test_replies_come_in_order_and_do_not_depend_on_their_neighbours(ask, corpus):
    together = ask(corpus[1])
    assert together == [ask([utterance])[0] for utterance in corpus[1]] == ask(corpus[1], batch_size=3)
    assert len(set(together)) > 1


def turns(utterance, reply):
    spoken = Turn("user", utterance.text, utterance.audio, utterance.emotion, utterance.duration)
    return spoken, Turn("assistant", reply)


def test_earlier_turns_count_and_rows_with_and_without_them_share_a_batch(ask, speech_model, corpus):
    (model, processor), (folder, (first, second, last, *_)) = speech_model, corpus
    dialogue, other = (replace(last, history=turns(one, "please go on.")) for one in (first, second))
    chats = [speech.spoken_dialogue(prompts.SYSTEM, "", one, folder) for one in (dialogue, other)]
    assert [message["role"] for message in chats[0]] == ["system", "user", "assistant", "user"]
    batch = processor(chats[:1])
    places = [processor.speech_length(round(turn.duration * 16_000)) for turn in dialogue.spoken]
    assert (batch["input_ids"] == processor.speech_token_id).sum() == sum(places) and len(batch["input_features"]) == 2
    assert ask([dialogue, last, other]) == [ask([one])[0] for one in (dialogue, last, other)]
    with torch.no_grad():
        logits = [model(**processor([chat])).logits[0, -1] for chat in chats]
    assert not torch.allclose(*logits, atol=1e-4)


def test_a_conversation_continues_as_the_dialogue_so_far(ask, speech_model, corpus):
    folder, (first, last, *_) = corpus
    talk = speech.Conversation(*speech_model, max_new_tokens=5)
    replies = [talk.say(load_audio(one.audio, folder)) for one in (first, last)]
    assert replies == [ask([one])[0] for one in (first, replace(last, history=turns(first, replies[0])))]
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"] * 2


def test_every_utterance_has_its_own_speech_embeddings_and_one_emotion_of_the_head(ask, speech_model, corpus):
    (model, processor), (folder, utterances) = speech_model, corpus
    rows = speech.speech_embeddings(*speech_model, utterances, folder, batch_size=3)
    assert [len(row) for row in rows] == [processor.speech_length(round(u.duration * 16_000)) for u in utterances]
    assert torch.allclose(rows[2], speech.speech_embeddings(*speech_model, utterances[2:3], folder)[0], atol=1e-5)
    with torch.no_grad():
        model.emotion_head.weight.zero_()
        model.emotion_head.weight[3] = rows[0].mean(dim=0)
        model.emotion_head.weight[1] = 2 * (rows[1] - rows[0].mean(dim=0)).mean(dim=0)
    found = speech.reply_with_emotion(*speech_model, utterances, folder, batch_size=3, **SETTINGS)
    assert [one["reply"] for one in found] == ask(utterances)
    for row, one in zip(rows, found, strict=True):
        shares = model.emotion_head(row.mean(dim=0)).softmax(dim=-1)
        assert one["emotion"] == EMOTIONS[int(shares.argmax())] and one["share"] == pytest.approx(float(shares.max()))
    assert found[0]["emotion"] == EMOTIONS[3]
    dialogue = replace(utterances[1], history=turns(utterances[0], "please go on."))
    again = speech.reply_with_emotion(*speech_model, [dialogue, *utterances[:2]], folder, **SETTINGS)
    assert again[0]["share"] == pytest.approx(again[2]["share"]) == pytest.approx(found[1]["share"])  # the last turn's


def test_word_similarity_has_a_row_for_every_token(speech_model, corpus):
    row = corpus[1][0]
    cosine, tokens = speech.word_similarity(*speech_model, row, corpus[0])
    assert len(tokens) == len(cosine) == len(" " + row.text) and tokens[1] == row.text[0]
    assert cosine.abs().max() <= 1 + 1e-6


def test_pooled_embeddings_are_the_principal_axes_of_the_means(speech_model, corpus):
    table = speech.pooled(*speech_model, corpus[1], corpus[0])
    assert list(table["id"]) == [row.id for row in corpus[1]]
    assert list(table.columns[:4]) == ["id", "emotion", "speaker", "d00"]
    means = np.stack([row.mean(0).numpy() for row in speech.speech_embeddings(*speech_model, corpus[1], corpus[0])])
    points = table.filter(like="d0").to_numpy()
    distances = [np.linalg.norm(found[0] - found[1:], axis=1) for found in (points, means)]
    assert np.allclose(*distances, rtol=1e-3)
    assert list(speech.pooled(*speech_model, [], corpus[0]).columns) == ["id", "emotion", "speaker"]
