"""Muon: what it does to matrices, and that everything else is AdamW's."""

import pytest
import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.lora import add_partial_lora
from blsp_core.training.muon import Muon, groups_of, orthogonalised


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


def sizes(groups):
    return {(g["muon"], g["lr"], g["weight_decay"]): [tuple(weight.shape) for weight in g["params"]] for g in groups}


def test_every_weight_that_learns_is_in_one_group():
    found = sizes(groups_of(Net(), 0.1, 0.01))
    inner, words, biases = (True, 0.01, 0.1), (False, 0.01, 0.1), (False, 0.01, 0.0)
    assert found == {inner: [(4, 4)] * 2, words: [(7, 4)], biases: [(4,)] * 2}


def test_without_muon_all_is_adamw_s_and_biases_do_not_decay():
    found = sizes(groups_of(Net(), 0.1, 0.01, {"words.": 0.02}, muon=False))
    assert found == {(False, 0.02, 0.1): [(7, 4)], (False, 0.01, 0.1): [(4, 4)] * 2, (False, 0.01, 0.0): [(4,)] * 2}


def test_parts_have_rates_of_their_own_and_low_rank_updates_are_adamw_s():
    model = nn.ModuleDict({"adapter": nn.Conv1d(2, 6, 5), "emotion_head": nn.Linear(6, 5, bias=False)})
    model["llm"] = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(6, 6, bias=False)])})
    add_partial_lora(model["llm"], 2, 2, 0.0, ["0"])
    for name, weight in model.named_parameters():
        weight.requires_grad_("base_layer" not in name)
    found = sizes(groups_of(model, 0.1, 0.01, {"llm.": 0.02, "emotion_head.": 0.03}))
    low_rank, head, bias = (False, 0.02, 0.1), (False, 0.03, 0.1), (False, 0.01, 0.0)
    assert found == {(True, 0.01, 0.1): [(6, 2, 5)], bias: [(6,)], head: [(5, 6)], low_rank: [(2, 6), (6, 2)]}


def test_a_kernel_learns_as_the_matrix_that_it_is():
    torch.manual_seed(0)
    kernel, matrix = (nn.ModuleDict({"adapter": nn.Conv1d(2, 6, 5, bias=False)}) for _ in range(2))
    matrix["adapter"] = nn.Linear(10, 6, bias=False)
    with torch.no_grad():
        matrix["adapter"].weight.copy_(kernel["adapter"].weight.flatten(1))
    gradient = torch.randn(6, 10)
    for model in (kernel, matrix):
        weight = model["adapter"].weight
        weight.grad = gradient.view_as(weight).clone()
        Muon(groups_of(model, 0.1, 0.01), lr=0.01).step()
    assert torch.equal(kernel["adapter"].weight.flatten(1), matrix["adapter"].weight)


def test_a_step_along_a_matrix_has_the_size_of_one_of_adamw_and_the_rest_is_adamw_s():
    ours, theirs = Net(), Net()
    muon = Muon(groups_of(ours, 0.0, 0.01), lr=0.01)
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
    optimizers = [Muon(groups_of(model, 0.1, 0.01), lr=0.01) for model in (whole, halves)]

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.arange(7)).backward()
        optimizer.step()

    for _ in range(4):
        step(whole, optimizers[0])
    for _ in range(2):
        step(halves, optimizers[1])
    second = Muon(groups_of(halves, 0.1, 0.5), lr=0.5)
    second.load_state_dict(optimizers[1].state_dict())
    for _ in range(2):
        step(halves, second)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))


def test_a_closure_is_asked_first():
    model = Net()
    optimizer, before = Muon(groups_of(model, 0.0, 0.01), lr=0.01), model.net["layers"][0].weight.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = model(torch.arange(7))
        loss.backward()
        return loss

    assert optimizer.step(closure) > 0 and not torch.equal(model.net["layers"][0].weight, before)


def test_a_model_without_layers_is_no_work_for_it():
    with pytest.raises(StudyError, match="Linear: no matrix of its layers or its adapter learns"):
        groups_of(nn.Linear(3, 3), 0.1, 0.01)
