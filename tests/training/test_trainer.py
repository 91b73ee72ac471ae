"""Training: what is trained, what is logged, and that an interrupted run ends as an uninterrupted one."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from blsp_core.errors import StudyError
from blsp_core.training import trainer
from blsp_core.training.batching import BucketSampler
from blsp_core.training.objectives import count
from blsp_core.training.trainer import train


class Regression(nn.Module):
    """The matrix of its body is where Muon looks for one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.frozen = nn.Module(), nn.Linear(4, 1), nn.Linear(4, 4)
        self.body.layers = nn.ModuleList([nn.Linear(4, 4)])
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body.layers[0](x) + self.frozen(x))


X = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
POINTS = [{"x": x, "labels": x.sum(), "ids": f"clip {place}"} for place, x in enumerate(X)]
LENGTHS = [place % 16 for place in range(64)]
TIMES = ["samples_per_second", "share_waiting"]  # of the log, differ from run to run


def squares(model, batch):
    error = model(batch["x"])[:, 0] - batch["labels"]
    total = error.square().sum() / count(batch, "labels")
    return {"square": total, "small": 0 * error.mean(), "share_big": (error.abs() > 1).float().mean()}


def fit(model, folder, objective=squares, **settings):
    settings = {"steps": 40, "batch_size": 8, "learning_rate": 0.02, "seed": 1, "log_steps": 10} | settings
    places = {"checkpoints": folder / "unfinished", "log": folder / "log.csv"}
    return train(model, settings.pop("dataset", POINTS), default_collate, objective, **places, **settings)


class Augmented(list):
    """Points with noise that depends on the point and the epoch."""

    augment = 1

    def __getitem__(self, index):
        epoch, index = divmod(index, len(self))
        noise = np.random.default_rng([self.augment, epoch, index]).normal(size=4)
        return POINTS[index] | {"x": X[index] + torch.tensor(noise, dtype=torch.float32)}


def with_dropout(model, batch):
    return squares(model, batch | {"x": nn.functional.dropout(batch["x"], 0.3, model.training)})


def read(folder):
    return pd.read_csv(folder / "log.csv")


def test_frozen_weights_stay_and_the_log_has_the_parts_of_the_loss(tmp_path):
    model, before = Regression(), Regression().state_dict()
    cost, log = fit(model, tmp_path), read(tmp_path)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before) - {"frozen.weight", "frozen.bias"}
    assert cost["steps"] == 40 and cost["seconds"] > 0 and not (tmp_path / "unfinished").exists()
    assert log["square"].iloc[-1] < 0.5 * log["square"].iloc[0] and list(log["step"]) == [10, 20, 30, 40]
    assert {"share_big", "learning_rate", "samples_per_second"} <= set(log)
    assert log["loss"].tolist() == pytest.approx((log["square"] + log["small"]).tolist(), abs=1e-4)


def test_the_log_of_accumulated_batches_is_that_of_one_large_batch(tmp_path):
    for name, how in {"whole": {}, "halves": {"batch_size": 4, "gradient_accumulation": 2}}.items():
        fit(Regression(), tmp_path / name, **{"steps": 3, "shuffle": False, "log_steps": 3, **how})
    whole, halves = (read(tmp_path / name).drop(columns=TIMES) for name in ("whole", "halves"))
    pd.testing.assert_frame_equal(whole, halves, rtol=1e-4)


AUGMENTED = {"dataset": Augmented(POINTS), "objective": with_dropout, "lengths": LENGTHS}


@pytest.mark.parametrize("how", [{}, {"optimizer": "muon"}, {"lengths": LENGTHS}, AUGMENTED])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, how):
    whole, resumed = Regression(), Regression()
    fit(whole, tmp_path / "whole", **how)
    fit(Regression(), tmp_path / "halves", save_steps=10, stop_after=15, **how)
    (tmp_path / "halves/log.csv").unlink()  # as DVC does before it runs the stage again
    fit(resumed, tmp_path / "halves", save_steps=10, **how)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    logs = [read(tmp_path / name).drop(columns=TIMES) for name in ("whole", "halves")]
    pd.testing.assert_frame_equal(*logs, rtol=1e-6)


def test_the_held_out_loss_is_that_of_one_batch_and_changes_nothing_else(tmp_path):
    plain, measured, seen = Regression(), Regression(), []

    def objective(model, batch):
        seen.append(model.training)
        return squares(model, batch)

    fit(plain, tmp_path / "plain", validation=POINTS[:11], validations=0)  # 0: not measured
    assert "validation_square" not in read(tmp_path / "plain")
    fit(measured, tmp_path / "measured", objective, validation=POINTS[:11], validations=2)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), measured.parameters(), strict=True))
    log = read(tmp_path / "measured")
    assert log["validation_square"].notna().tolist() == [False, True, False, True] and seen.count(False) == 2 * 2
    expected = squares(measured, default_collate(POINTS[:11]))["square"].item()
    assert log["validation_square"].iloc[-1] == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_that_was_cut_off_is_passed_over_and_one_of_another_model_an_error(tmp_path):
    fit(Regression(), tmp_path, save_steps=10, stop_after=10)
    other = Regression()
    del other.body
    other.forward = lambda x: other.head(other.frozen(x))
    with pytest.raises(StudyError, match="which this model does not have; remove the folder"):
        fit(other, tmp_path, save_steps=10)
    whole, cut = tmp_path / "unfinished/checkpoint-10", tmp_path / "unfinished/checkpoint-20"
    cut.mkdir()
    (cut / "trainer_state.json").write_text((whole / "trainer_state.json").read_text()[:100])
    assert fit(Regression(), tmp_path, save_steps=10)["steps"] == 40


@pytest.mark.parametrize("stops", [(None,), (7, None)])
def test_the_weights_with_the_best_score_are_kept_the_earlier_of_equal_ones(tmp_path, stops):
    seen, options = [], {"validations": 4, "steps": 20, "save_steps": 3 * (len(stops) > 1)}

    def score(model):
        seen.append(model.head.weight.detach().clone())
        return (0.1, 0.8, 0.8, 0.3)[len(seen) - 1]

    for stop in stops:
        model = Regression()
        cost = fit(model, tmp_path, score=score, stop_after=stop, **options)
    assert cost["scores"] == {5: 0.1, 10: 0.8, 15: 0.8, 20: 0.3} and cost["best"] == 10
    assert len(seen) == 4 and torch.equal(model.head.weight, seen[1])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_clips(tmp_path):
    def diverging(model, batch):
        parts = squares(model, batch)
        return parts | {"square": parts["square"] * (float("nan") if "clip 5" in batch["ids"] else 1)}

    with pytest.raises(StudyError, match=r"update 1: the loss is not finite \(square nan.*clip 4, clip 5, .*lower"):
        fit(Regression(), tmp_path, diverging, shuffle=False)


class Overflow(torch.autograd.Function):
    """The identity, whose gradient is NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


def broken_at(*clips):
    def objective(model, batch):
        parts = squares(model, batch)
        return parts | {"square": Overflow.apply(parts["square"])} if set(clips) & set(batch["ids"]) else parts

    return objective


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_update_without_a_finite_gradient_is_left_out_and_counted(tmp_path, capsys, optimizer):
    how = {"shuffle": False, "optimizer": optimizer, "log_steps": 2, "steps": 6}
    broken, before = Regression(), Regression()
    fit(broken, tmp_path / "broken", broken_at("clip 45"), **how)  # the last of them
    fit(before, tmp_path / "before", stop_after=5, **how)
    torch.testing.assert_close(dict(broken.named_parameters()), dict(before.named_parameters()), atol=0, rtol=0)
    found = read(tmp_path / "broken").drop(columns=TIMES)
    assert list(found["skipped"].fillna(0)) == [0, 0, 1]
    assert "update 6 is left out: its gradient is not finite; clip 40, clip 41" in capsys.readouterr().out
    again = Regression()
    fit(again, tmp_path / "again", broken_at("clip 5"), stop_after=4, **how)
    fit(again, tmp_path / "again", broken_at("clip 5"), **how)
    assert list(read(tmp_path / "again")["skipped"]) == [1, 1, 1]


def test_too_many_gradients_that_are_not_finite_stop_the_run(tmp_path):
    with pytest.raises(StudyError, match="in update 4: the gradients of 4 updates were not finite; use a lower"):
        fit(Regression(), tmp_path, broken_at(*[f"clip {n}" for n in range(64)]))


def test_the_pipeline_prints_progress(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "PRINT_EVERY", 0)
    fit(Regression(), tmp_path, steps=4)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[2].startswith("step 3 of 4: loss ") and lines[2].endswith(" s left")
    monkeypatch.delenv("TQDM_DISABLE")
    fit(Regression(), tmp_path, steps=4)
    assert "step 3 of 4" not in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_part_can_have_its_own_learning_rate(tmp_path, optimizer):
    model, before = Regression(), Regression().state_dict()
    fit(model, tmp_path, learning_rates={"body": 0.0}, weight_decay=0.0, steps=5, optimizer=optimizer)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == name.startswith(("body", "frozen"))


def test_rows_of_like_length_share_a_batch(tmp_path):
    spreads = []

    def watching(model, batch):
        spreads.append(np.std([LENGTHS[int(name[5:])] for name in batch["ids"]]))
        return squares(model, batch)

    fit(Regression(), tmp_path, watching, lengths=LENGTHS, steps=8)
    assert np.mean(spreads) < 0.7 * np.std(LENGTHS)


def test_long_rows_do_not_come_before_short_ones():
    lengths = list(range(640))
    sampler = BucketSampler(lengths, 8, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == lengths and first != second
    assert first == list(BucketSampler(lengths, 8, seed=1)) != list(BucketSampler(lengths, 8, seed=2))
    means = torch.tensor(first).float().reshape(-1, 8).mean(1)
    assert abs(torch.corrcoef(torch.stack([means, torch.arange(80.0)]))[0, 1]) < 0.3
