"""The losses of the paper, on rows of logits."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from blsp_core.model import losses
from blsp_core.model.losses import emotion_ce, response_ce, response_kl, response_rows, response_targets

LABELS = torch.tensor([[-100, -100, 5, 6, 7, -100], [-100, 3, -100, -100, 4, 2]])


def test_the_row_before_a_token_predicts_it_or_its_own_without_the_shift():
    positions = losses.response_positions(LABELS)
    assert positions.nonzero().tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [1, 3], [1, 4]]
    assert response_targets(LABELS).tolist() == [5, 6, 7, 3, 4, 2]
    assert torch.equal(losses.response_positions(LABELS, shift=False), LABELS != -100)


def test_cross_entropy_is_that_of_every_causal_model():
    logits = torch.randn(2, 6, 9)
    expected = cross_entropy(logits[:, :-1].flatten(0, 1), LABELS[:, 1:].flatten())
    assert torch.allclose(response_ce(response_rows(logits, LABELS), response_targets(LABELS)), expected)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_divergence_is_never_negative(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(6, 50, generator=generator).mul(10).to(dtype)
    student = teacher + torch.randn(6, 50, generator=generator).mul(10 ** -(seed % 6)).to(dtype)
    kl = response_kl(student, teacher)
    assert kl.dtype == torch.float32 and kl >= -1e-6


def test_divergence_is_of_the_student_from_the_teacher_at_the_temperature():
    student, teacher = torch.randn(3, 5), torch.randn(3, 5)
    p, q = (teacher / 2).softmax(-1), (student / 2).softmax(-1)
    expected = (p * (p.log() - q.log())).sum(-1).mean()
    assert torch.allclose(response_kl(student, teacher, temperature=2.0), expected, atol=1e-6)


def test_a_batch_in_pieces_sums_to_the_whole():
    rows, other, targets = torch.randn(6, 9), torch.randn(6, 9), torch.tensor([5, 6, 7, 3, 4, 2])
    pieces = [slice(0, 1), slice(1, 6)]
    for whole, in_pieces in [
        (response_kl(rows, other), [response_kl(rows[p], other[p], num_items_in_batch=6) for p in pieces]),
        (response_ce(rows, targets), [response_ce(rows[p], targets[p], 6) for p in pieces]),
        (emotion_ce(rows, targets), [emotion_ce(rows[p], targets[p], 6) for p in pieces]),
    ]:
        assert torch.allclose(sum(in_pieces), whole, atol=1e-6)


def test_a_clip_without_a_label_does_not_count():
    logits, labels = torch.randn(3, 5), torch.tensor([-100, 2, 3])
    assert torch.allclose(emotion_ce(logits, labels), cross_entropy(logits[1:], labels[1:]))
    assert emotion_ce(logits, torch.full((3,), -100)) == 0


@pytest.mark.parametrize("bias", [False, True])
def test_losses_from_states_are_those_of_the_logits(bias, monkeypatch):
    monkeypatch.setitem(losses.MEMORY, "cpu", 12 * 50 * 4)  # three pieces
    head, targets = nn.Linear(16, 50, bias=bias).requires_grad_(False), torch.arange(10)
    states, teacher = (torch.randn(10, 16, requires_grad=learns) for learns in (True, False))
    for found, wanted in [
        (losses.head_kl(states, teacher, head, 2.0, 7), response_kl(head(states), head(teacher), 2.0, 7)),
        (losses.head_ce(states, targets, head), response_ce(head(states), targets)),
    ]:
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
        gradients = [torch.autograd.grad(3 * loss, states)[0] for loss in (found, wanted)]
        torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-6)


def test_the_kl_of_the_teacher_s_most_probable_tokens_is_that_with_the_others_as_one(monkeypatch):
    monkeypatch.setitem(losses.MEMORY, "cpu", 12 * 50 * 4)
    head = nn.Linear(16, 50).requires_grad_(False)
    states, teacher = (torch.randn(10, 16, requires_grad=learns) for learns in (True, False))
    whole = losses.head_kl(states, teacher, head, 2.0)
    tokens, logs = losses.top_log_shares(teacher, head, 2.0, 7)
    order = head(teacher).argsort(dim=-1, descending=True)
    assert torch.equal(tokens.long(), order[:, :7])
    wanted, found = ((head(rows) / 2.0).softmax(-1).gather(-1, order) for rows in (teacher, states))
    wanted, found = (torch.cat([rows[:, :7], rows[:, 7:].sum(-1, keepdim=True)], -1) for rows in (wanted, found))
    kl = (wanted * (wanted / found).log()).sum() / 10
    ours = losses.head_kl_of_top(states, tokens, logs, head, 2.0)
    torch.testing.assert_close(ours, kl, atol=1e-6, rtol=1e-5)
    assert ours < whole
    torch.testing.assert_close(*(torch.autograd.grad(loss, states)[0] for loss in (ours, kl)), atol=1e-6, rtol=1e-5)
    everything = losses.top_log_shares(teacher, head, 2.0, 99)  # more than there are
    torch.testing.assert_close(losses.head_kl_of_top(states, *everything, head, 2.0), whole, atol=1e-5, rtol=1e-5)


def test_a_head_in_half_precision_does_not_round_the_logits(monkeypatch):
    """Student and teacher that differ little: rounded logits give a gradient that is wrong by half and more."""
    monkeypatch.setattr(losses, "COLUMNS", 300)
    torch.manual_seed(0)
    head = nn.Linear(64, 1000, bias=False).requires_grad_(False)
    head.weight.mul_(8)
    teacher = torch.randn(20, 64).bfloat16()
    student = (teacher + 0.02 * torch.randn(20, 64)).bfloat16()
    exact = nn.Linear(64, 1000, bias=False).requires_grad_(False)
    exact.weight.copy_(head.bfloat16().weight)

    def gradient(loss, rows):
        rows = rows.detach().requires_grad_()
        return torch.autograd.grad(loss(rows), rows)[0].float()

    wanted = gradient(lambda rows: response_kl(exact(rows), exact(teacher.float())), student.float())
    ours = gradient(lambda rows: losses.head_kl(rows, teacher, head), student)
    rounded = gradient(lambda rows: response_kl(head(rows), head(teacher)), student)
    off = [float((found - wanted).norm() / wanted.norm()) for found in (ours, rounded)]
    assert off[0] < 0.01 < 0.1 < off[1]
