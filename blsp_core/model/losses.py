"""The three losses of the paper, on selected rows of logits.

Student and teacher read sequences of different length (speech, text) that end in the same response. Each selects the
rows of its logits that predict the response, by its own labels; the losses compare these rows.
"""

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax


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


def _mean(total: torch.Tensor, count, num_items_in_batch) -> torch.Tensor:
    if num_items_in_batch is not None:
        return total / num_items_in_batch
    return total / (count.clamp(min=1) if isinstance(count, torch.Tensor) else max(count, 1))
