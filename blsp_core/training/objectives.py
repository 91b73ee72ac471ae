"""What training minimises: callables (model, batch) -> named parts, whose sum is the loss.

A part is a sum over labels divided by `count` of them, so that accumulated batches give the gradient of one large
batch. A part whose name starts with "share_" is only logged. A new loss of stage 2 is a function here, listed in
`LOSSES`, and its weight in params.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from accelerate.utils import send_to_device

from blsp_core.data.dataset import SpeechTextDataset, collate_tokens
from blsp_core.data.progress import progress
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.losses import (
    emotion_ce,
    head_ce,
    head_kl,
    head_kl_of_top,
    response_ce,
    response_kl,
    response_positions,
    response_targets,
    top_log_shares,
)

KEPT, TOGETHER = 2e9, 64  # bytes of the teacher's states that are kept in memory; responses that it reads at a time
_SPEECH = ("input_features", "feature_attention_mask", "encoder_hidden_states", "encoder_attention_mask")


def count(batch: Mapping, labels: str) -> torch.Tensor:
    """How many labels of this kind (-100 is none) one update has: in all its batches, as the trainer puts it into each
    of them, or in this batch when it is alone."""
    if "num_items" in batch:
        return batch["num_items"][labels]
    return (batch[labels] != -100).sum().clamp(min=1)


def speech_pass(model: BlspEmoForConditionalGeneration, batch: Mapping, shift: bool = True, states: bool = False):
    """The student: the prompt with speech. Its logits, (response tokens, vocabulary), are those of the response; or its
    `states` before the output head, (response tokens, width)."""
    return _forward(model, batch, "speech", shift, states, **{name: batch[name] for name in _SPEECH if name in batch})


@torch.no_grad()
def text_pass(model: BlspEmoForConditionalGeneration, batch: Mapping, shift: bool = True, states: bool = False):
    """The teacher: the prompt with the transcript, and no gradient. Logits or states as those of `speech_pass`."""
    return _forward(model, batch, "text", shift, states)


def _forward(model: BlspEmoForConditionalGeneration, batch: Mapping, side: str, shift: bool, states: bool, **speech):
    return model(
        input_ids=batch[f"{side}_ids"],
        attention_mask=batch[f"{side}_mask"],
        **{"states_to_keep" if states else "logits_to_keep": response_positions(batch[f"{side}_labels"], shift)},
        shared_prefix=batch[f"{side}_prefix"],
        **speech,
    )


def plain_head(model: torch.nn.Module) -> torch.nn.Linear | None:
    """The output head of the LLM where its logits are its product with the states and nothing more; None for an LLM
    that scales or caps its logits, or whose head is quantised: then the losses need the logits themselves."""
    model = getattr(model, "module", model)  # of several processes
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    changed = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    plain = type(head) is torch.nn.Linear and head.weight.is_floating_point()
    return head if plain and not any(getattr(config, name, None) for name in changed) else None


def _response_ce(output, head, batch: Mapping, side: str) -> torch.Tensor:
    """The cross-entropy of the response in the output of a pass, of its states with a `head`."""
    targets, total = response_targets(batch[f"{side}_labels"]), count(batch, f"{side}_labels")
    return head_ce(output.states, targets, head, total) if head else response_ce(output.logits, targets, total)


def text_loss(model: BlspEmoForConditionalGeneration, batch: Mapping) -> dict[str, torch.Tensor]:
    """The cross-entropy of the response after the transcript: what the LLM itself reaches, to compare with."""
    head = plain_head(model)
    output = text_pass(model, batch, states=head is not None)
    return {"response_ce": _response_ce(output, head, batch, "text")}


@dataclass(frozen=True)
class SemanticAlignment:
    """Stage 1: KL divergence from the LLM's distribution after the transcript to that after speech (BLSP-Emo eq. 1).

    shift=False compares the distributions one position too late, as the released code does.
    top: what `keep_teacher` keeps: 0, the states before the output head, which lose nothing; or so many of the most
        probable tokens, which also save the teacher's product with the head; see `losses.head_kl_of_top`.
    """

    temperature: float
    shift: bool = True
    top: int = 0
    kept: dict[int, tuple[torch.Tensor, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def keep_teacher(self, model: BlspEmoForConditionalGeneration, data: SpeechTextDataset) -> None:
        """Read all transcripts once, before training, and keep what predicts the responses (see `top`): the LLM is
        frozen, so that every epoch would compute it again. Always in the same batches, so that a resumed run keeps the
        same. Nothing is kept of an LLM that needs its logits (see `plain_head`), nor beyond `KEPT` bytes."""
        items, head = data.text_items(), plain_head(model)
        tokens = sum(label != -100 for item in items for label in item["text_labels"])
        if head is None or tokens * (8 * self.top or head.weight.shape[1] * head.weight.element_size()) > KEPT:
            return
        items.sort(key=lambda item: len(item["text_ids"]))
        for start in progress(range(0, len(items), TOGETHER), f"teacher's states, {TOGETHER} responses a step"):
            self.keep(model, send_to_device(collate_tokens(items[start : start + TOGETHER], "text"), model.device))

    def keep(self, model: BlspEmoForConditionalGeneration, batch: Mapping) -> None:
        """Keep the teacher's side of one batch."""
        states = text_pass(model, batch, self.shift, states=True).states
        parts = top_log_shares(states, plain_head(model), self.temperature, self.top) if self.top else (states,)
        counts = response_positions(batch["text_labels"], self.shift).sum(dim=1).tolist()
        rows = zip(*(part.split(counts) for part in parts), strict=True)
        self.kept.update(zip(batch["text_keys"], rows, strict=True))

    def kept_share(self) -> float | None:
        """The share of the teacher's probability, at the temperature, that the kept tokens have, mean over response
        tokens; None where no tokens are kept."""
        logs = [row[-1] for row in self.kept.values()] if self.top else []
        return float(torch.cat(logs).exp().sum(dim=-1).mean()) if logs else None

    def measure(self, model: BlspEmoForConditionalGeneration, batch: Mapping) -> dict[str, torch.Tensor]:
        """Also the cross-entropy of the response itself, for held-out data. The KL is that of all tokens."""
        return self(model, batch, with_ce=True)

    def __call__(
        self, model: BlspEmoForConditionalGeneration, batch: Mapping, with_ce: bool = False
    ) -> dict[str, torch.Tensor]:
        head, total = plain_head(model), count(batch, "speech_labels")
        student = speech_pass(model, batch, self.shift, head is not None)
        kept = [self.kept.get(key) for key in batch.get("text_keys", [None])]
        known = None not in kept and not (self.top and with_ce)
        teacher = [torch.cat(part) for part in zip(*kept, strict=True)] if known else None
        if head is None:
            kl = response_kl(student.logits, text_pass(model, batch, self.shift).logits, self.temperature, total)
        elif teacher and self.top:
            kl = head_kl_of_top(student.states, *teacher, head, self.temperature, total)
        else:
            states = teacher[0] if teacher else text_pass(model, batch, self.shift, states=True).states
            kl = head_kl(student.states, states, head, self.temperature, total)
        parts = {"response_kl": kl, "share_padding": padding_share(batch["speech_mask"])}
        if with_ce and self.shift:  # without the shift, these are not the states that predict the response
            parts["response_ce"] = _response_ce(student, head, batch, "speech")
        return parts


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
        head = plain_head(model)
        output = speech_pass(model, batch, states=head is not None)
        parts = {"response_ce": _response_ce(output, head, batch, "speech")}
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
