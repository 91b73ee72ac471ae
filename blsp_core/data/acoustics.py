"""Acoustic measures of speech, a simple linear classifier of emotions, and tables of what the corpora hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, load_audio

FRAME = 640  # samples, 40 ms


def prosody(utterances: list[Utterance], sounds: list[np.ndarray]) -> pd.DataFrame:
    """A row for every utterance: emotion, level (dB, full scale = 0), pitch (Hz), rate (words a second)."""
    rows = [
        (row.emotion, level(sound), pitch(sound), len(row.text.split()) / row.duration)
        for row, sound in zip(utterances, sounds, strict=True)
    ]
    return pd.DataFrame(rows, columns=["emotion", "level, dB", "pitch, Hz", "rate, words/s"])


def level(sound: np.ndarray) -> float:
    """Root mean square in dB, full scale = 0."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(sound, dtype=np.float64))), 1e-6)))


def pitch(sound: np.ndarray, low: float = 60, high: float = 400) -> float:
    """Median fundamental frequency (Hz) of the louder half of a 16 kHz sound, by autocorrelation; nan if unvoiced."""
    count = len(sound) // FRAME
    frames = sound[: count * FRAME].reshape(count, FRAME)
    energy = np.square(frames).sum(axis=1)
    frames = frames[energy >= np.median(energy)]
    spectrum = np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 2 * FRAME)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :FRAME]
    first, last = round(SAMPLE_RATE / high), round(SAMPLE_RATE / low)
    lags = first + correlation[:, first:last].argmax(axis=1)
    voiced = correlation[np.arange(len(frames)), lags] > 0.4 * correlation[:, 0]
    return float(SAMPLE_RATE / np.median(lags[voiced])) if voiced.any() else float("nan")


def linear_probe(train: tuple[np.ndarray, list[str]], test: tuple[np.ndarray, list[str]]) -> dict[str, float]:
    """Recall of each emotion, and their mean as "ua", of a ridge classifier: (rows, features) and labels each."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.metrics import recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-2, 4, 13), class_weight="balanced"))
    predicted, labels = probe.fit(*train).predict(test[0]), test[1]
    present = [emotion for emotion in EMOTIONS if emotion in labels]
    recall = recall_score(labels, predicted, labels=present, average=None).tolist()
    return {**dict(zip(present, recall, strict=True)), "ua": float(np.mean(recall))}


def classify(train: list[Utterance], test: list[Utterance], root: Path) -> dict[str, float]:
    """`linear_probe` on the mean and the standard deviation over time of every mel band, of utterances whose sound is
    below `root`, 3,000 of each list at most."""
    from transformers import WhisperFeatureExtractor

    extractor, sides = WhisperFeatureExtractor(), []
    for utterances in (train[:3000], test[:3000]):
        sounds = (load_audio(utterance.audio, root) for utterance in utterances)
        mels = (extractor(sound, sampling_rate=SAMPLE_RATE, padding=False).input_features[0] for sound in sounds)
        statistics = np.stack([np.concatenate([mel.mean(axis=1), mel.std(axis=1)]) for mel in mels])
        sides.append((statistics, [utterance.emotion for utterance in utterances]))
    return linear_probe(*sides)


def one_sentence(utterances: list[Utterance]) -> list[Utterance]:
    """The sentence that one speaker says in the most emotions, once in each, as rows of a corpus `showcase`."""
    groups: dict[tuple[str, str], dict[str, Utterance]] = {}
    for utterance in utterances:
        if utterance.emotion:
            groups.setdefault((utterance.speaker, utterance.text), {}).setdefault(utterance.emotion, utterance)
    most = max(groups.values(), key=len, default={})
    return [replace(most[name], corpus="showcase", split="test") for name in EMOTIONS if name in most]


def overview(manifests: list[list[Utterance]]) -> pd.DataFrame:
    """A row for every corpus and split: utterances, hours, speakers, sentences, the share of each emotion in per cent.
    A dialogue counts once, by its last turn, with the hours of all its turns."""
    rows = []
    for utterances in manifests:
        labels = [utterance.emotion for utterance in utterances]
        row = {"corpus": utterances[0].corpus, "split": utterances[0].split, "utterances": len(utterances)}
        row["hours"] = round(sum(turn.duration for utterance in utterances for turn in utterance.spoken) / 3600, 3)
        row["speakers"] = len({utterance.speaker for utterance in utterances})
        row["sentences"] = len({_user_text(utterance) for utterance in utterances})
        rows.append(row | {f"{name}, %": round(100 * labels.count(name) / len(labels), 1) for name in EMOTIONS})
    return pd.DataFrame(rows)


def _user_text(utterance: Utterance) -> str:
    """The text of all turns of the user; sentences of dialogues are compared by it."""
    return " / ".join(turn.text for turn in utterance.spoken)


def check_apart(utterances: list[Utterance]) -> pd.DataFrame:
    """How many speakers and sentences each split has. Raises StudyError when one of them is in two splits."""
    rows = []
    for what, of in (("speaker", lambda utterance: utterance.speaker), ("text", _user_text)):
        found = pd.DataFrame({what: [of(u) for u in utterances], "split": [u.split for u in utterances]})
        splits = found.groupby(what)["split"].unique()
        shared = splits[splits.map(len) > 1]
        if len(shared):
            raise StudyError(
                f"manifests: the {what} {shared.index[0]!r} is in the split {shared.iloc[0][0]} and in another "
                f"({len(shared)} such in all); speakers and sentences of a test must not be in training: drop them"
            )
        for split, count in found.groupby("split", sort=False)[what].nunique().items():
            rows.append({"what": what, "split": split, "different": count, "in another split too": 0})
    return pd.DataFrame(rows)
