"""What the model would answer, watched while it trains."""

from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import send_to_device
from transformers import TrainerCallback

from blsp_core.data import prompts
from blsp_core.data.dataset import Examples, collate
from blsp_core.data.manifest import EMOTIONS, Utterance
from blsp_core.data.targets import name_emotion
from blsp_core.evaluation.tasks import parse_emotion
from blsp_core.inference.llm import answer, chat
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.training.objectives import hear


class EmotionWords(TrainerCallback):
    """Asked to name the tone, how likely is the right word? Measured before training, about `looks` times along it, and
    after it.

    Writes a CSV: step, emotion, probability, the last a mean over the clips of that emotion. The probability is that of
    the answer that names the right emotion, as a share of all five such answers. They are the LLM's own: what it says
    in text when it is told the emotion, for every LLM has its own way to put it. `mean` is that of the last look, over
    emotions.
    """

    def __init__(
        self,
        utterances: list[Utterance],
        processor: BlspEmoProcessor,
        root: Path,
        log: Path,
        looks: int = 8,
    ):
        self.processor, self.root, self.examples = processor, root, None
        self.utterances, self.log, self.looks = utterances, Path(log), looks
        self.rows, self.mean = [], 0.0

    def every(self, steps: int) -> int:
        """After how many updates of so many it looks again."""
        return max(1, steps // self.looks)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.rows = []
        if state.global_step and self.log.is_file():
            before = pd.read_csv(self.log)
            self.rows = before[before["step"] <= state.global_step].to_dict("records")
        else:
            self._look(0, model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.every(args.max_steps) == 0 or state.global_step == args.max_steps:
            self._look(state.global_step, model)

    def _look(self, step: int, model: BlspEmoForConditionalGeneration) -> None:
        if self.utterances:
            found = pd.DataFrame({"emotion": [u.emotion for u in self.utterances], "probability": self._right(model)})
            means = found.groupby("emotion")["probability"].mean()
            self.rows += [{"step": step, "emotion": e, "probability": round(p, 6)} for e, p in means.items()]
            self.mean = float(means.mean())
        pd.DataFrame(self.rows, columns=["step", "emotion", "probability"]).to_csv(self.log, index=False)

    @torch.no_grad()
    def _right(self, model: BlspEmoForConditionalGeneration) -> list[float]:
        """The probability of the right word for every utterance."""
        training, five = model.training, len(EMOTIONS)
        model.eval()
        self.examples = self.examples or self._possible_answers(model)
        scores = []
        for start in range(0, len(self.examples), 10 * five):
            rows = range(start, min(start + 10 * five, len(self.examples)))
            batch = collate([self.examples[row] for row in rows])
            batch = send_to_device(batch, model.device)
            scores.append(_log_likelihood(model, _encoded_once(model, batch, five)))
        model.train(training)
        shares = torch.cat(scores).view(-1, five).softmax(dim=-1)
        return [float(row[EMOTIONS.index(u.emotion)]) for row, u in zip(shares, self.utterances, strict=True)]

    def _possible_answers(self, model: BlspEmoForConditionalGeneration) -> Examples:
        """Every utterance with the question, answered in each of the five ways."""
        words, rows = self.utterances[0].text, []
        told = [chat(prompts.SYSTEM, prompts.IDENTIFY + prompts.TOLD.format(emotion=e) + words) for e in EMOTIONS]
        written = answer(model.llm, self.processor.tokenizer, told, max_new_tokens=32, batch_size=len(told))
        own = {e: said.text for e, said in zip(EMOTIONS, written, strict=True) if parse_emotion(said.text) == e}
        for utterance in self.utterances:
            for emotion in EMOTIONS:
                row = name_emotion(utterance, emotion)
                rows.append(row | {"output": own.get(emotion, row["output"])})
        return Examples(rows, self.processor, self.root)


def _encoded_once(model: BlspEmoForConditionalGeneration, batch, times: int):
    """The batch with encoder states instead of log-mels, of clips that stand there so many times in a row."""
    sounds = (batch.pop(name)[::times] for name in ("input_features", "feature_attention_mask"))
    states, mask = (found.repeat_interleave(times, dim=0) for found in model.encode(*sounds))
    return batch | {"encoder_hidden_states": states, "encoder_attention_mask": mask}


def _log_likelihood(model: BlspEmoForConditionalGeneration, batch) -> torch.Tensor:
    """Of each row's response, (B,)."""
    labels = batch["speech_labels"][:, 1:]
    targets = labels[labels != -100]
    found = hear(model, batch).logits.float().log_softmax(dim=-1).gather(-1, targets[:, None])[:, 0]
    row = (labels != -100).nonzero()[:, 0]
    return torch.zeros(len(labels), device=found.device).index_add(0, row, found)
