"""From a row of targets to a training example: the same response after speech and after the transcript."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from blsp_core.data import prompts
from blsp_core.data.augmentation import spec_augment
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.progress import progress
from blsp_core.data.prompts import chat, spoken_chat
from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.audio import load_audio
from blsp_core.model.processing import encoder_length
from blsp_core.model.templates import turn_end

IGNORED = -100
CLIPS = 16  # encoded at a time


@dataclass(frozen=True)
class Sound:
    """The log-mel of a clip, (mels, frames), perhaps with silence at its end, and how many of its frames are real."""

    features: torch.Tensor
    frames: int


class SpeechTextDataset(Dataset):
    """Rows with a clip and an `output` as model inputs.

    An item has `speech_ids` and `speech_labels` (the prompt with placeholders, then the response), `text_ids` and
    `text_labels` (the same with the transcript, for the teacher), `speech_prefix` and `text_prefix` (how much of the
    prompt a batch may encode once for all rows), `emotion` (an index into EMOTIONS, -100 for none), and `sound`: a
    `Sound`, or encoder states (frames, width) after `encode_once`. A response cut by the token limit has no end of
    turn. A row without `system` gets the plain system prompt.

    rows: a list, or `manifest.JsonlRows`, of which a row is read and tokenised when its item is asked for.
    keep: log-mels stay in memory for the next epoch, and for other rows of the same clip.
    augment: of `augmentation.spec_augment`, and a `seed`; None: none. What is drawn depends on the seed, the row and
        the pass over the rows only, not on what was drawn before: a resumed run and several processes have the same.
        Pass p asks for the index of a row plus p times the number of rows, as `BucketSampler` does.
    """

    def __init__(
        self, rows: Sequence[dict], processor: BlspEmoProcessor, root: Path, keep: bool = True,
        augment: Mapping | None = None,
    ):  # fmt: skip
        if not rows:
            raise StudyError("no continuation is left to train on; look at rejected.jsonl for the reasons")
        self.rows, self.processor, self.root = rows, processor, Path(root)
        self.keep, self.augment = keep, augment
        self.turn_end = turn_end(processor.tokenizer)
        self.tokens: dict[int, dict] = {}  # row -> its item without the sound
        self.sounds: dict[str, Sound | torch.Tensor] = {}  # clip -> its sound

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        epoch, index = (0, index) if self.augment is None else divmod(index, len(self.rows))
        row = self.rows[index]
        sound = self._sound(row["audio"])
        tokens = self.tokens.get(index) or self._tokenise(row, sound)
        if self.keep:
            self.tokens[index] = tokens
        if self.augment is not None and isinstance(sound, Sound):
            options = dict(self.augment)
            draw = np.random.default_rng([options.pop("seed"), epoch, index])
            sound = replace(sound, features=spec_augment(sound.features, draw, **options))
        return {**tokens, "sound": sound}

    def _sound(self, audio: str) -> Sound | torch.Tensor:
        if audio in self.sounds:
            return self.sounds[audio]
        batch = self.processor.features([load_audio(audio, self.root)])
        sound = Sound(batch["input_features"][0], int(batch["feature_attention_mask"].sum()))
        if self.keep:
            self.sounds[audio] = sound
        return sound

    def _tokenise(self, row: dict, sound: Sound | torch.Tensor) -> dict:
        frames = encoder_length(sound.frames) if isinstance(sound, Sound) else len(sound)
        places = [self.processor.embedding_count(frames)]
        speech = self.processor.prompt_ids(spoken_chat(row.get("system", prompts.SYSTEM), row["instruction"]), places)
        text = self._text_side(row)
        response = text["text_ids"][text["text_prefix"] + 1 :]
        return {
            "id": row.get("id", ""),
            "speech_prefix": speech.index(self.processor.speech_token_id),
            "speech_ids": speech + response,
            "speech_labels": [IGNORED] * len(speech) + response,
            "emotion": EMOTIONS.index(row["emotion"]) if row["emotion"] else IGNORED,
            **text,
        }

    def _text_side(self, row: dict) -> dict:
        text = self.processor.prompt_ids(chat(row.get("system", prompts.SYSTEM), row["instruction"] + row["text"]))
        response = self.processor.tokenizer(row["output"], add_special_tokens=False).input_ids
        if not row["early_stop"]:
            response.append(self.turn_end)
        labels = [IGNORED] * len(text) + response
        return {"text_prefix": len(text) - 1, "text_ids": text + response, "text_labels": labels}

    def text_items(self) -> list[dict]:
        """The `text_` entries of all items, for which no sound is read."""
        return [self._text_side(row) for row in self.rows]

    def lengths(self) -> list[int]:
        """About how many speech embeddings every row has, to batch rows of like length."""
        rate = self.processor.feature_extractor.sampling_rate
        return [self.processor.speech_length(round(row["duration"] * rate)) for row in self.rows]

    def encode_once(self, model: BlspEmoForConditionalGeneration) -> None:
        """Run the frozen encoder over every clip before training; its states stay in memory, in half precision."""
        model.eval()
        self.keep = True
        seconds = {row["audio"]: row["duration"] for row in self.rows}
        order = sorted(seconds, key=seconds.get)  # clips of like length share a batch
        for start in progress(range(0, len(order), CLIPS), f"encoder states, {CLIPS} clips a step"):
            batch = order[start : start + CLIPS]
            states = encoder_states(model, self.processor, [load_audio(audio, self.root) for audio in batch])
            self.sounds |= zip(batch, [one.to(torch.float16).cpu() for one in states], strict=True)


@torch.no_grad()
def encoder_states(
    model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, sounds: list[np.ndarray]
) -> list[torch.Tensor]:
    """(frames, width) of each waveform, or (frames, layers + 1, width) where layers are mixed; real frames only."""
    batch = processor.features(sounds).to(model.device)
    states, mask = model.encode(**batch)
    return [row[real] for row, real in zip(states, mask, strict=True)]


def collate(items: list[dict]) -> dict[str, torch.Tensor]:
    """A batch: `speech_*` and `text_*` as of `collate_tokens`, `emotion_labels`, the `ids` and the sound."""
    batch = {"emotion_labels": torch.tensor([item["emotion"] for item in items])}
    batch["ids"] = [item["id"] for item in items]
    batch |= collate_tokens(items, "speech") | collate_tokens(items, "text")
    sounds = [item["sound"] for item in items]
    if isinstance(sounds[0], Sound):
        padded = pad_features([sound.features for sound in sounds], [sound.frames for sound in sounds])
        batch["input_features"], batch["feature_attention_mask"] = padded
    else:
        batch["encoder_hidden_states"], batch["encoder_attention_mask"] = pad(sounds, 0.0)
    return batch


def collate_tokens(items: list[dict], side: str) -> dict[str, torch.Tensor]:
    """One side of a batch, speech or text: `<side>_ids`, `_mask` and `_labels`, and `_prefix` (an int), the number of
    first tokens that all rows share; of text also `text_keys`, a number for the tokens of each row."""
    ids, mask = pad([torch.tensor(item[f"{side}_ids"]) for item in items], 0)
    labels, _ = pad([torch.tensor(item[f"{side}_labels"]) for item in items], IGNORED)
    prefix = shared_prefix(ids, min(item[f"{side}_prefix"] for item in items))
    batch = {f"{side}_ids": ids, f"{side}_mask": mask, f"{side}_labels": labels, f"{side}_prefix": prefix}
    return batch | ({"text_keys": [hash(tuple(item["text_ids"])) for item in items]} if side == "text" else {})


def shared_prefix(ids: torch.Tensor, longest: int) -> int:
    """How many of the first tokens are the same in every row of (rows, tokens), `longest` at most."""
    same = (ids[:, :longest] == ids[0, :longest]).all(dim=0)
    return int(same.long().cumprod(dim=0).sum())


def pad_features(features: list[torch.Tensor], lengths: list[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mels (mels, frames) -> (clips, mels, longest) and the mask (clips, longest).

    `lengths`: the real frames of each, where a log-mel ends with silence.
    """
    padded, mask = pad([f.T for f in features], 0.0)
    if lengths is not None:
        mask = (torch.arange(mask.shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    return padded.transpose(1, 2).contiguous(), mask


def pad(rows: list[torch.Tensor], value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of different length, right-padded to one tensor, and the mask of what is real, int64."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
    return padded, (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
