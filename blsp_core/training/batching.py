"""Batches of rows of like length."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Sampler


class BucketSampler(Sampler):
    """Rows in an order in which those of a batch are of like length, every epoch anew, by the seed.

    Pools of 16 batches are drawn and sorted, then all batches are shuffled: in sorted order, long clips would always
    precede short ones, and as tempo depends on the emotion, sad clips angry ones.

    numbered: in epoch e, an index is that of the row plus e times the number of rows (see `SpeechTextDataset`).
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, numbered: bool = False):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.numbered = numbered

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        generator, size = np.random.default_rng([self.seed, self.epoch]), self.batch_size
        rows = generator.permutation(len(self.lengths)).tolist()
        pools = [sorted(rows[i : i + 16 * size], key=self.lengths.__getitem__) for i in range(0, len(rows), 16 * size)]
        batches = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
        last = [batches.pop()] if len(batches[-1]) < size else []  # a short batch among others would shift them all
        first = self.epoch * len(rows) if self.numbered else 0
        self.epoch += 1
        order = [row for at in generator.permutation(len(batches)) for row in batches[at]] + sum(last, [])
        return iter([first + row for row in order])
