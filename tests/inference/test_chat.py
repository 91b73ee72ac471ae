"""The page of blsp-chat: replies that grow, columns side by side, visitors apart, errors in a sentence."""

import threading
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file

from blsp_core import chat
from blsp_core.data.prompts import SYSTEM, SYSTEM_EMPATHY
from blsp_core.inference import llm
from blsp_core.inference.speech import Conversation
from blsp_core.model.audio import SAMPLE_RATE, load_audio

SETTINGS = {"system": SYSTEM_EMPATHY, "max_new_tokens": 6, "temperature": 0.0}


@pytest.fixture
def talker(speech_model, tmp_path):
    for part in speech_model:
        part.save_pretrained(tmp_path / "tiny")
    return chat.SpeechModel(tmp_path / "tiny")


@pytest.fixture
def clips(corpus, tmp_path):
    """Two clips as files."""
    paths = [tmp_path / f"{n}.wav" for n in range(2)]
    for path, utterance in zip(paths, corpus[1], strict=False):
        soundfile.write(path, load_audio(utterance.audio, corpus[0]), SAMPLE_RATE)
    return paths


def spoken(path):
    return {"role": "user", "sound": load_audio(path)}


def test_a_reply_grows_to_the_greedy_one_over_several_turns(talker, clips):
    talk, turns = Conversation(talker.model, talker.processor, max_new_tokens=6), []
    for path in clips:
        turns.append(spoken(path))
        states = list(talker.reply(turns, **SETTINGS))
        assert all(after.startswith(before) for before, after in zip(states, states[1:], strict=False))
        assert states[-1].strip() == talk.say(load_audio(path)) and len(states) > 1
        turns.append({"role": "assistant", "text": states[-1].strip()})


def test_a_temperature_draws_and_a_closed_reply_ends_its_thread(talker, clips):
    drawn = {list(talker.reply([spoken(clips[0])], **SETTINGS | {"temperature": 5.0}))[-1] for _ in range(4)}
    assert len(drawn) > 1
    reply = talker.reply([spoken(clips[0])], **SETTINGS | {"max_new_tokens": 200})
    next(reply)
    reply.close()
    assert not [thread for thread in threading.enumerate() if "(work)" in thread.name]


def test_an_error_of_generation_reaches_the_reader(talker):
    with pytest.raises(ValueError):
        list(llm.stream(talker.model, talker.processor.tokenizer, {}, max_new_tokens=-1))


def test_a_cascade_shows_what_it_read_and_has_no_emotions(backbones, clips):
    cascade, turn = chat.Cascade(*backbones), spoken(clips[0])
    states = list(cascade.reply([turn], SYSTEM, 6, 0.0))
    assert all(state.startswith(f"*“{turn['text']}”*") for state in states) and cascade.emotions(turn["sound"]) is None


@pytest.fixture
def send(talker, clips):
    """The function behind the button, of a page with two columns, called as a visitor does."""
    blocks = chat.page([talker, talker], clips[:1], "Only the first clip is known.")
    (function, _) = (one.fn for one in blocks.fns.values() if one.api_name.startswith("send"))
    request = SimpleNamespace(client=SimpleNamespace(host="here"))

    def sent(path, text="", talks=None):
        return list(function(path, text, True, 0.0, 6, talks or [([], []), ([], [])], request))

    return sent


def last(messages):
    return messages[-1]["role"], messages[-1]["content"]


def test_every_column_answers_and_a_clip_that_the_model_does_not_know_is_said_to_be_such(send, clips):
    *_, (_, _, _, talks, first, second) = send(str(clips[0]))
    assert last(first) == last(second) == ("assistant", talks[0][0][-1]["text"]) and len(talks[1][0]) == 2
    *_, (*_, other) = send(str(clips[1]))
    assert other[-1]["content"].startswith("⚠️ *Only the first clip is known.*")
    *_, (_, _, _, talks, first, _) = send(None, "hello", talks)
    assert [turn["role"] for turn in talks[0][0]] == ["user", "assistant"] * 2 and first[-2]["content"] == "hello"


@pytest.fixture
def warnings(monkeypatch):
    """The sentences that the page has shown."""
    shown = []
    monkeypatch.setattr(chat.gr, "Warning", shown.append)
    return shown


def test_what_cannot_be_answered_is_a_sentence_and_the_conversation_goes_on(
    send, tmp_path, monkeypatch, clips, warnings
):
    silent, broken, long = (str(tmp_path / f"{name}.wav") for name in ("silent", "broken", "long"))
    soundfile.write(silent, np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(long, np.random.default_rng(0).normal(0, 0.1, 31 * SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    for path, message in (
        (silent, "the clip: silent"), (broken, "the clip: not a sound file"), (long, "31.00 s long"),
        (None, "Record or choose"),
    ):  # fmt: skip
        (state,) = send(path)
        assert message in warnings[-1] and all(part == gr.skip() for part in state)
    monkeypatch.setattr(chat.llm, "stream", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory\nmore")))
    *_, (_, _, _, talks, first, _) = send(str(clips[0]))
    assert [turns for turns, _ in talks] == [[], []] and last(first) == ("assistant", "⚠️ out of memory")


def test_who_sends_too_many_messages_a_minute_waits(send, monkeypatch, warnings):
    monkeypatch.setattr(chat, "RATE", 2)
    times = iter([0.0, 30.0, 59.0, 61.0])
    monkeypatch.setattr(chat.time, "monotonic", lambda: next(times))
    send(None, "one"), send(None, "two")
    assert len(send(None, "three")) == 1 and "2 messages a minute" in warnings[-1]
    assert len(send(None, "four")) > 1 and len(warnings) == 1


def test_emotions_are_lines_of_text():
    lines = chat.bars({"sad": 0.25, "happy": 0.75}).splitlines()
    assert lines[1:-1] == ["happy    ████████████      75%", "sad      ████              25%"]


def test_two_visitors_have_their_own_conversations(talker, clips):
    page = chat.page([talker])
    _, address, _ = chat.launch(page, wait=False)
    try:
        one, other = (Client(address, verbose=False) for _ in range(2))
        said = (handle_file(clips[0]), ""), (None, "hello")
        first, again = (one.predict(*words, True, 0, 16, api_name="/send")[-1] for words in said)
        others = other.predict(None, "hello", True, 0, 16, api_name="/send")[-1]
        assert len(others) == 2 and len(again) == len(first) + 2
    finally:
        page.close()
