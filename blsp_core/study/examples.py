"""From a row of continuations to a training example: the same response after speech and after the transcript."""

from pathlib import Path

import torch
from torch.utils.data import Dataset

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.speech.audio import load_audio
from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study.batching import pad, pad_features
from blsp_core.study.llm import chat

IGNORED = -100


def spoken_chat(system: str, instruction: str, audio=None) -> list[dict]:
    """One question whose last part is speech; `audio` is a waveform, or None where only its length matters."""
    parts = [{"type": "text", "text": instruction}] if instruction else []
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": [*parts, {"type": "audio", "audio": audio}]},
    ]


class Examples(Dataset):
    """Continuations as model inputs.

    An item has `speech_ids` and `speech_labels` (the prompt with placeholders, then the response), `text_ids` and
    `text_labels` (the same with the transcript under the writer's instruction: what the teacher reads), `emotion` (an
    index into EMOTIONS, -100 for none), and `features` (mels, frames), or `hidden` (frames, width) after
    `encode_once`. A response that the token limit had cut has no end of turn.
    """

    def __init__(
        self,
        rows: list[dict],
        processor: BlspEmoProcessor,
        root: Path,
        *,
        system: str,
        instruction: str,
        keep_features: bool = True,
    ):
        if not rows:
            raise StudyError("no continuation is left to train on; look at rejected.jsonl for the reasons")
        self.rows, self.processor, self.root = rows, processor, Path(root)
        self.system, self.instruction, self.keep_features = system, instruction, keep_features
        self.features: dict[int, torch.Tensor] = {}
        self.hidden: list[torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        tokenizer = self.processor.tokenizer
        response = tokenizer(row["output"], add_special_tokens=False).input_ids
        if not row["early_stop"]:
            response.append(tokenizer.eos_token_id)
        speech = self.processor.prompt_ids(spoken_chat(self.system, self.instruction), [self.speech_length(index)])
        text = self.processor.prompt_ids(chat(self.system, row["instruction"] + row["text"]))
        item = {
            "speech_ids": speech + response,
            "speech_labels": [IGNORED] * len(speech) + response,
            "text_ids": text + response,
            "text_labels": [IGNORED] * len(text) + response,
            "emotion": EMOTIONS.index(row["emotion"]) if row["emotion"] else IGNORED,
        }
        if self.hidden is not None:
            return {**item, "hidden": self.hidden[index]}
        return {**item, "features": self.log_mel(index)}

    def log_mel(self, index: int) -> torch.Tensor:
        """(mels, frames) of one row; kept for the next epoch where `keep_features` says so."""
        if index in self.features:
            return self.features[index]
        sound = load_audio(self.rows[index]["audio"], self.root)
        features = self.processor.features([sound])["input_features"][0]
        if self.keep_features:
            self.features[index] = features
        return features

    def speech_length(self, index: int) -> int:
        """The number of speech embeddings of one row."""
        return self.processor.speech_length(round(self.rows[index]["duration"] * self.rate))

    @property
    def rate(self) -> int:
        return self.processor.feature_extractor.sampling_rate

    def lengths(self) -> list[int]:
        """A length for every row, by which rows of like length share a batch."""
        return [self.speech_length(index) for index in range(len(self))]

    @torch.no_grad()
    def encode_once(self, model: BlspEmoForConditionalGeneration, batch_size: int = 64) -> None:
        """Run the frozen encoder over every row now, so that no training step has to."""
        self.hidden = []
        for start in range(0, len(self), batch_size):
            features = [self.log_mel(i) for i in range(start, min(start + batch_size, len(self)))]
            hidden, mask = model.encode(*(t.to(model.device) for t in pad_features(features)))
            self.hidden += [h[m].cpu() for h, m in zip(hidden, mask, strict=True)]
        self.features.clear()


def collate(items: list[dict]) -> dict[str, torch.Tensor]:
    """A batch of examples: `speech_*` and `text_*` ids, masks and labels, `emotion_labels`, and the sound."""
    batch = {"emotion_labels": torch.tensor([item["emotion"] for item in items])}
    for side in ("speech", "text"):
        ids, mask = pad([torch.tensor(item[f"{side}_ids"]) for item in items], 0)
        labels, _ = pad([torch.tensor(item[f"{side}_labels"]) for item in items], IGNORED)
        batch |= {f"{side}_ids": ids, f"{side}_mask": mask, f"{side}_labels": labels}
    if "hidden" in items[0]:
        batch["encoder_hidden_states"], batch["encoder_attention_mask"] = pad([i["hidden"] for i in items], 0.0)
    else:
        batch["input_features"], batch["feature_attention_mask"] = pad_features([item["features"] for item in items])
    return batch
