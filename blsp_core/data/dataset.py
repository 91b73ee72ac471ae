"""From a row of continuations to a training example: the same response after speech and after the transcript."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.processing import encoder_length
from blsp_core.data.audio import load_audio
from blsp_core.data.manifest import EMOTIONS
from blsp_core.data import prompts
from blsp_core.data.augmentation import disturb
from blsp_core.data.batching import pad, pad_features
from blsp_core.inference.llm import chat
from blsp_core.data.states import States

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
    """Rows with a clip and an `output` as model inputs.

    An item has `speech_ids` and `speech_labels` (the prompt with placeholders, then the response), `text_ids` and
    `text_labels` (the same with the transcript: what the teacher reads), `speech_prefix` and `text_prefix` (how much of
    the prompt may be read once for many rows: all before the sound, all but the last token), `emotion` (an index into
    EMOTIONS, -100 for none), and `sound`: a `Sound`, or encoder states (frames, width) after `encode_once`. A response
    that the token limit had cut has no end of turn.

    manners: (system prompt, instruction) pairs that rows are asked with by turns, see `prompts.manners`; a row that
    repeats its sentence keeps its own instruction. None: each row brings its own `system` and `instruction`, see
    `targets`. keep: what was made of a clip stays in memory for the next epoch, and for other rows of the same clip.
    augment: log-mels are disturbed anew every time (`augmentation.disturb`).
    """

    def __init__(
        self,
        rows: list[dict],
        processor: BlspEmoProcessor,
        root: Path,
        manners: list[tuple[str, str]] | None = None,
        keep: bool = True,
        augment: bool = False,
    ):
        if not rows:
            raise StudyError("no continuation is left to train on; look at rejected.jsonl for the reasons")
        self.rows, self.processor, self.root = rows, processor, Path(root)
        self.manners, self.keep, self.augment = manners, keep, augment
        self.written: dict[int, dict] = {}  # row -> its item without the sound
        self.sounds: dict[str, Sound | torch.Tensor] = {}  # clip -> its sound

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        sound = self._sound(self.rows[index]["audio"])
        if self.augment and isinstance(sound, Sound):
            sound = replace(sound, features=disturb(sound.features))
        if index not in self.written:
            written = self._written(self.rows[index], *self._manner(index), sound)
            if not self.keep:
                return {**written, "sound": sound}
            self.written[index] = written
        return {**self.written[index], "sound": sound}

    def _manner(self, index: int) -> tuple[str, str]:
        row = self.rows[index]
        if self.manners is None:
            return row["system"], row["instruction"]
        system, instruction = self.manners[index % len(self.manners)]
        return system, prompts.REPEAT if row["instruction"] == prompts.REPEAT else instruction

    def _sound(self, audio: str) -> Sound | torch.Tensor:
        if audio in self.sounds:
            return self.sounds[audio]
        heard = self.processor.features([load_audio(audio, self.root)])
        sound = Sound(heard["input_features"][0], int(heard["feature_attention_mask"].sum()))
        if self.keep:
            self.sounds[audio] = sound
        return sound

    def _written(self, row: dict, system: str, instruction: str, sound: Sound | torch.Tensor) -> dict:
        tokenizer = self.processor.tokenizer
        response = tokenizer(row["output"], add_special_tokens=False).input_ids
        if not row["early_stop"]:
            response.append(tokenizer.eos_token_id)
        frames = encoder_length(sound.frames) if isinstance(sound, Sound) else len(sound)
        places = [self.processor.embedding_count(frames)]
        speech = self.processor.prompt_ids(spoken_chat(system, instruction), places)
        text = self.processor.prompt_ids(chat(system, instruction + row["text"]))
        return {
            "speech_prefix": speech.index(self.processor.speech_token_id),
            "text_prefix": len(text) - 1,
            "speech_ids": speech + response,
            "speech_labels": [IGNORED] * len(speech) + response,
            "text_ids": text + response,
            "text_labels": [IGNORED] * len(text) + response,
            "emotion": EMOTIONS.index(row["emotion"]) if row["emotion"] else IGNORED,
        }

    def lengths(self) -> list[int]:
        """About how many speech embeddings every row has, by which rows of like length share a batch."""
        rate = self.processor.feature_extractor.sampling_rate
        return [self.processor.speech_length(round(row["duration"] * rate)) for row in self.rows]

    def encode_once(self, model: BlspEmoForConditionalGeneration, folder: Path) -> None:
        """Run the frozen encoder over every clip now, so that no training step has to; all of it is kept.

        folder: where states lie from run to run, see `States`.
        """
        states, self.keep = States(model, self.processor, folder), True
        for audio in tqdm(dict.fromkeys(row["audio"] for row in self.rows), desc="encoder", unit="clip"):
            self.sounds[audio] = states.of(load_audio(audio, self.root))


def collate(items: list[dict]) -> dict[str, torch.Tensor]:
    """A batch of examples: `speech_*` and `text_*` ids, masks and labels, how many tokens at the beginning are the
    same in every row (`*_prefix`, an int), `emotion_labels`, and the sound."""
    batch = {"emotion_labels": torch.tensor([item["emotion"] for item in items])}
    for side in ("speech", "text"):
        ids, mask = pad([torch.tensor(item[f"{side}_ids"]) for item in items], 0)
        labels, _ = pad([torch.tensor(item[f"{side}_labels"]) for item in items], IGNORED)
        batch |= {f"{side}_ids": ids, f"{side}_mask": mask, f"{side}_labels": labels}
        batch[f"{side}_prefix"] = shared_prefix(ids, min(item[f"{side}_prefix"] for item in items))
    sounds = [item["sound"] for item in items]
    if isinstance(sounds[0], Sound):
        padded = pad_features([sound.features for sound in sounds], [sound.frames for sound in sounds])
        batch["input_features"], batch["feature_attention_mask"] = padded
    else:
        batch["encoder_hidden_states"], batch["encoder_attention_mask"] = pad(sounds, 0.0)
    return batch


def shared_prefix(ids: torch.Tensor, longest: int) -> int:
    """How many of the first tokens are the same in every row of (rows, tokens), `longest` at most."""
    same = (ids[:, :longest] == ids[0, :longest]).all(dim=0)
    return int(same.long().cumprod(dim=0).sum())
