"""Training: what learns, what is logged, and that an interrupted run ends as an uninterrupted one."""

import pandas as pd
import pytest
import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.training.trainer import OfLikeLength, train


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.frozen = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 4)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x) + self.frozen(x))


class Points(torch.utils.data.Dataset):
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {"x": self.x[index], "y": self.x[index].sum()}


def collate(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def squares(model, batch):
    error = model(batch["x"])[:, 0] - batch["y"]
    return {"square": error.square().mean(), "small": 0 * error.mean(), "share_big": (error.abs() > 1).float().mean()}


def fit(model, folder, loss=squares, **settings):
    settings = {"steps": 40, "batch_size": 8, "learning_rate": 0.02, "seed": 1, "log_steps": 10} | settings
    return train(model, Points(), collate, loss, checkpoints=folder / "unfinished", log=folder / "log.csv", **settings)


def test_what_may_learn_learns_and_the_rest_stays(tmp_path):
    model, before = Line(), Line().state_dict()
    cost = fit(model, tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert log["square"].iloc[-1] < 0.5 * log["square"].iloc[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"body.weight", "body.bias", "head.weight", "head.bias"}
    assert cost["steps"] == 40 and cost["seconds"] > 0 and not (tmp_path / "unfinished").exists()


def test_the_log_has_the_parts_of_the_loss_and_shares_are_not_minimised(tmp_path):
    fit(Line(), tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log["step"]) == [10, 20, 30, 40]
    assert {"square", "small", "share_big", "learning_rate", "samples_per_second"} <= set(log)
    assert log["loss"].tolist() == pytest.approx((log["square"] + log["small"]).tolist(), abs=1e-4)


def test_a_run_shorter_than_the_log_is_logged(tmp_path):
    fit(Line(), tmp_path, steps=2)
    assert list(pd.read_csv(tmp_path / "log.csv")["step"]) == [2]


def test_accumulated_batches_make_the_gradient_of_one_large_batch(tmp_path):
    # Adam forgives a gradient of the wrong size, so it is the logged size that tells.
    for name, how in {"whole": {}, "halves": {"batch_size": 4, "gradient_accumulation": 2}}.items():
        fit(Line(), tmp_path / name, **{"steps": 1, "batch_size": 8, "shuffle": False, **how})
    whole, halves = (pd.read_csv(tmp_path / name / "log.csv").iloc[0] for name in ("whole", "halves"))
    assert halves["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    assert halves["square"] == pytest.approx(whole["square"], rel=1e-4)


class Layered(Line):
    """Its matrices lie where Muon looks for them."""

    def __init__(self):
        super().__init__()
        self.net = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4)])})

    def forward(self, x):
        return super().forward(x + self.net["layers"][0](x))


@pytest.mark.parametrize("kind, how", [(Line, {}), (Layered, {"muon": True})])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, kind, how):
    whole, halves = kind(), kind()
    fit(whole, tmp_path / "whole", **how)
    fit(halves, tmp_path / "halves", save_steps=10, stop_after=20, **how)
    again = kind()
    fit(again, tmp_path / "halves", save_steps=10, **how)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    logs = [pd.read_csv(tmp_path / name / "log.csv").drop(columns="samples_per_second") for name in ("whole", "halves")]
    assert logs[0].equals(logs[1])


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    models = [Line() for _ in range(3)]
    for number, (model, seed) in enumerate(zip(models, (1, 1, 2), strict=True)):
        fit(model, tmp_path / str(number), seed=seed, steps=5)
    assert torch.equal(models[0].head.weight, models[1].head.weight)
    assert not torch.equal(models[0].head.weight, models[2].head.weight)


@pytest.mark.parametrize("kind, part, how", [(Line, "body.", {}), (Layered, "net.", {"muon": True})])
def test_a_part_can_have_a_rate_of_its_own(tmp_path, kind, part, how):
    model, before = kind(), kind().state_dict()
    fit(model, tmp_path, learning_rates={part: 0.0}, weight_decay=0.0, **how)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == (name.startswith(part) or not weight.requires_grad)


def test_muon_goes_other_ways_than_adamw(tmp_path):
    models = [Layered(), Layered()]
    for model, muon in zip(models, (False, True), strict=True):
        fit(model, tmp_path / str(muon), steps=1, muon=muon, weight_decay=0.0)
    one, other = (dict(model.named_parameters()) for model in models)
    assert {name for name in one if not torch.equal(one[name], other[name])} == {"net.layers.0.weight"}


def test_rows_of_like_length_share_a_batch(tmp_path):
    spreads, lengths = [], [index % 16 for index in range(64)]

    def watching(model, batch):
        indices = (batch["x"][:, None] == Points.x[None]).all(-1).float().argmax(1)
        spreads.append(torch.tensor(lengths)[indices].float().std().item())
        return squares(model, batch)

    fit(Line(), tmp_path, loss=watching, lengths=lengths, steps=8)
    assert sum(spreads) / len(spreads) < 0.7 * torch.tensor(lengths).float().std()


def test_long_rows_do_not_come_before_short_ones():
    lengths = list(range(640))
    sampler = OfLikeLength(lengths, 8, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == lengths and first != second
    assert first == list(OfLikeLength(lengths, 8, seed=1)) != list(OfLikeLength(lengths, 8, seed=2))
    means = torch.tensor(first).float().reshape(-1, 8).mean(1)
    assert abs(torch.corrcoef(torch.stack([means, torch.arange(80.0)]))[0, 1]) < 0.3


def test_unfinished_work_of_another_model_is_an_error(tmp_path):
    fit(Line(), tmp_path, save_steps=10, stop_after=10)
    other = Line()
    del other.body
    other.forward = lambda x: other.head(other.frozen(x))
    with pytest.raises(StudyError, match="which this model has not; remove the folder"):
        fit(other, tmp_path, save_steps=10)
