"""A straight line through what the frozen encoder knows: the listener that any other should beat."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from blsp_core.data.audio import load_audio
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.evaluation.tasks import FOLD, whole


def learners(asked: str, learn: Sequence[str]) -> list[str]:
    """The corpora of `learn` that a probe of the corpus `asked` learns from: of folds, none but `asked` itself."""
    found = [corpus for corpus in learn if FOLD not in corpus or corpus == asked]
    if not found:
        raise StudyError(f"probe.learn: nothing there teaches a probe of {asked}; name a corpus, or this very fold")
    return found


def averages(
    states: Callable[[list[np.ndarray]], list[torch.Tensor]],
    utterances: Sequence[Utterance],
    root: Path,
    known: dict,
    batch_size: int = 32,
) -> np.ndarray:
    """Mean and standard deviation over time of what every layer of the encoder gives, (utterances, layers + 1, twice
    its width), from what enters the first to what leaves the last.

    states: of each of some waveforms its (frames, layers + 1, width). known: what was made of a clip so far, by its
    place; it grows, so that a clip which several folds have is heard once. Clips of like length share a batch.
    """
    unknown = {u.audio: u.duration for u in utterances if u.audio not in known}
    unknown = sorted(unknown, key=unknown.__getitem__)
    for first in tqdm(range(0, len(unknown), batch_size), desc="encoder", unit="batch"):
        batch = unknown[first : first + batch_size]
        for audio, found in zip(batch, states([load_audio(audio, root) for audio in batch]), strict=True):
            frames = found.float().cpu().numpy()
            known[audio] = np.concatenate([frames.mean(axis=0), frames.std(axis=0)], axis=-1)
    return np.stack([known[utterance.audio] for utterance in utterances])


@dataclass(frozen=True)
class Heard:
    """The averages of a corpus and split, as of `averages`, and the emotion of each row."""

    averages: np.ndarray
    emotions: list[str]


class Probes:
    """Ridge classifiers on standardised averages, each fitted when it is first asked.

    heard: what is known of each corpus and split. learn: corpora whose train splits teach those probes that they suit
    (`learners`). penalty: on the weights.
    """

    def __init__(self, heard: Mapping[tuple[str, str], Heard], learn: Sequence[str], penalty: float):
        self.heard, self.learn, self.penalty = heard, learn, penalty
        self.fitted: dict[tuple[tuple[str, ...], int], Pipeline] = {}  # by what taught it, and the layer it reads

    def answers(self, asked: tuple[str, str], layer: int = -1) -> list[str]:
        """What a probe of one layer, the last unless said, names the clips of `asked`, a corpus and its split."""
        key = tuple(learners(asked[0], self.learn)), layer
        if key not in self.fitted:
            taught = [self.heard[corpus, "train"] for corpus in key[0]]
            rows = np.concatenate([one.averages[:, layer] for one in taught])
            ridge = make_pipeline(StandardScaler(), RidgeClassifier(alpha=self.penalty))
            self.fitted[key] = ridge.fit(rows, [emotion for one in taught for emotion in one.emotions])
        return self.fitted[key].predict(self.heard[asked].averages[:, layer]).tolist()

    def by_layer(self, asked: Sequence[tuple[str, str]]) -> pd.DataFrame:
        """Accuracy of a probe of each layer on each corpus, its folds together. Columns: corpus, layer (0 is what
        enters the first), accuracy."""
        rows = []
        for place in asked:
            for layer in range(self.heard[place].averages.shape[1]):
                right = np.array(self.answers(place, layer)) == np.array(self.heard[place].emotions)
                rows += [{"corpus": whole(place[0]), "layer": layer, "accuracy": each} for each in right]
        return pd.DataFrame(rows).groupby(["corpus", "layer"], sort=False)["accuracy"].mean().reset_index()
