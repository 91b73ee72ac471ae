"""The straight line through the encoder's averages."""

import numpy as np
import pytest
import soundfile
import torch

from blsp_core.speech.manifest import Utterance
from blsp_core.study import probe


def test_a_fold_learns_from_itself_and_a_corpus_from_all_that_teach():
    folds = ["ravdess.fold1", "ravdess.fold2"]
    assert probe.learners("ravdess.fold2", folds) == ["ravdess.fold2"]
    assert probe.learners("ravdess.fold2", ["acted", *folds]) == ["acted", "ravdess.fold2"]
    assert probe.learners("statements", ["acted", "talk"]) == ["acted", "talk"]


class Levels:
    """An encoder whose only output is the sound, sample by sample."""

    def of(self, sound):
        return torch.from_numpy(sound).half()[:, None]


def test_averages_are_mean_and_spread_over_time(tmp_path):
    utterances = []
    for number, sound in enumerate((np.full(400, 0.25), np.array([0.5, -0.5] * 200))):
        soundfile.write(tmp_path / f"{number}.wav", sound, 16_000)
        utterances.append(Utterance(f"{number}.wav", "so", "sad", f"{number}", "me", "en", 0.025, "any", "test"))
    found = probe.averages(Levels(), utterances, tmp_path)
    assert found == pytest.approx(np.array([[0.25, 0], [0, 0.5]]), abs=1e-3)


def test_what_lies_apart_is_named_and_a_heavy_penalty_names_by_numbers():
    rng = np.random.default_rng(0)
    tones = ["sad"] * 30 + ["happy"] * 20
    rows = rng.normal(0, 0.1, (50, 3)) + np.array([[tone == "happy", 0, 0] for tone in tones])
    assert probe.names((rows, tones), rows[[0, 40]], penalty=1) == ["sad", "happy"]
    assert set(probe.names((rows, tones), rows, penalty=1e6)) == {"sad"}
