"""Measurements during training."""

from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import send_to_device
from transformers import TrainerCallback

from blsp_core.data import prompts
from blsp_core.data.dataset import SpeechTextDataset, collate
from blsp_core.data.emotions import EMOTIONS, parse_emotion
from blsp_core.data.manifest import Utterance
from blsp_core.data.prompts import chat
from blsp_core.data.targets import name_emotion
from blsp_core.inference.llm import answer
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.training.objectives import speech_pass


class EmotionWords(TrainerCallback):
    """The probability of the right answer to the question for the emotion, before, during (`times`) and after training.

    It is the share of the answer that names the right emotion among the answers that name one of the five. The answers
    are the LLM's own, to the transcript with the emotion in the prompt, since every LLM phrases them in its own way.
    Writes a CSV: step, emotion, probability (mean over the clips of that emotion).
    """

    def __init__(self, utterances: list[Utterance], processor: BlspEmoProcessor, root: Path, log: Path, times: int = 8):
        self.utterances, self.processor, self.root = utterances, processor, root
        self.log, self.times, self.rows, self.examples = Path(log), times, [], None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if not self.rows and state.is_world_process_zero:  # a checkpoint keeps the rows up to its step
            self.measure(0, model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        due = state.global_step % max(1, args.max_steps // self.times) == 0 or state.global_step == args.max_steps
        if due and state.is_world_process_zero:
            self.measure(state.global_step, model)

    def measure(self, step: int, model: BlspEmoForConditionalGeneration) -> None:
        """Add the rows of this step to the CSV."""
        if self.utterances:
            found = {"emotion": [u.emotion for u in self.utterances], "probability": self.probabilities(model)}
            means = pd.DataFrame(found).groupby("emotion")["probability"].mean()
            self.rows += [{"step": step, "emotion": e, "probability": round(p, 6)} for e, p in means.items()]
        pd.DataFrame(self.rows, columns=["step", "emotion", "probability"]).to_csv(self.log, index=False)

    @torch.no_grad()
    def probabilities(self, model: BlspEmoForConditionalGeneration) -> list[float]:
        """That of the right answer, for every utterance."""
        training, five = model.training, len(EMOTIONS)
        model.eval()
        self.examples = self.examples or self._answers(model)
        scores = []
        for start in range(0, len(self.examples), 10 * five):
            batch = collate([self.examples[i] for i in range(start, min(start + 10 * five, len(self.examples)))])
            scores.append(log_likelihood(model, encode_clips(model, send_to_device(batch, model.device), five)))
        model.train(training)
        shares = torch.cat(scores).view(-1, five).softmax(dim=-1)
        return [float(row[EMOTIONS.index(u.emotion)]) for row, u in zip(shares, self.utterances, strict=True)]

    def _answers(self, model: BlspEmoForConditionalGeneration) -> SpeechTextDataset:
        """Every utterance with the question and each of the five answers."""
        text, rows = self.utterances[0].text, []
        chats = [chat(prompts.SYSTEM, prompts.IDENTIFY + prompts.TOLD.format(emotion=e) + text) for e in EMOTIONS]
        answers = answer(model.llm, self.processor.tokenizer, chats, max_new_tokens=32, batch_size=len(chats))
        own = {e: {"output": a.text} for e, a in zip(EMOTIONS, answers, strict=True) if parse_emotion(a.text) == e}
        rows = [name_emotion(u, e) | own.get(e, {}) for u in self.utterances for e in EMOTIONS]
        return SpeechTextDataset(rows, self.processor, self.root)


def encode_clips(model: BlspEmoForConditionalGeneration, batch: dict, times: int) -> dict:
    """The batch with encoder states in place of log-mels, where each clip stands `times` times in succession."""
    sounds = (batch.pop(name)[::times] for name in ("input_features", "feature_attention_mask"))
    states, mask = (found.repeat_interleave(times, dim=0) for found in model.encode(*sounds))
    return batch | {"encoder_hidden_states": states, "encoder_attention_mask": mask}


def log_likelihood(model: BlspEmoForConditionalGeneration, batch: dict) -> torch.Tensor:
    """Of the response of each row, (rows,)."""
    labels = batch["speech_labels"][:, 1:]
    targets, row = labels[labels != -100], (labels != -100).nonzero()[:, 0]
    found = speech_pass(model, batch).logits.float().log_softmax(dim=-1).gather(-1, targets[:, None])[:, 0]
    return torch.zeros(len(labels), device=found.device).index_add(0, row, found)
