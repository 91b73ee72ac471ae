"""A plain reference: the steps as the released code computes them, with the same weights.

What it does otherwise than this package (arXiv 2406.03872's code, github.com/cwang621/blsp-emo): Whisper reads 30 s of
every clip; the parts of a prompt are padded apart from each other; the LLM's logits are computed at every position and
then selected; the teacher reads every transcript in every step. Attention is that of the model, so that a ratio shows
these differences alone. Positions count real tokens, which the released code's Qwen does not: otherwise its loss would
depend on the batch.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from blsp_core.data.dataset import IGNORED, pad
from blsp_core.model import BlspEmoForConditionalGeneration
from blsp_core.model.lora import acting_at


@dataclass(frozen=True)
class Example:
    """A training example as token ids: the prompt up to the speech or the transcript, the transcript, the rest of the
    prompt, the response; and the log-mel of the clip, (mels, frames)."""

    before: list[int]
    transcript: list[int]
    after: list[int]
    response: list[int]
    features: torch.Tensor
    emotion: int


def stage1_loss(model: BlspEmoForConditionalGeneration, examples: list[Example], temperature: float = 2.0):
    """KL(teacher || student) at a temperature, mean over response tokens."""
    embed = model.get_input_embeddings()
    with torch.no_grad(), acting_at(None):
        transcripts, mask = _padded([example.transcript for example in examples], model.device)
        teacher, labels = _logits(model, examples, embed(transcripts), mask)
        teacher = _response_rows(teacher, labels)
    student, labels = _speech_logits(model, examples)[:2]
    student = _response_rows(student, labels)
    student, teacher = (log_softmax(rows / temperature, dim=-1) for rows in (student, teacher))
    return kl_div(student, teacher, reduction="sum", log_target=True) / len(student)


def stage2_loss(model: BlspEmoForConditionalGeneration, examples: list[Example]):
    """Cross-entropy of the response and of the emotion head."""
    logits, labels, emotions = _speech_logits(model, examples)
    targets = labels[:, 1:][labels[:, 1:] != IGNORED]
    wanted = torch.tensor([example.emotion for example in examples], device=model.device)
    return cross_entropy(_response_rows(logits, labels), targets) + cross_entropy(emotions, wanted)


def _speech_logits(model, examples):
    """Logits (B, L, vocabulary) of the prompts with speech, labels (B, L), and the emotion head's logits."""
    frames = torch.tensor([example.features.shape[1] for example in examples], device=model.device)
    window = 2 * model.config.encoder_config.max_source_positions
    features = torch.zeros(len(examples), examples[0].features.shape[0], window, device=model.device)
    for row, example in zip(features, examples, strict=True):
        row[:, : example.features.shape[1]] = example.features
    with torch.set_grad_enabled(any(weight.requires_grad for weight in model.encoder.parameters())):
        hidden = model.encoder(features).last_hidden_state
    lengths = (frames + 1) // 2
    hidden = hidden[:, : int(lengths.max())]
    mask = torch.arange(hidden.shape[1], device=model.device) < lengths[:, None]
    speech, mask = model.adapter(hidden, mask)
    before = len(examples[0].before)
    places = torch.zeros(len(examples), sum(_parts(examples, speech.shape[1])), dtype=torch.bool, device=model.device)
    places[:, before : before + speech.shape[1]] = mask
    with acting_at(places.flatten().nonzero()[:, 0]):
        logits, labels = _logits(model, examples, speech, mask.long())
    return logits, labels, model.get_emotion_logits(speech, mask)


def _parts(examples: list[Example], middle: int) -> tuple[int, ...]:
    """The padded lengths of the four parts of a prompt."""
    parts = [[getattr(example, name) for example in examples] for name in ("before", "after", "response")]
    before, after, response = (max(map(len, part)) for part in parts)
    return before, middle, after, response


def _logits(model, examples: list[Example], middle: torch.Tensor, middle_mask: torch.Tensor):
    """Logits at every position of the padded parts, one after the other, and labels (B, L)."""
    embed, tokens = model.get_input_embeddings(), {}
    for name in ("before", "after", "response"):
        tokens[name] = _padded([getattr(example, name) for example in examples], model.device)
    vectors = [embed(tokens["before"][0]), middle, embed(tokens["after"][0]), embed(tokens["response"][0])]
    mask = torch.cat([tokens["before"][1], middle_mask, tokens["after"][1], tokens["response"][1]], dim=1)
    labels = torch.full_like(mask, IGNORED)
    ids, real = tokens["response"]
    labels[:, -ids.shape[1] :] = ids.masked_fill(real == 0, IGNORED)
    output = model.llm(
        inputs_embeds=torch.cat(vectors, dim=1), attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        output_hidden_states=True, use_cache=True,
    )  # fmt: skip
    return output.logits, labels


def _response_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits[:, :-1][labels[:, 1:] != IGNORED]


def _padded(rows: list[list[int]], device) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = pad([torch.tensor(row) for row in rows], 0)
    return ids.to(device), mask.to(device)
