"""What the model would answer while it trains: measured, written down, and good for choosing weights."""

import pandas as pd
import pytest
import torch

from blsp_core.data import dataset as examples
from blsp_core.data import prompts, targets
from blsp_core.data.manifest import EMOTIONS
from blsp_core.inference.llm import Answer
from blsp_core.training import callbacks as watching
from blsp_core.training import objectives
from blsp_core.training.keeping import KeepBest
from blsp_core.training.trainer import train


@pytest.fixture
def run(hearing_model, corpus, tmp_path):
    model, processor = hearing_model
    folder, utterances = corpus
    rows = [targets.name_emotion(utterance, utterance.emotion) for utterance in utterances]
    data = examples.Examples(rows, processor, folder)
    model.set_trainable(adapter=True)

    def run(steps=6, rate=0.02, stop_after=None):
        watched = watching.EmotionWords(utterances, processor, folder, tmp_path / "words.csv", looks=3)
        best = KeepBest(lambda _: watched.mean, watched.every(steps), tmp_path / "best")
        places = {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv", "callbacks": [watched, best]}
        how = {"steps": steps, "batch_size": 4, "learning_rate": rate, "seed": 1, "save_steps": 2}
        train(model, data, examples.collate, objectives.EmotionAlignment(0), **how, **places, stop_after=stop_after)
        return watched, best, pd.read_csv(tmp_path / "words.csv")

    return run


def test_the_right_word_grows_likelier_as_it_is_taught(run, corpus):
    watched, best, found = run(steps=60, rate=0.005)
    assert sorted(set(found["step"])) == [0, 20, 40, 60] and set(found["emotion"]) == {u.emotion for u in corpus[1]}
    means = found.groupby("step")["probability"].mean()
    assert found["probability"].between(0, 1).all() and means[60] > means[0]
    assert watched.mean == pytest.approx(means[60], abs=1e-5)


def test_the_answers_are_the_llms_own_where_they_name_what_it_was_told(run, monkeypatch):
    own = [f"oh, quite {emotion}." for emotion in EMOTIONS[:4]] + ["who knows?"]
    monkeypatch.setattr(watching, "answer", lambda *_, **__: [Answer(text, False) for text in own])
    watched, *_ = run(steps=3)
    said = [row["output"] for row in watched.examples.rows[:5]]
    assert said == [*own[:4], prompts.NAMED.format(emotion=EMOTIONS[4])]


def test_a_clips_probability_does_not_depend_on_its_neighbours(run, hearing_model, corpus, monkeypatch):
    monkeypatch.setattr(watching, "answer", lambda *_, **__: [Answer("", False)] * 5)
    watched, *_ = run(steps=3)
    model, _ = hearing_model
    shares = [
        watching.EmotionWords([utterance], hearing_model[1], corpus[0], watched.log)._right(model)[0]
        for utterance in corpus[1]
    ]
    torch.testing.assert_close(torch.tensor(watched._right(model)), torch.tensor(shares), atol=1e-4, rtol=0)
    rows = [targets.name_emotion(corpus[1][0], emotion) for emotion in ("sad", "happy")]
    batch = examples.collate([examples.Examples(rows, hearing_model[1], corpus[0])[place] for place in (0, 1)])
    together = watching._log_likelihood(model, batch)
    alone = watching._log_likelihood(
        model, examples.collate([examples.Examples(rows[1:], hearing_model[1], corpus[0])[0]])
    )
    torch.testing.assert_close(together[1:], alone, atol=1e-3, rtol=1e-4)


def test_a_clip_that_has_five_answers_is_encoded_once(hearing_model, corpus, monkeypatch):
    model, processor = hearing_model
    rows = [targets.name_emotion(utterance, emotion) for utterance in corpus[1][:2] for emotion in EMOTIONS]
    data = examples.Examples(rows, processor, corpus[0])
    each = examples.collate([data[place] for place in range(len(rows))])
    with torch.no_grad():
        wanted, encoded = watching._log_likelihood(model, each), []
        encode = model.encode
        monkeypatch.setattr(model, "encode", lambda *sounds: encoded.append(len(sounds[0])) or encode(*sounds))
        found = watching._log_likelihood(model, watching._encoded_once(model, dict(each), 5))
    assert encoded == [2]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_an_interrupted_run_keeps_what_it_had_seen(run):
    *_, before = run(steps=6, stop_after=4)
    *_, whole = run(steps=6)
    assert sorted(set(before["step"])) == [0, 2, 4] and sorted(set(whole["step"])) == [0, 2, 4, 6]
    assert whole[whole["step"] <= 4].reset_index(drop=True).equals(before)


def test_the_weights_of_the_best_look_are_kept(run, hearing_model):
    watched, best, found = run(steps=6, rate=0.5)  # so fast that it does harm
    means = found[found["step"] > 0].groupby("step")["probability"].mean()
    assert best.best == means.idxmax()
    now = pd.DataFrame({"e": [u.emotion for u in watched.utterances], "p": watched._right(hearing_model[0])})
    assert now.groupby("e")["p"].mean().mean() == pytest.approx(means.max(), abs=1e-4)


def test_without_utterances_there_is_a_table_without_rows(hearing_model, corpus, tmp_path):
    watched = watching.EmotionWords([], hearing_model[1], corpus[0], tmp_path / "words.csv")
    watched._look(0, hearing_model[0])
    assert list(pd.read_csv(watched.log).columns) == ["step", "emotion", "probability"]
