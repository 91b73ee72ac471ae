"""What training minimises: callables (model, batch) -> named parts, whose sum is the loss.

A part is a sum over labels divided by `count` of them, so that accumulated batches give the gradient of one large
batch. A part whose name starts with "share_" is only logged. A new loss of stage 2 is a function here, listed in
`LOSSES`, and its weight in params.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.losses import emotion_ce, response_ce, response_kl, response_positions, response_targets

_SPEECH = ("input_features", "feature_attention_mask", "encoder_hidden_states", "encoder_attention_mask")


def count(batch: Mapping, labels: str) -> torch.Tensor:
    """How many labels of this kind (-100 is none) one update has: in all its batches, as the trainer puts it into each
    of them, or in this batch when it is alone."""
    if "num_items" in batch:
        return batch["num_items"][labels]
    return (batch[labels] != -100).sum().clamp(min=1)


def speech_pass(model: BlspEmoForConditionalGeneration, batch: Mapping, shift: bool = True):
    """The student: the prompt with speech. Its logits, (response tokens, vocabulary), are those of the response."""
    return _forward(model, batch, "speech", shift, **{name: batch[name] for name in _SPEECH if name in batch})


@torch.no_grad()
def text_pass(model: BlspEmoForConditionalGeneration, batch: Mapping, shift: bool = True):
    """The teacher: the prompt with the transcript, and no gradient. Logits as those of `speech_pass`."""
    return _forward(model, batch, "text", shift)


def _forward(model: BlspEmoForConditionalGeneration, batch: Mapping, side: str, shift: bool, **speech):
    return model(
        input_ids=batch[f"{side}_ids"],
        attention_mask=batch[f"{side}_mask"],
        logits_to_keep=response_positions(batch[f"{side}_labels"], shift),
        shared_prefix=batch[f"{side}_prefix"],
        **speech,
    )


@dataclass(frozen=True)
class SemanticAlignment:
    """Stage 1: KL divergence from the LLM's distribution after the transcript to that after speech (BLSP-Emo eq. 1).

    shift=False compares the distributions one position too late, as the released code does.
    """

    temperature: float
    shift: bool = True

    def __call__(self, model: BlspEmoForConditionalGeneration, batch: Mapping) -> dict[str, torch.Tensor]:
        teacher, student = (find(model, batch, self.shift).logits for find in (text_pass, speech_pass))
        kl = response_kl(student, teacher, self.temperature, count(batch, "speech_labels"))
        return {"response_kl": kl, "share_padding": padding_share(batch["speech_mask"])}


def emotion_loss(output, batch: Mapping) -> dict[str, torch.Tensor]:
    """Cross-entropy of the emotion head (BLSP-Emo eq. 3); clips without a label do not count."""
    logits, labels = output.emotion_logits, batch["emotion_labels"]
    right = (logits.argmax(-1) == labels).sum() / (labels != -100).sum().clamp(min=1)
    return {"emotion_ce": emotion_ce(logits, labels, count(batch, "emotion_labels")), "share_emotion_right": right}


LOSSES = {"emotion": emotion_loss}  # of stage 2: name -> (output of the speech pass, batch) -> parts; see name_weight


@dataclass(frozen=True)
class EmotionAlignment:
    """Stage 2: cross-entropy of the response (BLSP-Emo eq. 2), and each of `LOSSES` times its `<name>_weight`.

    settings: the section stage2 of params.yaml.
    """

    settings: Mapping

    def __call__(self, model: BlspEmoForConditionalGeneration, batch: Mapping) -> dict[str, torch.Tensor]:
        output, labels = speech_pass(model, batch), batch["speech_labels"]
        parts = {"response_ce": response_ce(output.logits, response_targets(labels), count(batch, "speech_labels"))}
        for name, loss in LOSSES.items():
            weight = self.settings[f"{name}_weight"]
            found = loss(output, batch) if weight else {}
            parts |= {part: value if part.startswith("share_") else weight * value for part, value in found.items()}
        return parts | {"share_padding": padding_share(batch["speech_mask"])}


def classification(model: torch.nn.Module, batch: Mapping) -> dict[str, torch.Tensor]:
    """Cross-entropy of an audio classifier, see `ser_classifier`."""
    logits, labels = model(batch["input_values"], attention_mask=batch["attention_mask"]).logits, batch["labels"]
    parts = {"emotion_ce": emotion_ce(logits, labels, count(batch, "labels"))}
    parts["share_emotion_right"] = (logits.argmax(-1) == labels).float().mean()
    return parts | {"share_padding": padding_share(batch["attention_mask"])}


def padding_share(mask: torch.Tensor) -> torch.Tensor:
    """The share of padding in a batch, from its mask."""
    return 1 - mask.float().mean()
