"""SpecAugment (Park et al. 2019): parts of a log-mel are masked, anew at every use; and other levels, and noise."""

from collections.abc import Sequence

import numpy as np
import torch


def spec_augment(
    features: torch.Tensor,
    draw: np.random.Generator,
    level: float = 4.0,
    noise: Sequence[float] = (),
    band: bool = False,
    masks: int = 2,
) -> torch.Tensor:
    """Whisper's log-mel (mels, frames) shifted by up to 2 bands and by up to `level` dB, with `masks` masks in time and
    as many in mel bands.

    noise: two signal-to-noise ratios, dB; every second time white noise is added at a ratio between them. () for none.
    band: every second time up to an eighth of the bands is masked from below and up to two fifths from above, as a
        narrow line does.
    """
    mels, frames = features.shape
    features = torch.roll(features, int(draw.integers(-2, 3)), 0)
    if noise and draw.random() < 0.5:
        power = 10 ** (4 * features - 4)  # Whisper: features = (log10 power + 4) / 4
        floor = power.mean() * 10 ** (-draw.uniform(*noise) / 10)
        grain = torch.from_numpy(draw.gamma(3.0, 1 / 3, (mels, frames)).astype(np.float32))
        features = (torch.log10(power + floor * grain) + 4) / 4
    features = features + draw.uniform(-level, level) / 40
    low = features.min()
    if band and draw.random() < 0.5:
        features[: draw.integers(mels // 8)] = low
        features[mels - draw.integers(2 * mels // 5) :] = low
    for _ in range(masks):
        start = draw.integers(frames)
        features[:, start : start + draw.integers(max(2, frames // 12))] = low
    for _ in range(masks):
        start = draw.integers(mels)
        features[start : start + draw.integers(mels // 8)] = low
    return features
