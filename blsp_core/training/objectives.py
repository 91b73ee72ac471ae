"""What the two stages minimise, as functions of model and batch (see `training.train`)."""

import torch

from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.losses import emotion_ce, response_ce, response_kl, response_positions, response_targets

_SOUND = ("input_features", "feature_attention_mask", "encoder_hidden_states", "encoder_attention_mask")


def hear(model: BlspEmoForConditionalGeneration, batch, shift: bool = True):
    """The pass over a batch of `examples.collate`: the logits of its output are the rows that predict the response."""
    return model(
        input_ids=batch["speech_ids"],
        attention_mask=batch["speech_mask"],
        logits_to_keep=response_positions(batch["speech_labels"], shift),
        shared_prefix=batch["speech_prefix"],
        **{name: batch[name] for name in _SOUND if name in batch},
    )


def padding_share(batch) -> torch.Tensor:
    """The share of the LLM's places that hold padding: waste that the log makes visible."""
    return 1 - batch["speech_mask"].float().mean()


class SemanticAlignment:
    """Stage 1: KL from the LLM's own reply to the transcript (BLSP-Emo eq. 1).

    `shift=False` distils at the response tokens' own positions, as the released code does by mistake.
    """

    def __init__(self, temperature: float, shift: bool = True):
        self.temperature, self.shift = temperature, shift

    def __call__(self, model: BlspEmoForConditionalGeneration, batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            teacher = model(
                input_ids=batch["text_ids"],
                attention_mask=batch["text_mask"],
                logits_to_keep=response_positions(batch["text_labels"], self.shift),
                shared_prefix=batch["text_prefix"],
            ).logits
        student = hear(model, batch, self.shift).logits
        return {"response_kl": response_kl(student, teacher, self.temperature), "share_padding": padding_share(batch)}


class EmotionAlignment:
    """Stage 2: cross-entropy of the response (BLSP-Emo eq. 2), and of the emotion itself (eq. 3) with a weight.

    Clips without a label have no part in the second.
    """

    def __init__(self, emotion_weight: float):
        self.emotion_weight = emotion_weight

    def __call__(self, model: BlspEmoForConditionalGeneration, batch) -> dict[str, torch.Tensor]:
        output = hear(model, batch)
        parts = {"response_ce": response_ce(output.logits, response_targets(batch["speech_labels"]))}
        parts["share_padding"] = padding_share(batch)
        if not self.emotion_weight:
            return parts
        labels = batch["emotion_labels"]
        parts["emotion_ce"] = self.emotion_weight * emotion_ce(output.emotion_logits, labels)
        with torch.no_grad():
            right = (output.emotion_logits.argmax(-1) == labels).sum() / (labels != -100).sum().clamp(min=1)
        return {**parts, "share_emotion_right": right}
