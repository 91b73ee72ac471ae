"""SpecAugment (Park et al. 2019): parts of a log-mel are masked, anew at every use."""

import numpy as np
import torch


def spec_augment(
    features: torch.Tensor, draw: np.random.Generator, time_masks: int = 2, mel_masks: int = 2
) -> torch.Tensor:
    """A log-mel (mels, frames) shifted by up to 2 bands and by a level, with masks in time and mel bands."""
    mels, frames = features.shape
    features = torch.roll(features, int(draw.integers(-2, 3)), 0) + draw.uniform(-0.1, 0.1)
    low = features.min()
    for _ in range(time_masks):
        start = draw.integers(frames)
        features[:, start : start + draw.integers(max(2, frames // 12))] = low
    for _ in range(mel_masks):
        start = draw.integers(mels)
        features[start : start + draw.integers(mels // 8)] = low
    return features
