"""What can be measured of speech without a model: level, pitch, pace; and how far a straight line tells tones apart."""

import numpy as np
import pandas as pd

from blsp_core.errors import StudyError
from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.data.manifest import EMOTIONS, Utterance

FRAME = 640  # samples, 40 ms


def prosody(utterances: list[Utterance], sounds: list[np.ndarray]) -> pd.DataFrame:
    """A row for every utterance: tone, level (dB, full scale = 0), pitch (Hz), pace (words a second)."""
    rows = [
        {
            "tone": utterance.emotion,
            "level, dB": level(sound),
            "pitch, Hz": pitch(sound),
            "pace, words/s": len(utterance.text.split()) / utterance.duration,
        }
        for utterance, sound in zip(utterances, sounds, strict=True)
    ]
    return pd.DataFrame(rows)


def level(sound: np.ndarray) -> float:
    """Root mean square in dB, full scale = 0."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(sound, dtype=np.float64))), 1e-6)))


def pitch(sound: np.ndarray, low: float = 60, high: float = 400) -> float:
    """Median fundamental frequency (Hz) of the louder half of a 16 kHz sound, by autocorrelation; nan without voice."""
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


def outline(log_mel: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of every mel band: (mels, frames) -> (2 x mels,). No order of time is left in it."""
    return np.concatenate([log_mel.mean(axis=1), log_mel.std(axis=1)])


def linear_probe(train: tuple[np.ndarray, list[str]], test: tuple[np.ndarray, list[str]]) -> dict[str, float]:
    """Recall of each tone, and their mean under "ua", of a ridge classifier on outlines: (rows, features) and tones.

    A lower bound on what a listener can reach: a line drawn through averages.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-2, 4, 13), class_weight="balanced"))
    named = probe.fit(*train).predict(test[0])
    spoken = np.array(test[1])
    recall = {tone: float(np.mean(named[spoken == tone] == tone)) for tone in EMOTIONS if (spoken == tone).any()}
    return {**recall, "ua": float(np.mean(list(recall.values())))}


def overview(manifests: list[list[Utterance]]) -> pd.DataFrame:
    """A row for every corpus and split: utterances, hours, speakers, sentences, the share of each tone in per cent.
    A dialogue counts once, by its last turn, but with the hours of all its turns."""
    rows = []
    for utterances in manifests:
        tones = [utterance.emotion for utterance in utterances]
        rows.append(
            {
                "corpus": utterances[0].corpus,
                "split": utterances[0].split,
                "utterances": len(utterances),
                "hours": round(sum(turn.duration for utterance in utterances for turn in utterance.spoken) / 3600, 3),
                "speakers": len({utterance.speaker for utterance in utterances}),
                "sentences": len({said(utterance) for utterance in utterances}),
                **{f"{tone}, %": round(100 * tones.count(tone) / len(tones), 1) for tone in EMOTIONS},
            }
        )
    return pd.DataFrame(rows)


def said(utterance: Utterance) -> str:
    """All that the user says, in all turns of the dialogue: by the whole of it sentences are told apart."""
    return " / ".join(turn.text for turn in utterance.spoken)


def check_apart(utterances: list[Utterance]) -> pd.DataFrame:
    """How many speakers and sentences each split has, and how many another split has too: none, or StudyError."""
    splits = list(dict.fromkeys(utterance.split for utterance in utterances))
    rows = []
    for what, of in (("speaker", lambda utterance: utterance.speaker), ("text", said)):
        sets = {split: {of(u) for u in utterances if u.split == split} for split in splits}
        for split, own in sets.items():
            shared = sorted(own & set().union(*(other for name, other in sets.items() if name != split)))
            if shared:
                raise StudyError(
                    f"manifests: the {what} {shared[0]!r} is in the split {split} and in another "
                    f"({len(shared)} such in all); a test must meet nobody and nothing from training: drop those rows"
                )
            rows.append({"what": what, "split": split, "different": len(own), "in another split too": len(shared)})
    return pd.DataFrame(rows)
