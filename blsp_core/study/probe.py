"""A straight line through what the frozen encoder knows: the listener that any other should beat."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from blsp_core.errors import StudyError
from blsp_core.speech.audio import load_audio
from blsp_core.speech.manifest import Utterance
from blsp_core.study.tasks import FOLD, whole


def learners(asked: str, learn: Sequence[str]) -> list[str]:
    """The corpora of `learn` that a probe of the corpus `asked` learns from: of folds, none but `asked` itself."""
    found = [corpus for corpus in learn if FOLD not in corpus or corpus == asked]
    if not found:
        raise StudyError(f"probe.learn: nothing there teaches a probe of {asked}; name a corpus, or this very fold")
    return found


def averages(
    states: Callable[[np.ndarray], torch.Tensor], utterances: Sequence[Utterance], root: Path, known: dict
) -> np.ndarray:
    """Mean and standard deviation over time of what every layer of the encoder gives, (utterances, layers + 1, twice
    its width), from what enters the first to what leaves the last.

    states: a waveform's (frames, layers + 1, width). known: what was made of a clip so far, by its place; it grows, so
    that a clip which several folds have is heard once.
    """
    for utterance in tqdm(utterances, desc="encoder", unit="clip"):
        if utterance.audio not in known:
            frames = states(load_audio(utterance.audio, root)).float().cpu().numpy()
            known[utterance.audio] = np.concatenate([frames.mean(axis=0), frames.std(axis=0)], axis=-1)
    return np.stack([known[utterance.audio] for utterance in utterances])


@dataclass(frozen=True)
class Heard:
    """The averages of a corpus and split, as of `averages`, and the emotion of each row."""

    averages: np.ndarray
    emotions: list[str]


def answers(
    heard: Mapping[tuple[str, str], Heard],
    asked: tuple[str, str],
    learn: Sequence[str],
    penalty: float,
    layer: int = -1,
) -> list[str]:
    """What a probe of one layer, the last unless said, names the clips of `asked`, a corpus and its split, after it has
    learnt from the train splits of those of `learn` that suit it (`learners`)."""
    taught = [heard[corpus, "train"] for corpus in learners(asked[0], learn)]
    rows = np.concatenate([one.averages[:, layer] for one in taught])
    train = rows, [emotion for one in taught for emotion in one.emotions]
    return names(train, heard[asked].averages[:, layer], penalty)


def by_layer(
    heard: Mapping[tuple[str, str], Heard], asked: Sequence[tuple[str, str]], learn: Sequence[str], penalty: float
) -> pd.DataFrame:
    """Accuracy of a probe of each layer on each corpus, its folds together. Columns: corpus, layer (0 is what enters
    the first), accuracy."""
    rows = []
    for place in asked:
        for layer in range(heard[place].averages.shape[1]):
            named = answers(heard, place, learn, penalty, layer)
            right = (one == other for one, other in zip(named, heard[place].emotions, strict=True))
            rows += [{"corpus": whole(place[0]), "layer": layer, "accuracy": each} for each in right]
    return pd.DataFrame(rows).groupby(["corpus", "layer"], sort=False)["accuracy"].mean().reset_index()


def names(train: tuple[np.ndarray, Sequence[str]], test: np.ndarray, penalty: float) -> list[str]:
    """The emotion that a ridge classifier gives to each row of `test`, (rows, features).

    train: rows and their emotions. penalty: on the weights of standardised features.
    """
    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty)).fit(*train).predict(test).tolist()
