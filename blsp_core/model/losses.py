"""The three losses of the paper, on selected rows of logits.

Student and teacher read sequences of different length (speech, text) that end in the same response. Each selects the
rows of its logits that predict the response, by its own labels; the losses compare these rows.

`head_kl` and `head_ce` are `response_kl` and `response_ce` from the states before a frozen output head. They compute
the logits in fp32 and a few rows at a time, and keep the gradient of the states alone: nothing of the size rows x
vocabulary stays in memory, and a head in bf16 does not round the logits that the KL compares.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

MEMORY = {"cpu": 2e8, "cuda": 1e9}  # bytes for the logits that exist at a time: larger products are faster
COLUMNS = 8192  # of a half-precision head that are converted to fp32 at a time


def response_positions(labels: torch.Tensor, shift: bool = True) -> torch.Tensor:
    """(B, L) bool, True where the logits predict a labelled token; can be passed as `logits_to_keep` to the model.

    labels: (B, L), -100 where nothing is to be predicted. shift: the logits at the position before a token predict it.
    False selects the positions of the tokens themselves, as the released code does for its KL loss, which therefore
    ignores the first token.
    """
    labelled = labels != -100
    if not shift:
        return labelled
    return torch.cat([labelled[:, 1:], torch.zeros_like(labelled[:, :1])], dim=1)


def response_rows(logits: torch.Tensor, labels: torch.Tensor, shift: bool = True) -> torch.Tensor:
    """(B, L, vocabulary) -> (N, vocabulary): the rows that predict the N labelled tokens, in order."""
    return logits[response_positions(labels, shift)]


def response_targets(labels: torch.Tensor) -> torch.Tensor:
    """(B, L) -> (N,): the labelled tokens, in the order of `response_rows` (shifted)."""
    return labels[:, 1:][labels[:, 1:] != -100]


def response_kl(
    student_rows: torch.Tensor,
    teacher_rows: torch.Tensor,
    temperature: float = 2.0,
    num_items_in_batch: int | torch.Tensor | None = None,
) -> torch.Tensor:
    """KL(teacher || student) at a temperature, mean over response tokens, in fp32; BLSP-Emo eq. 1, no T² factor.

    Rows are (N, vocabulary). `num_items_in_batch`: divide the sum by this instead of N (gradient accumulation).
    """
    student = log_softmax(student_rows.float() / temperature, dim=-1)
    teacher = log_softmax(teacher_rows.float() / temperature, dim=-1)
    total = kl_div(student, teacher, reduction="sum", log_target=True)
    return _mean(total, len(student_rows), num_items_in_batch)


def response_ce(
    rows: torch.Tensor, targets: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of the response tokens, mean over them, in fp32; BLSP-Emo eq. 2.

    Rows are (N, vocabulary), targets (N,).
    """
    return _mean(cross_entropy(rows.float(), targets, reduction="sum"), len(rows), num_items_in_batch)


def emotion_ce(
    logits: torch.Tensor, emotion_labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of the emotion head, mean over labelled clips; BLSP-Emo eq. 3.

    logits: (clips, emotions); emotion_labels: (clips,), -100 for a clip without one. A batch without labels gives 0.
    """
    total = cross_entropy(logits.float(), emotion_labels, reduction="sum", ignore_index=-100)
    return _mean(total, (emotion_labels != -100).sum(), num_items_in_batch)


def head_kl(
    student: torch.Tensor, teacher: torch.Tensor, head: nn.Linear, temperature: float = 2.0, num_items_in_batch=None
) -> torch.Tensor:
    """`response_kl` of the logits that `head`, which is frozen, makes of states (N, width)."""

    def piece(rows: slice, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, wanted = torch.log_softmax(logits, dim=-1, out=logits).chunk(2)
        share = wanted.exp()
        loss = wanted.sub_(found).mul_(share).sum()
        return loss, found.exp_().sub_(share)

    return _mean(_HeadLoss.apply(student, head, piece, temperature, teacher), len(student), num_items_in_batch)


def top_log_shares(
    states: torch.Tensor, head: nn.Linear, temperature: float, top: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the distributions, at a temperature, that `head` makes of states (N, width): the `top` most probable tokens
    and the logarithms of their probabilities, (N, top) int32 and float32."""
    found = []
    for some in states.split(_rows(states, head)):
        logs = log_softmax(_logits(some.float() / temperature, head, temperature), dim=-1)
        found.append(logs.topk(min(top, logs.shape[-1]), dim=-1))
    return torch.cat([best.indices for best in found]).int(), torch.cat([best.values for best in found])


def head_kl_of_top(
    student: torch.Tensor, tokens: torch.Tensor, logs: torch.Tensor, head: nn.Linear, temperature: float = 2.0,
    num_items_in_batch=None,
) -> torch.Tensor:  # fmt: skip
    """`head_kl` where only the teacher's most probable tokens are known (see `top_log_shares`); the others, student's
    and teacher's, count as one token. Never above `head_kl`, and below it by what the teacher distinguishes among the
    others."""
    least = 1e-6  # of the share of the others: 1 less the sum of the top has an error of this size in fp32

    def piece(rows: slice, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, places, wanted = torch.log_softmax(logits, dim=-1, out=logits), tokens[rows].long(), logs[rows]
        shares, own = wanted.exp(), found.gather(-1, places)
        others, own_others = ((1 - part.sum(-1)).clamp(min=least) for part in (shares, own.exp()))
        loss = (shares * (wanted - own)).sum() + (others * (others / own_others).log()).sum()
        slope = found.exp_().mul_((1 - others / own_others)[:, None])
        return loss, slope.scatter_(-1, places, own.exp() - shares)

    return _mean(_HeadLoss.apply(student, head, piece, temperature), len(student), num_items_in_batch)


def head_ce(states: torch.Tensor, targets: torch.Tensor, head: nn.Linear, num_items_in_batch=None) -> torch.Tensor:
    """`response_ce` of the logits that `head`, which is frozen, makes of states (N, width); targets (N,)."""

    def piece(rows: slice, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, place = torch.log_softmax(logits, dim=-1, out=logits), targets[rows, None]
        loss = -found.gather(-1, place).sum()
        return loss, found.exp_().scatter_add_(-1, place, -torch.ones_like(place, dtype=found.dtype))

    return _mean(_HeadLoss.apply(states, head, piece), len(states), num_items_in_batch)


class _HeadLoss(torch.autograd.Function):
    """The sum over rows of a loss of logits, which are divided by `temperature`. `piece`: rows, their logits -> their
    loss and its gradient by the logits; the gradient by the states is formed at once, so that the logits can go.
    others: states of the same shape whose logits the piece gets below those of `states`, from the same product."""

    @staticmethod
    def forward(
        ctx, states: torch.Tensor, head: nn.Linear, piece: Callable, temperature: float = 1.0,
        others: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        total, gradient = states.new_zeros((), dtype=torch.float32), torch.empty_like(states)
        step, both, logits = _rows(states, head), [states] if others is None else [states, others], None
        with torch.autocast(states.device.type, enabled=False):
            for start in range(0, len(states), step):
                rows = slice(start, start + step)
                read = torch.cat([part[rows].float() for part in both]) / temperature
                logits = _logits(read, head, temperature, logits if logits is None else logits[: len(read)])
                loss, slope = piece(rows, logits)
                total += loss
                if ctx.needs_input_grad[0]:
                    found = sum(slope[:, columns] @ weight for columns, weight in _blocks(head.weight.detach()))
                    gradient[rows] = (found / temperature).to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, of_total: torch.Tensor):
        return of_total * ctx.saved_tensors[0], None, None, None, None


def _rows(states: torch.Tensor, head: nn.Linear) -> int:
    """How many rows at a time: a piece of `head_kl` has three fp32 tensors of rows x vocabulary."""
    return max(1, int(MEMORY.get(states.device.type, MEMORY["cpu"]) / (12 * len(head.weight))))


def _logits(
    states: torch.Tensor, head: nn.Linear, temperature: float = 1.0, out: torch.Tensor | None = None
) -> torch.Tensor:
    """States (rows, width), fp32, already divided by the temperature -> logits divided by it, (rows, vocabulary), a
    product in fp32. out: memory to write them to."""
    out = states.new_empty(len(states), len(head.weight)) if out is None else out
    for columns, weight in _blocks(head.weight.detach()):
        torch.matmul(states, weight.T, out=out[:, columns])
    return out if head.bias is None else out.add_(head.bias.detach().float() / temperature)


def _blocks(weight: torch.Tensor):
    """The rows of a head in fp32, in pieces where they must be converted, and their places."""
    step = len(weight) if weight.dtype == torch.float32 else COLUMNS
    for start in range(0, len(weight), step):
        yield slice(start, start + step), weight[start : start + step].float()


def _mean(total: torch.Tensor, count, num_items_in_batch) -> torch.Tensor:
    if num_items_in_batch is not None:
        return total / num_items_in_batch
    return total / (count.clamp(min=1) if isinstance(count, torch.Tensor) else max(count, 1))
