"""The probability of the right emotion word during training."""

import pandas as pd
import pytest
import torch

from blsp_core.data import prompts
from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.targets import name_emotion
from blsp_core.inference.llm import Answer
from blsp_core.training import callbacks
from blsp_core.training.callbacks import EmotionWords
from blsp_core.training.objectives import EmotionAlignment
from blsp_core.training.trainer import train


@pytest.fixture
def run(parts, corpus, tmp_path):
    (model, processor), (folder, utterances) = parts, corpus
    data = SpeechTextDataset([name_emotion(u, u.emotion) for u in utterances], processor, folder)
    model.set_trainable(adapter=True)

    def run(**options):
        words = EmotionWords(utterances, processor, folder, tmp_path / "words.csv", times=3)
        places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv", "callbacks": [words]}
        options = {"batch_size": 4, "learning_rate": 0.005, "seed": 1, "save_steps": 2} | options
        train(model, data, collate, EmotionAlignment({"emotion_weight": 0}), **options, **places)
        return pd.read_csv(tmp_path / "words.csv")

    return run


def test_the_right_word_becomes_likelier_when_it_is_trained(run, corpus):
    found = run(steps=30)
    assert sorted(set(found["step"])) == [0, 10, 20, 30] and set(found["emotion"]) == {u.emotion for u in corpus[1]}
    means = found.groupby("step")["probability"].mean()
    assert found["probability"].between(0, 1).all() and means[30] > means[0]


def test_a_resumed_run_keeps_the_rows_of_its_checkpoint(run):
    before, whole = run(steps=6, stop_after=4), run(steps=6)
    assert sorted(set(before["step"])) == [0, 2, 4] and sorted(set(whole["step"])) == [0, 2, 4, 6]
    assert whole[whole["step"] <= 4].reset_index(drop=True).equals(before)


def test_answers_are_the_llms_own_where_they_name_the_emotion(parts, corpus, tmp_path, monkeypatch):
    own = [f"oh, quite {emotion}." for emotion in EMOTIONS[:4]] + ["who knows?"]
    monkeypatch.setattr(callbacks, "answer", lambda *_, **__: [Answer(text, False) for text in own])
    words = EmotionWords(corpus[1], parts[1], corpus[0], tmp_path / "words.csv")
    words.measure(0, parts[0])
    assert [row["output"] for row in words.examples.rows[:5]] == [*own[:4], prompts.NAMED.format(emotion=EMOTIONS[4])]


def test_a_clip_is_encoded_once_and_its_probability_does_not_depend_on_the_other_clips(
    parts, corpus, tmp_path, monkeypatch
):
    (model, processor), (folder, utterances), encoded, encode = parts, corpus, [], parts[0].encode
    monkeypatch.setattr(callbacks, "answer", lambda *_, **__: [Answer("", False)] * 5)
    monkeypatch.setattr(model, "encode", lambda *sounds: encoded.append(len(sounds[0])) or encode(*sounds))

    def probabilities(clips):
        return torch.tensor(EmotionWords(clips, processor, folder, tmp_path / "words.csv").probabilities(model))

    together, alone = probabilities(utterances), [probabilities([utterance]) for utterance in utterances]
    assert encoded == [8] + 8 * [1]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_without_utterances_the_table_has_no_rows(parts, tmp_path):
    EmotionWords([], parts[1], tmp_path, tmp_path / "words.csv").measure(0, parts[0])
    assert list(pd.read_csv(tmp_path / "words.csv").columns) == ["step", "emotion", "probability"]
