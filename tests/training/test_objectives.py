"""Objectives: what they compare, and that accumulated batches are one large batch."""

import pytest
import torch

from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.manifest import as_row
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.training.objectives import EmotionAlignment, SemanticAlignment, count, emotion_loss
from blsp_core.training.trainer import train

EMOTION = EmotionAlignment({"emotion_weight": 0.5})


@pytest.fixture
def parts(stage1, corpus):
    """A model, and examples whose responses have 3 to 24 tokens, two of them without an emotion."""
    model = BlspEmoForConditionalGeneration.from_pretrained(stage1)
    model.set_trainable(adapter=True, head=True)
    rows = [{**as_row(u), "instruction": "say: ", "output": "ha" * (1 + n)} for n, u in enumerate(corpus[1])]
    rows = [row | {"early_stop": False, "emotion": row["emotion"] * (n not in (1, 2))} for n, row in enumerate(rows)]
    return model, SpeechTextDataset(rows, BlspEmoProcessor.from_pretrained(stage1), corpus[0])


@pytest.mark.parametrize("objective", [SemanticAlignment(2.0), SemanticAlignment(2.0, shift=False), EMOTION])
def test_accumulated_batches_are_one_large_batch(parts, tmp_path, objective):
    model, data = parts
    start, found = {k: v.clone() for k, v in model.state_dict().items()}, []
    for name, size, batches in (("one", 8, 1), ("two", 4, 2), ("eight", 1, 8)):
        model.load_state_dict(start)
        seen, options = [], {"weight_decay": 0.0, "shuffle": False, "seed": 1}

        def watched(model, batch, seen=seen):
            seen.append(objective(model, batch))
            return seen[-1]

        options |= {"steps": 1, "batch_size": size, "gradient_accumulation": batches, "learning_rate": 0.0}
        weights = [p for p in model.parameters() if p.requires_grad]
        gradients = {}
        hooks = [
            p.register_post_accumulate_grad_hook(lambda p, i=i, g=gradients: g.update({i: p.grad.clone()}))
            for i, p in enumerate(weights)
        ]
        train(model, data, collate, watched, checkpoints=tmp_path / name, log=tmp_path / f"{name}.csv", **options)
        for hook in hooks:
            hook.remove()
        losses = {k: sum(s[k].item() for s in seen) for k in seen[0] if not k.startswith("share_")}
        found.append((losses, [gradients[i] for i in sorted(gradients)]))
    (losses, gradients), *others = found
    for other_losses, other_gradients in others:
        assert other_losses == pytest.approx(losses, rel=1e-5)
        for a, b in zip(gradients, other_gradients, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_teacher_has_no_gradient_and_a_student_that_equals_it_no_loss(parts):
    model, data = parts
    batch = collate([data[0], data[1]])
    same = batch | {f"speech_{name}": batch[f"text_{name}"] for name in ("ids", "mask", "labels", "prefix")}
    same = {name: value for name, value in same.items() if "feature" not in name}
    assert SemanticAlignment(2.0)(model, same)["response_kl"].abs() < 1e-6
    assert SemanticAlignment(2.0)(model, batch)["response_kl"] > 1e-3
    with torch.no_grad():
        shifted = SemanticAlignment(2.0, shift=False)(model, batch)["response_kl"]
    assert shifted != pytest.approx(float(SemanticAlignment(2.0)(model, batch)["response_kl"]), rel=1e-3)


def test_the_weight_of_a_loss_is_its_share_of_the_sum_and_0_leaves_it_out(parts):
    model, data = parts
    batch = collate([data[n] for n in range(4)])
    one, half, none = (EmotionAlignment({"emotion_weight": w})(model, batch) for w in (1.0, 0.5, 0))
    torch.testing.assert_close(half["emotion_ce"], one["emotion_ce"] / 2)
    assert set(one) - set(none) == {"emotion_ce", "share_emotion_right"}
    torch.testing.assert_close(one["response_ce"], none["response_ce"])


def test_clips_without_a_label_do_not_count():
    output = type("Output", (), {"emotion_logits": torch.randn(3, 5)})
    batch = {"emotion_labels": torch.tensor([2, -100, -100])}
    first = emotion_loss(output, batch)["emotion_ce"]
    torch.testing.assert_close(first, torch.nn.functional.cross_entropy(output.emotion_logits[:1], torch.tensor([2])))
    assert (
        count(batch, "emotion_labels") == 1 and count({"emotion_labels": torch.tensor([-100])}, "emotion_labels") == 1
    )
    assert emotion_loss(output, {"emotion_labels": torch.full((3,), -100)})["emotion_ce"] == 0
