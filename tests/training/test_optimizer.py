"""Muon: its updates of matrices, and that all else is AdamW's."""

import pytest
import torch
from torch import nn

from blsp_core.errors import StudyError
from blsp_core.model.lora import add_partial_lora
from blsp_core.training.optimizer import Muon, orthogonalize, parameter_groups


def make_model():
    torch.manual_seed(0)
    model = nn.ModuleDict({"adapter": nn.Conv1d(2, 6, 5), "words": nn.Embedding(7, 6), "head": nn.Linear(6, 5)})
    model["llm"] = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)])})
    add_partial_lora(model["llm"], 2, 2, 0.0, ["0"])
    for name, weight in model.named_parameters():
        weight.requires_grad_("base_layer" not in name)
    return model


def optimizer_of(model, decay=0.1):
    return Muon(parameter_groups(model, 0.01, {}, decay, "muon"), lr=0.01)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_every_trained_weight_is_in_one_group_and_low_rank_updates_are_adamw_s(optimizer):
    groups = parameter_groups(make_model(), 0.01, {"lora": 0.02, "head": 0.03}, 0.1, optimizer)
    found = {(g["muon"], g["lr"], g["weight_decay"]): [tuple(w.shape) for w in g["params"]] for g in groups}
    inner, words = [(6, 2, 5), (6, 6)], [(7, 6)]
    matrices = {(True, 0.01, 0.1): inner, (False, 0.01, 0.1): words}
    if optimizer == "adamw":
        matrices = {(False, 0.01, 0.1): [inner[0], *words, inner[1]]}
    rest = {(False, 0.01, 0.0): [(6,)], (False, 0.03, 0.1): [(5, 6)], (False, 0.03, 0.0): [(5,)]}
    assert found == matrices | rest | {(False, 0.02, 0.1): [(2, 6), (6, 2)]}


def test_what_cannot_be_grouped_is_an_error():
    with pytest.raises(StudyError, match="optimizer: 'sgd' is unknown"):
        parameter_groups(make_model(), 0.01, {}, 0.1, "sgd")
    with pytest.raises(StudyError, match="learning_rates: ModuleDict has no part 'wrods'"):
        parameter_groups(make_model(), 0.01, {"wrods": 0.02}, 0.1, "adamw")
    with pytest.raises(StudyError, match="Linear: no matrix for Muon"):
        parameter_groups(nn.Linear(3, 3), 0.01, {}, 0.1, "muon")


@pytest.mark.parametrize("layer", [nn.Linear(24, 12), nn.Linear(12, 24), nn.Conv1d(2, 12, 12)])
def test_a_matrix_or_kernel_is_updated_as_by_torch_s_muon_up_to_its_bfloat16(layer):
    torch.manual_seed(0)
    weight, theirs = layer.weight, nn.Parameter(layer.weight.detach().flatten(1).clone())
    muon = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    optimizers, before = (optimizer_of(nn.ModuleDict({"adapter": layer})), muon), theirs.detach().clone()
    for gradient in torch.randn(3, *theirs.shape):
        weight.grad, theirs.grad = gradient.view_as(weight).clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved, other = (found.detach() - before for found in (weight.flatten(1), theirs))
    assert (moved - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize("shape", [(2, 12, 40), (1, 40, 12), (3, 24, 24)])
def test_singular_values_come_near_1_in_both_precisions(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    exact, rounded = (orthogonalize(matrices, dtype) for dtype in (torch.float32, torch.bfloat16))
    values = torch.linalg.svdvals(exact)
    assert values.max() < 1.3 and values[:, : min(shape[1:]) // 2].min() > 0.6
    assert rounded.dtype == torch.float32 and (rounded - exact).norm() < 0.04 * exact.norm()
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    turned = left.mT @ exact @ right.mT  # diagonal: the singular vectors stay
    assert (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-3


def test_what_is_no_matrix_of_a_layer_or_of_the_adapter_is_updated_as_by_adamw():
    ours, theirs = make_model(), make_model()
    adamw = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.0)
    for model, optimizer in ((ours, optimizer_of(ours, decay=0.0)), (theirs, adamw)):
        sum(weight.sin().sum() for weight in model.parameters()).backward()
        optimizer.step()
    other = [n for n, weight in ours.named_parameters() if not torch.equal(weight, theirs.get_parameter(n))]
    assert other == ["adapter.weight", "llm.layers.1.weight"]
