"""Objectives: what they compare, and that accumulated batches are one large batch."""

import pytest
import torch

from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.training import objectives
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment, count, text_pass
from blsp_core.training.trainer import train

EMOTION = EmotionAlignment({"emotion_weight": 0.5})


@pytest.fixture
def model_and_data(parts, rows, corpus):
    model, processor = parts
    model.set_trainable(adapter=True, head=True)
    return model, SpeechTextDataset(rows, processor, corpus[0])


@pytest.mark.parametrize("objective", [SemanticAlignment(2.0), SemanticAlignment(2.0, shift=False), EMOTION])
def test_accumulated_batches_are_one_large_batch(model_and_data, tmp_path, objective):
    (model, data), gradients, found = model_and_data, {}, []
    for name, weight in model.named_parameters():
        if weight.requires_grad:  # before they are clipped
            weight.register_post_accumulate_grad_hook(lambda w, name=name: gradients.update({name: w.grad.clone()}))
    options = {"steps": 1, "learning_rate": 0.0, "weight_decay": 0.0, "shuffle": False, "seed": 1}
    for size, batches in (8, 1), (4, 2), (1, 8):
        seen, places = [], {"checkpoints": tmp_path / "unfinished", "log": tmp_path / "log.csv"}

        def watched(model, batch, seen=seen):
            seen.append(objective(model, batch))
            return seen[-1]

        train(model, data, collate, watched, batch_size=size, gradient_accumulation=batches, **options, **places)
        losses = {k: sum(parts[k].item() for parts in seen) for k in seen[0] if not k.startswith("share_")}
        found.append((losses, dict(gradients)))
    for losses, accumulated in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(accumulated, found[0][1], atol=1e-5, rtol=1e-4)


def test_the_teacher_has_no_gradient_and_a_student_that_equals_it_no_loss(model_and_data):
    model, data = model_and_data
    batch = collate([data[0], data[1]])
    assert not text_pass(model, batch).logits.requires_grad
    same = batch | {f"speech_{name}": batch[f"text_{name}"] for name in ("ids", "mask", "labels", "prefix")}
    same = {name: value for name, value in same.items() if "feature" not in name}
    found, shifted = (SemanticAlignment(2.0, shift)(model, batch)["response_kl"].item() for shift in (True, False))
    assert SemanticAlignment(2.0)(model, same)["response_kl"].abs() < 1e-6 and found > 1e-3
    assert shifted != pytest.approx(found, rel=1e-3)


def test_the_weight_of_a_loss_is_its_share_of_the_sum_and_0_leaves_it_out(model_and_data):
    model, data = model_and_data
    batch = collate([data[n] for n in range(4)])
    one, half, none = (EmotionAlignment({"emotion_weight": w})(model, batch) for w in (1.0, 0.5, 0))
    torch.testing.assert_close(half["emotion_ce"], one["emotion_ce"] / 2)
    assert set(one) - set(none) == {"emotion_ce", "share_emotion_right"}
    torch.testing.assert_close(one["response_ce"], none["response_ce"])


def test_clips_without_a_label_do_not_count(model_and_data):
    model, data = model_and_data
    both, one, none = (EMOTION(model, collate([data[n] for n in rows])) for rows in ((0, 1), (0,), (1, 2)))
    torch.testing.assert_close(both["emotion_ce"], one["emotion_ce"])
    assert none["emotion_ce"] == 0 and count({"labels": torch.full((3,), -100)}, "labels") == 1


@pytest.mark.parametrize("shift", [True, False])
def test_kept_states_of_the_teacher_are_those_that_it_would_compute(model_and_data, shift, monkeypatch):
    model, data = model_and_data
    batch, objective = collate([data[n] for n in (5, 0, 3)]), SemanticAlignment(2.0, shift)
    computed = objective(model, batch)["response_kl"]
    objective.keep_teacher(model, data)
    assert len(objective.kept) == len(data) and objective == SemanticAlignment(2.0, shift)
    with monkeypatch.context() as context:
        context.setattr(objectives, "text_pass", None)  # the teacher is not asked again
        torch.testing.assert_close(objective(model, batch)["response_kl"], computed, atol=1e-6, rtol=1e-5)
    unseen = collate([data[0] | {"text_ids": [*data[0]["text_ids"][:-1], 5]}])  # another response, as of held-out rows
    assert objective(model, unseen)["response_kl"].item() != pytest.approx(computed.item(), rel=1e-3)


def test_of_a_teacher_the_most_probable_tokens_can_be_kept(model_and_data, monkeypatch):
    model, data = model_and_data
    batch, exact = collate([data[n] for n in (5, 0, 3)]), SemanticAlignment(2.0)
    assert exact.kept_share() is None
    losses, shares = [exact(model, batch)["response_kl"].item()], [0.0]
    for top in (9, 3):
        objective = SemanticAlignment(2.0, top=top)
        objective.keep_teacher(model, data)
        with monkeypatch.context() as context:
            context.setattr(objectives, "text_pass", None)
            losses.append(objective(model, batch)["response_kl"].item())
        shares.append(objective.kept_share())
    assert losses[0] > losses[1] > losses[2] > 0 and 1 > shares[1] > shares[2] > 0


def test_states_of_the_teacher_that_would_not_fit_are_not_kept(model_and_data, monkeypatch):
    monkeypatch.setattr(objectives, "KEPT", 100)
    objective = SemanticAlignment(2.0)
    objective.keep_teacher(*model_and_data)
    assert not objective.kept
