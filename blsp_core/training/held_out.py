"""The loss on held-out rows, during training and after it."""

from collections.abc import Callable

import torch
from accelerate import PartialState
from accelerate.utils import reduce, send_to_device
from torch.utils.data import DataLoader, Dataset


class HeldOut:
    """The parts of an objective on held-out rows: each the mean over all labels, as of one batch. Called with a model;
    every process reads a share of the rows."""

    def __init__(self, dataset: Dataset, collate: Callable, objective: Callable, batch_size: int):
        self.objective, self.totals = getattr(objective, "measure", objective), None
        self.loader = DataLoader(dataset, batch_size, collate_fn=collate, generator=torch.Generator())  # its own draws

    @torch.no_grad()
    def __call__(self, model: torch.nn.Module) -> dict[str, float]:
        training, sums, state = model.training, {}, PartialState()
        model.eval()
        if self.totals is None:
            labels = [{name: (b[name] != -100).sum() for name in b if name.endswith("labels")} for b in self.loader]
            self.totals = {name: sum(batch[name] for batch in labels).clamp(min=1) for name in labels[0]}
        for number, batch in enumerate(self.loader):
            mine = number % state.num_processes == state.process_index
            if mine or not sums:  # every process has every part, if only as 0: `reduce` waits for all of them
                batch = send_to_device({**batch, "num_items": self.totals}, state.device)
                for name, value in self.objective(model, batch).items():
                    part = value / len(self.loader) if name.startswith("share_") else value
                    sums[name] = sums.get(name, 0.0) + mine * part.float()
        model.train(training)
        return {name: float(value) for name, value in reduce(sums, "sum").items() if name != "share_padding"}
