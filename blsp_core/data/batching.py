"""Rows of different length as one tensor."""

import torch


def pad_features(features: list[torch.Tensor], lengths: list[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mels (mels, frames) -> (clips, mels, longest) and the mask (clips, longest).

    `lengths`: the real frames of each, where a log-mel goes on with silence.
    """
    padded, mask = pad([f.T for f in features], 0.0)
    if lengths is not None:
        mask = (torch.arange(mask.shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    return padded.transpose(1, 2).contiguous(), mask


def pad(rows: list[torch.Tensor], value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of different length, right-padded to one tensor, and the mask of what is real, int64."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
    return padded, (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
