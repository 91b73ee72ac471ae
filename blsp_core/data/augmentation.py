"""Speech as another voice, or another room, might have given it."""

import torch


def disturb(features: torch.Tensor, time_masks: int = 2, mel_masks: int = 2) -> torch.Tensor:
    """A log-mel (mels, frames) as another voice or room might give it: bins shifted by up to 2, level, masks."""
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
