import itertools

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.evaluation.linear_probe import Clips, Probes, pooled, suited


def test_a_fold_belongs_to_itself_and_a_whole_corpus_to_every_probe():
    folds = ["ravdess.fold1", "ravdess.fold2"]
    assert suited("ravdess.fold2", ["acted", *folds], "train_corpora") == ["acted", "ravdess.fold2"]
    assert suited("statements", ["acted", "talk"], "validation") == ["acted", "talk"]
    assert suited("emodb", folds, "train_corpora") == ["ravdess.fold1"]  # in no fold
    with pytest.raises(StudyError, match="probe.validation: nothing there for a probe of ravdess.fold3"):
        suited("ravdess.fold3", folds, "validation")


def test_a_clip_is_pooled_over_its_own_frames_and_only_once(tmp_path):
    torch.manual_seed(0)
    size = {"d_model": 8, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 8}
    encoder = WhisperEncoder(WhisperConfig(num_mel_bins=80, max_source_positions=1500, **size)).eval()
    extractor, utterances = WhisperFeatureExtractor(feature_size=80), []
    for number, seconds in enumerate((1.0, 0.5)):
        sound = np.random.default_rng(number).normal(0, 0.1, int(seconds * 16_000))
        soundfile.write(tmp_path / f"{number}.wav", sound, 16_000)
        utterances.append(Utterance(f"{number}.wav", "so", "sad", f"{number}", "me", "en", seconds, "any", "test"))
    known = {}
    found = pooled(encoder, extractor, utterances, tmp_path, known)
    assert found.shape == (2, 3, 16) and list(known) == ["0.wav", "1.wav"]
    assert (pooled(None, None, utterances, tmp_path, known) == found).all()
    alone = pooled(encoder, extractor, utterances[1:], tmp_path, {})
    assert alone[0] == pytest.approx(found[1], abs=1e-5)


EMOTIONS = ["sad", "happy"] * 20


def clips(seed: int, informative: int, layers: int = 2, noise: float = 0.1) -> Clips:
    """Clips of which one layer tells the emotion and the others are noise."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (40, layers, 1))
    rows[:, informative, 0] = [(emotion == "happy") + rng.normal(0, noise) for emotion in EMOTIONS]
    return Clips(rows, EMOTIONS)


def test_layer_and_penalty_are_chosen_on_validation_and_never_on_test():
    """On the test split the other layer is the informative one."""
    found = {("acted", split): clips(number, 0) for number, split in enumerate(("train", "validation"))}
    found["acted", "test"] = clips(2, 1)
    probes = Probes(found, ["acted"], ["acted"], penalties=[1, 1e6])
    choice = probes.choice("acted")
    assert (choice["layer"], choice["recall"]) == (0, 1.0)
    assert probes.answers("acted") == probes.answers("acted", layer=0) != EMOTIONS
    few = Clips(np.zeros((40, 1, 1)), ["sad"] * 30 + ["happy"] * 10)
    few.rows[30:] = 1
    rows = {("acted", split): few for split in ("train", "validation", "test")}
    probes = Probes(rows, ["acted"], ["acted"], penalties=[1e6, 1])  # a large penalty names the frequent one only
    assert probes.choice("acted")["penalty"] == 1 and probes.answers("acted") == few.emotions


def test_each_layer_is_tested_and_folds_are_counted_together():
    folds = ["ravdess.fold1", "ravdess.fold2"]
    keys = itertools.product(folds, ("train", "validation", "test"))
    found = {key: clips(number, 0) for number, key in enumerate(keys)}
    probes = Probes(found, folds, folds, penalties=[1])
    table = probes.test_accuracy(folds)
    assert table[["corpus", "layer"]].values.tolist() == [["ravdess", 0], ["ravdess", 1]]
    assert table["accuracy"][0] == 1 and table["accuracy"][1] < 0.9
    assert len(probes.chosen) == 2  # two folds, each fitted once
