"""From a row of continuations to a training example: the same response after speech and after the transcript."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.speech.audio import load_audio
from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import prompts
from blsp_core.study.batching import pad, pad_features
from blsp_core.study.llm import chat, ready

IGNORED = -100


def spoken_chat(system: str, instruction: str, audio=None) -> list[dict]:
    """One question whose last part is speech; `audio` is a waveform, or None where only its length matters."""
    parts = [{"type": "text", "text": instruction}] if instruction else []
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": [*parts, {"type": "audio", "audio": audio}]},
    ]


@dataclass(frozen=True)
class Sound:
    """The log-mel of a clip, (mels, frames and perhaps silence), and how many of its frames are real."""

    features: torch.Tensor
    frames: int


class Examples(Dataset):
    """Continuations as model inputs.

    An item has `speech_ids` and `speech_labels` (the prompt with placeholders, then the response), `text_ids` and
    `text_labels` (the same with the transcript: what the teacher reads), `emotion` (an index into EMOTIONS, -100 for
    none), and `sound`: a `Sound`, or encoder states (frames, width) after `encode_once`. A response that the token
    limit had cut has no end of turn. Rows take turns with the `manners`, a (system prompt, instruction) each, see
    `prompts.manners`; a row that repeats its sentence keeps its own instruction. `keep`: items stay in memory for the
    next epoch.
    """

    def __init__(
        self,
        rows: list[dict],
        processor: BlspEmoProcessor,
        root: Path,
        manners: list[tuple[str, str]],
        keep: bool = True,
    ):
        if not rows:
            raise StudyError("no continuation is left to train on; look at rejected.jsonl for the reasons")
        self.rows, self.processor, self.root = rows, processor, Path(root)
        self.manners, self.keep = manners, keep
        self.items: dict[int, dict] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        if index in self.items:
            return self.items[index]
        system, instruction = self.manners[index % len(self.manners)]
        if self.rows[index]["instruction"] == prompts.REPEAT:
            instruction = prompts.REPEAT
        item = self._item(self.rows[index], system, instruction)
        if self.keep:
            self.items[index] = item
        return item

    def _item(self, row: dict, system: str, instruction: str) -> dict:
        waveform = load_audio(row["audio"], self.root)
        heard = self.processor.features([waveform])
        tokenizer = self.processor.tokenizer
        response = tokenizer(row["output"], add_special_tokens=False).input_ids
        if not row["early_stop"]:
            response.append(tokenizer.eos_token_id)
        places = [self.processor.speech_length(len(waveform))]
        speech = self.processor.prompt_ids(spoken_chat(system, instruction), places)
        text = self.processor.prompt_ids(chat(system, instruction + row["text"]))
        return {
            "speech_ids": speech + response,
            "speech_labels": [IGNORED] * len(speech) + response,
            "text_ids": text + response,
            "text_labels": [IGNORED] * len(text) + response,
            "emotion": EMOTIONS.index(row["emotion"]) if row["emotion"] else IGNORED,
            "sound": Sound(heard["input_features"][0], int(heard["feature_attention_mask"].sum())),
        }

    def lengths(self) -> list[int]:
        """About how many speech embeddings every row has, by which rows of like length share a batch."""
        rate = self.processor.feature_extractor.sampling_rate
        return [self.processor.speech_length(round(row["duration"] * rate)) for row in self.rows]

    @torch.no_grad()
    def encode_once(self, model: BlspEmoForConditionalGeneration, batch_size: int = 64) -> None:
        """Run the frozen encoder over every row now, so that no training step has to; all items are kept."""
        model = ready(model)
        for start in range(0, len(self), batch_size):
            items = [self[i] for i in range(start, min(start + batch_size, len(self)))]
            batch = collate(items)
            features, mask = batch["input_features"], batch["feature_attention_mask"]
            states, mask = model.encode(features.to(model.device), mask.to(model.device))
            for i, (item, row, real) in enumerate(zip(items, states, mask, strict=True), start):
                self.items[i] = {**item, "sound": row[real].cpu()}


def collate(items: list[dict]) -> dict[str, torch.Tensor]:
    """A batch of examples: `speech_*` and `text_*` ids, masks and labels, `emotion_labels`, and the sound."""
    batch = {"emotion_labels": torch.tensor([item["emotion"] for item in items])}
    for side in ("speech", "text"):
        ids, mask = pad([torch.tensor(item[f"{side}_ids"]) for item in items], 0)
        labels, _ = pad([torch.tensor(item[f"{side}_labels"]) for item in items], IGNORED)
        batch |= {f"{side}_ids": ids, f"{side}_mask": mask, f"{side}_labels": labels}
    sounds = [item["sound"] for item in items]
    if isinstance(sounds[0], Sound):
        padded = pad_features([sound.features for sound in sounds], [sound.frames for sound in sounds])
        batch["input_features"], batch["feature_attention_mask"] = padded
    else:
        batch["encoder_hidden_states"], batch["encoder_attention_mask"] = pad(sounds, 0.0)
    return batch
