"""The straight line through the encoder's averages."""

import numpy as np
import pytest
import soundfile
import torch

from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.evaluation import linear_probe as probe


def test_a_fold_learns_from_itself_and_a_corpus_from_all_that_teach():
    folds = ["ravdess.fold1", "ravdess.fold2"]
    assert probe.learners("ravdess.fold2", folds) == ["ravdess.fold2"]
    assert probe.learners("ravdess.fold2", ["acted", *folds]) == ["acted", "ravdess.fold2"]
    assert probe.learners("statements", ["acted", "talk"]) == ["acted", "talk"]


def levels(sounds):
    """An encoder whose one layer gives the sound, sample by sample, and whose other gives silence."""
    return [torch.stack([torch.from_numpy(sound), torch.zeros(len(sound))], dim=1)[..., None] for sound in sounds]


def test_averages_are_mean_and_spread_over_time(tmp_path):
    utterances = []
    for number, sound in enumerate((np.full(480, 0.25), np.array([0.5, -0.5] * 200))):
        soundfile.write(tmp_path / f"{number}.wav", sound, 16_000)
        utterances.append(
            Utterance(f"{number}.wav", "so", "sad", f"{number}", "me", "en", len(sound) / 16_000, "any", "test")
        )
    known = {}
    found = probe.averages(levels, utterances, tmp_path, known, batch_size=2)
    assert list(known) == ["1.wav", "0.wav"]  # the shorter first, and each has its own
    assert (probe.averages(None, utterances, tmp_path, known) == found).all()
    assert found == pytest.approx(np.array([[[0.25, 0], [0, 0]], [[0, 0.5], [0, 0]]]), abs=1e-3)


def test_what_lies_apart_is_named_and_a_heavy_penalty_names_by_numbers():
    rng = np.random.default_rng(0)
    tones = ["sad"] * 30 + ["happy"] * 20
    rows = rng.normal(0, 0.1, (50, 3)) + np.array([[tone == "happy", 0, 0] for tone in tones])
    heard = {("acted", split): probe.Heard(rows[:, None], tones) for split in ("train", "test")}
    assert probe.Probes(heard, ["acted"], penalty=1).answers(("acted", "test")) == tones
    assert set(probe.Probes(heard, ["acted"], penalty=1e6).answers(("acted", "test"))) == {"sad"}


def test_each_layer_is_probed_and_folds_are_counted_together():
    rng, tones = np.random.default_rng(0), ["sad", "happy"] * 20
    told = np.array([[tone == "happy"] for tone in tones]) + rng.normal(0, 0.1, (40, 1))
    layers = np.stack([told, rng.normal(0, 1, (40, 1))], axis=1)  # the first knows, the last does not
    folds = [f"ravdess.fold{fold}" for fold in (1, 2)]
    heard = {(fold, split): probe.Heard(layers, tones) for fold in folds for split in ("train", "test")}
    probes = probe.Probes(heard, folds, penalty=1)
    found = probes.by_layer([(fold, "test") for fold in folds])
    assert found["corpus"].tolist() == ["ravdess", "ravdess"] and found["layer"].tolist() == [0, 1]
    assert found["accuracy"][0] == 1 and found["accuracy"][1] < 0.9
    assert probes.answers((folds[0], "test"), layer=0) == tones
    assert len(probes.fitted) == 4  # two folds, two layers, each fitted once


def test_a_corpus_that_nothing_teaches_is_refused():
    with pytest.raises(StudyError, match="nothing there teaches a probe of requests"):
        probe.learners("requests", ["ravdess.fold1"])
