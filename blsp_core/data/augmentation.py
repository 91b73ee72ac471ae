"""SpecAugment (Park et al. 2019): parts of a log-mel are masked, anew at every use."""

import torch


def spec_augment(features: torch.Tensor, time_masks: int = 2, mel_masks: int = 2) -> torch.Tensor:
    """A log-mel (mels, frames) shifted by up to 2 bands and by a level, with masks in time and mel bands."""
    mels, frames = features.shape
    features = torch.roll(features, int(torch.randint(-2, 3, ())), 0) + (torch.rand(()) - 0.5) * 0.2
    low = features.min()
    for _ in range(time_masks):
        start = int(torch.randint(0, frames, ()))
        features[:, start : start + int(torch.randint(0, max(2, frames // 12), ()))] = low
    for _ in range(mel_masks):
        start = int(torch.randint(0, mels, ()))
        features[start : start + int(torch.randint(0, mels // 8, ()))] = low
    return features
