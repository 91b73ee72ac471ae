"""Muon: what it does to matrices, and that everything else is AdamW's."""

import pytest
import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.study.muon import Muon, groups_of, orthogonalised


@pytest.mark.parametrize("rows, columns", [(12, 12), (8, 24), (24, 8)])
def test_singular_values_are_brought_near_one_and_their_vectors_stay(rows, columns):
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(rows)) * 40
    u, values, v = torch.linalg.svd(matrices, full_matrices=False)
    seen = u.mT @ orthogonalised(matrices) @ v.mT  # in the matrices' own singular vectors
    diagonal = torch.diagonal(seen, dim1=-2, dim2=-1)
    strong = values > 0.1 * values[:, :1]
    assert strong.sum() > 20 and (diagonal[strong] > 0.6).all() and (diagonal < 1.3).all()
    assert torch.allclose(seen, torch.diag_embed(diagonal), atol=1e-3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.net = nn.ModuleDict({"layers": self.layers})  # as within a larger model, where the name has a head
        self.layers = None
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, ids):
        x = self.words(ids)
        for layer in self.net["layers"]:
            x = x + layer(x).relu()
        return x.square().sum()


def test_every_weight_that_learns_is_in_one_group():
    model = Net()
    muon, decaying, still = groups_of(model, 0.1)
    assert muon["muon"] and len(muon["params"]) == 2 and muon["weight_decay"] == 0.1
    assert [p.shape for p in decaying["params"]] == [(7, 4)] and decaying["weight_decay"] == 0.1
    assert len(still["params"]) == 2 and still["weight_decay"] == 0


def test_a_step_along_a_matrix_has_the_size_of_one_of_adamw_and_the_rest_is_adamw_s():
    ours, theirs = Net(), Net()
    muon = Muon(groups_of(ours, 0.0), lr=0.01)
    adam = torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], lr=0.01, weight_decay=0.0)
    before = ours.net["layers"][0].weight.detach().clone()
    for model, optimizer in ((ours, muon), (theirs, adam)):
        model(torch.arange(7)).backward()
        optimizer.step()
    assert torch.equal(ours.words.weight, theirs.words.weight)
    assert torch.equal(ours.net["layers"][1].bias, theirs.net["layers"][1].bias)
    size = (ours.net["layers"][0].weight - before).square().mean().sqrt()
    assert 0.5 * 0.2 * 0.01 < size < 1.5 * 0.2 * 0.01


def test_momentum_and_decay_go_on_from_a_state():
    whole, halves = Net(), Net()
    optimizers = [Muon(groups_of(model, 0.1), lr=0.01) for model in (whole, halves)]

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.arange(7)).backward()
        optimizer.step()

    for _ in range(4):
        step(whole, optimizers[0])
    for _ in range(2):
        step(halves, optimizers[1])
    second = Muon(groups_of(halves, 0.1), lr=0.5)
    second.load_state_dict(optimizers[1].state_dict())
    for _ in range(2):
        step(halves, second)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))


def test_a_closure_is_asked_first():
    model = Net()
    optimizer, before = Muon(groups_of(model, 0.0), lr=0.01), model.net["layers"][0].weight.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = model(torch.arange(7))
        loss.backward()
        return loss

    assert optimizer.step(closure) > 0 and not torch.equal(model.net["layers"][0].weight, before)


def test_a_model_without_layers_is_no_work_for_it():
    with pytest.raises(StudyError, match="Linear: no matrix that learns lies in its `.layers.`"):
        groups_of(nn.Linear(3, 3), 0.1)
