"""A linear probe of the frozen speech encoder: a baseline without any adapter or LLM.

A ridge classifier reads the mean and the standard deviation over time of one layer. Layer and penalty are chosen on
validation splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from blsp_core.data.dataset import pad
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.evaluation.tasks import FOLD, whole
from blsp_core.inference.asr import log_mel
from blsp_core.inference.batches import run_in_batches
from blsp_core.model.audio import load_audio
from blsp_core.model.encoder import encode_speech


def suited(corpus: str, named: Sequence[str], key: str) -> list[str]:
    """The corpora of a setting `key` that belong to a probe for `corpus`: of folds, none but `corpus` itself. A corpus
    that is in no fold is tested by the probe of the first fold where only folds are named."""
    found = [name for name in named if FOLD not in name or name == corpus]
    found = found or [name for name in named[:1] if FOLD not in corpus]
    if not found:
        raise StudyError(f"probe.{key}: nothing there for a probe of {corpus}; name a whole corpus, or this very fold")
    return found


def pooled(encoder, extractor, utterances: Sequence[Utterance], root: Path, known: dict) -> np.ndarray:
    """Mean and standard deviation over time of every layer's output, (utterances, layers + 1, twice the width), from
    the input of the first layer to the output of the last.

    known: path of a clip -> its row; it grows, so that a clip of several folds is encoded once.
    """
    unknown = {u.audio: u.duration for u in utterances if u.audio not in known}
    paths = list(unknown)

    def run(batch: list[int]) -> list[np.ndarray]:
        mels = [torch.from_numpy(log_mel(extractor, load_audio(paths[i], root))) for i in batch]
        features, mask = pad([mel.T for mel in mels], 0.0)  # (clips, frames, mels)
        features = features.transpose(1, 2).to(encoder.device)
        states, mask = encode_speech(encoder, features, mask.to(encoder.device), every_layer=True)
        own = [state[real] for state, real in zip(states.float().cpu().numpy(), mask.cpu().numpy(), strict=True)]
        return [np.concatenate([state.mean(axis=0), state.std(axis=0)], axis=-1) for state in own]

    known |= zip(paths, run_in_batches(run, [*unknown.values()], 32, "encoder"), strict=True)
    return np.stack([known[utterance.audio] for utterance in utterances])


@dataclass(frozen=True)
class Clips:
    """The rows of `pooled` for a corpus and split, and the emotion of each."""

    rows: np.ndarray
    emotions: list[str]


class Probes:
    """Probes for several test corpora, each fitted when it is first asked.

    clips: by (corpus, split). train, validation: corpora; each probe uses those that suit it, see `suited`.
    penalties: of the ridge classifier, to choose from.
    """

    def __init__(
        self, clips: Mapping[tuple[str, str], Clips], train: Sequence[str], validation: Sequence[str], penalties
    ):
        self.clips, self.train, self.validation, self.penalties = clips, train, validation, penalties
        self.chosen: dict[tuple[tuple[str, ...], tuple[str, ...]], pd.DataFrame] = {}  # by train and validation corpora

    def by_layer(self, corpus: str) -> pd.DataFrame:
        """For each layer the penalty that is best on the validation splits. Columns: layer, penalty, recall (balanced
        accuracy on these splits), probe."""
        train, validation = suited(corpus, self.train, "train_corpora"), suited(corpus, self.validation, "validation")
        key = tuple(train), tuple(validation)
        if key not in self.chosen:
            rows, emotions = self._split(train, "train")
            tested, truth = self._split(validation, "validation")
            found = []
            for layer, penalty in product(range(rows.shape[1]), self.penalties):
                probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
                named = probe.fit(rows[:, layer], emotions).predict(tested[:, layer])
                recall = recall_score(truth, named, labels=sorted(set(truth)), average="macro", zero_division=0.0)
                found.append({"layer": layer, "penalty": penalty, "recall": float(recall), "probe": probe})
            frame = pd.DataFrame(found)
            self.chosen[key] = frame.loc[frame.groupby("layer")["recall"].idxmax()].reset_index(drop=True)
        return self.chosen[key]

    def choice(self, corpus: str) -> dict:
        """The layer that is best on the validation splits, its penalty and its balanced accuracy there."""
        layers = self.by_layer(corpus)
        return layers.drop(columns="probe").astype(object).loc[layers["recall"].idxmax()].to_dict()

    def answers(self, corpus: str, layer: int | None = None) -> list[str]:
        """The emotions that the probe names for the test clips of a corpus, by the chosen layer unless one is given."""
        layer = self.choice(corpus)["layer"] if layer is None else layer
        return self.by_layer(corpus)["probe"][layer].predict(self.clips[corpus, "test"].rows[:, layer]).tolist()

    def test_accuracy(self, corpora: Sequence[str]) -> pd.DataFrame:
        """Accuracy of every layer on the test clips, folds of a corpus together: for a figure, nothing is chosen by it.
        Columns: corpus, layer (0 is the input of the first), accuracy."""
        rows = [
            {"corpus": whole(corpus), "layer": layer, "accuracy": named == emotion}
            for corpus in corpora
            for layer in self.by_layer(corpus)["layer"]
            for named, emotion in zip(self.answers(corpus, layer), self.clips[corpus, "test"].emotions, strict=True)
        ]
        return pd.DataFrame(rows).groupby(["corpus", "layer"], sort=False)["accuracy"].mean().reset_index()

    def _split(self, corpora: Sequence[str], split: str) -> tuple[np.ndarray, list[str]]:
        parts = [self.clips[corpus, split] for corpus in corpora]
        return np.concatenate([one.rows for one in parts]), [emotion for one in parts for emotion in one.emotions]
