"""A straight line through what the frozen encoder knows: the listener that any other should beat."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from blsp_core.speech.audio import load_audio
from blsp_core.speech.manifest import Utterance
from blsp_core.study.states import States


def learners(asked: str, learn: Sequence[str]) -> list[str]:
    """The corpora of `learn` that a probe of the corpus `asked` learns from: of folds, none but `asked` itself."""
    return [corpus for corpus in learn if ".fold" not in corpus or corpus == asked]


def averages(states: States, utterances: Sequence[Utterance], root: Path) -> np.ndarray:
    """Mean and standard deviation over time of the encoder's output, (utterances, twice its width)."""
    found = []
    for utterance in tqdm(utterances, desc="encoder", unit="clip"):
        frames = states.of(load_audio(utterance.audio, root)).float().numpy()
        found.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))
    return np.stack(found)


def names(train: tuple[np.ndarray, Sequence[str]], test: np.ndarray, penalty: float) -> list[str]:
    """The emotion that a ridge classifier gives to each row of `test`, (rows, features).

    train: rows and their emotions. penalty: on the weights of standardised features.
    """
    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty)).fit(*train).predict(test).tolist()
