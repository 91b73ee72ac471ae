"""Muon: its updates of matrices, and that all else is AdamW's."""

import pytest
import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.lora import add_partial_lora
from blsp_core.training.optimizer import Muon, orthogonalize, parameter_groups


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 4)
        self.net = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])})
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, ids):
        x = self.words(ids)
        for layer in self.net["layers"]:
            x = x + layer(x).relu()
        return x.square().sum()


def optimizer_of(model, decay=0.1):
    return Muon(parameter_groups(model, 0.01, {}, decay, "muon"), lr=0.01)


def shapes(*settings):
    groups = parameter_groups(*settings)
    return {(g["muon"], g["lr"], g["weight_decay"]): [tuple(weight.shape) for weight in g["params"]] for g in groups}


@pytest.mark.parametrize("rows, columns", [(12, 12), (8, 24), (24, 8)])
def test_singular_values_come_near_one_and_singular_vectors_stay(rows, columns):
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(rows)) * 40
    u, values, v = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonalize(matrices) @ v.mT  # in the matrices' own singular vectors
    diagonal = torch.diagonal(found, dim1=-2, dim2=-1)
    assert (diagonal[values > 0.1 * values[:, :1]] > 0.6).all() and (diagonal < 1.3).all()
    torch.testing.assert_close(found, torch.diag_embed(diagonal), atol=1e-3, rtol=0)


def test_every_trained_weight_is_in_one_group():
    inner, words, biases = (True, 0.01, 0.1), (False, 0.01, 0.1), (False, 0.01, 0.0)
    assert shapes(Net(), 0.01, {}, 0.1, "muon") == {inner: [(4, 4)] * 2, words: [(7, 4)], biases: [(4,)] * 2}
    assert shapes(Net(), 0.01, {}, 0.1, "adamw") == {words: [(7, 4), (4, 4), (4, 4)], biases: [(4,)] * 2}


def test_parts_have_their_own_rates_and_low_rank_updates_are_adamw_s():
    model = nn.ModuleDict({"adapter": nn.Conv1d(2, 6, 5), "emotion_head": nn.Linear(6, 5, bias=False)})
    model["llm"] = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(6, 6, bias=False)])})
    add_partial_lora(model["llm"], 2, 2, 0.0, ["0"])
    for name, weight in model.named_parameters():
        weight.requires_grad_("base_layer" not in name)
    found = shapes(model, 0.01, {"lora": 0.02, "emotion_head": 0.03}, 0.1, "muon")
    low_rank, head, bias = (False, 0.02, 0.1), (False, 0.03, 0.1), (False, 0.01, 0.0)
    assert found == {(True, 0.01, 0.1): [(6, 2, 5)], bias: [(6,)], head: [(5, 6)], low_rank: [(2, 6), (6, 2)]}


def test_what_cannot_be_grouped_is_an_error():
    with pytest.raises(StudyError, match="optimizer: 'sgd' is unknown"):
        parameter_groups(Net(), 0.01, {}, 0.1, "sgd")
    with pytest.raises(StudyError, match="learning_rates: Net has no part 'wrods'"):
        parameter_groups(Net(), 0.01, {"wrods": 0.02}, 0.1, "adamw")
    with pytest.raises(StudyError, match="Linear: no matrix for Muon"):
        parameter_groups(nn.Linear(3, 3), 0.01, {}, 0.1, "muon")


@pytest.mark.parametrize("layer", [nn.Linear(24, 12, bias=False), nn.Conv1d(2, 12, 12, bias=False)])
def test_a_matrix_or_kernel_is_updated_as_by_torch_s_muon_up_to_its_bfloat16(layer):
    torch.manual_seed(0)
    weight, theirs = layer.weight, nn.Parameter(layer.weight.detach().flatten(1).clone())
    muon = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    optimizers, before = (optimizer_of(nn.ModuleDict({"adapter": layer})), muon), theirs.detach().clone()
    for gradient in torch.randn(3, 12, 24):
        weight.grad, theirs.grad = gradient.view_as(weight).clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved, other = (found.detach() - before for found in (weight.flatten(1), theirs))
    assert (moved - other).norm() < 0.03 * other.norm()


def test_what_is_no_matrix_of_a_layer_is_updated_as_by_adamw():
    ours, theirs = Net(), Net()
    adamw = torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], lr=0.01, weight_decay=0.0)
    for model, optimizer in ((ours, optimizer_of(ours, decay=0.0)), (theirs, adamw)):
        model(torch.arange(7)).backward()
        optimizer.step()
    assert torch.equal(ours.words.weight, theirs.words.weight)
    assert torch.equal(ours.net["layers"][1].bias, theirs.net["layers"][1].bias)
