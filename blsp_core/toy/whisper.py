"""The toy Whisper, trained from scratch to recognise the speech of the miniature.

Two auxiliary heads, used in training only, classify the frames of the encoder: the word of each frame at the top, its
phoneme at half height. The synthesiser knows both; without these losses the training takes several times as long.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.data.augmentation import spec_augment
from blsp_core.data.dataset import pad, pad_features
from blsp_core.inference.asr import log_mel, pad_to_window
from blsp_core.model.audio import SAMPLE_RATE
from blsp_core.model.encoder import encode_speech
from blsp_core.toy.corpora import Line, plan, synthesise
from blsp_core.toy.tts import Spoken
from blsp_core.training.trainer import train

_OWN = 1_000_000  # added to the seed: the utterances are not those of the study's corpora
_SECONDS, _POSITIONS = 15, 64  # the windows of encoder and decoder


def utterances(split: str, count: int, seed: int) -> tuple[list[Line], list[Spoken]]:
    """Speech to train ("train") or test ("validation") the Whisper on: the lines and their sound."""
    lines = plan("broad", split, count, seed + _OWN)
    return lines, synthesise(lines, seed + _OWN)


def build_feature_extractor() -> WhisperFeatureExtractor:
    """Whisper's log-mel at 50 frames a second (Whisper has 100), so that the encoder's output has 25."""
    size = {"feature_size": 80, "hop_length": 320, "n_fft": 640, "chunk_length": _SECONDS}
    return WhisperFeatureExtractor(sampling_rate=SAMPLE_RATE, **size)


def build_whisper(tokenizer, mels: int, width: int, layers: int, heads: int, ffn: int):
    """A Whisper with random weights: encoder of `layers`, decoder of half as many.

    It is trained on the real frames alone, as `config.real_frames` says. Its generation config has no prompt tokens and
    suppresses none: `generate` decodes greedily from the padding token to the end of text.
    """
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=mels, d_model=width,
        encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=ffn,
        decoder_layers=layers // 2, decoder_attention_heads=heads, decoder_ffn_dim=ffn,
        max_source_positions=_SECONDS * 25, max_target_positions=_POSITIONS,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id, suppress_tokens=None, begin_suppress_tokens=None,
        dropout=0.0, init_std=width**-0.5, real_frames=True,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.update(suppress_tokens=None, begin_suppress_tokens=None, max_length=_POSITIONS)
    return model


def encode_recordings(lines: list[Line], spoken: list[Spoken], extractor, tokenizer) -> tuple[list[dict], list[str]]:
    """Rows: log-mel `features`, `labels` of the decoder, and of every frame of the encoder the id of its word (`words`)
    and of its phoneme (`phonemes`), an index of the second result."""
    named = [[(start, name.strip("',")) for start, name in one.phonemes] for one in spoken]
    inventory, rows = sorted({name for row in named for _, name in row}), []
    for line, one, phonemes in zip(lines, spoken, named, strict=True):
        features = log_mel(extractor, one.sound)  # (mels, frames), two of them for each frame of the encoder
        times = (np.arange(-(-features.shape[1] // 2)) + 0.5) * 2 * extractor.hop_length / SAMPLE_RATE
        texts = [" " + line.text, *(" " + line.text[place:].split(" ")[0] for _, place in one.words)]
        labels, *words = tokenizer(texts, add_special_tokens=False).input_ids
        row = {"features": features, "labels": [*labels, tokenizer.eos_token_id]}
        row["words"] = _at(times, one.words, [ids[0] for ids in words])
        row["phonemes"] = _at(times, phonemes, [inventory.index(name) for _, name in phonemes])
        rows.append(row)
    return rows, inventory


def _at(times: np.ndarray, events: list[tuple[float, object]], labels: list[int]) -> torch.Tensor:
    """The label of the last event that began before each time."""
    which = np.searchsorted([start for start, _ in events], times, side="right") - 1
    return torch.tensor(labels)[np.maximum(which, 0)]


class Recordings(Dataset):
    """Rows whose log-mels have SpecAugment, anew in every epoch; indices as in `SpeechTextDataset`. augment: a seed."""

    def __init__(self, rows: list[dict], augment: int):
        self.rows, self.augment = rows, augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        epoch, index = divmod(index, len(self.rows))
        row, draw = self.rows[index], np.random.default_rng([self.augment, epoch, index])
        return {**row, "features": spec_augment(torch.from_numpy(row["features"]), draw)}


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """A padded batch."""
    names = ("labels", "words", "phonemes")
    batch = {name: pad([torch.as_tensor(row[name]) for row in rows], -100)[0] for name in names}
    batch["input_features"], batch["feature_attention_mask"] = pad_features(
        [torch.as_tensor(row["features"]) for row in rows]
    )
    return batch


def recognition_loss(model: nn.ModuleDict, batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the decoder's tokens, of every second frame's word (a head over all words is expensive) and of
    every frame's phoneme."""
    encoder, halfway = model["whisper"].model.encoder, {}
    layer = encoder.layers[len(encoder.layers) // 2 - 1]
    hook = layer.register_forward_hook(lambda _, __, output: halfway.update(hidden=output))
    hidden, mask = encode_speech(encoder, batch["input_features"], batch["feature_attention_mask"])
    hook.remove()
    window = pad_to_window(hidden * mask[..., None], encoder.config.max_source_positions)
    words, phonemes = batch["words"] != -100, batch["phonemes"] != -100
    words[:, 1::2] = False
    return {
        "decoder_ce": model["whisper"](encoder_outputs=BaseModelOutput(window), labels=batch["labels"]).loss,
        "word_ce": cross_entropy(model["word_head"](hidden[words]), batch["words"][words]),
        "phoneme_ce": cross_entropy(model["phoneme_head"](halfway["hidden"][phonemes]), batch["phonemes"][phonemes]),
        "share_padding": 1 - batch["feature_attention_mask"].float().mean(),
    }


def train_whisper(whisper, extractor, tokenizer, lines: list[Line], spoken: list[Spoken], **options) -> dict:
    """Train the Whisper; `options` are those of `training.trainer.train`. Returns the cost."""
    rows, inventory = encode_recordings(lines, spoken, extractor, tokenizer)
    options |= {"weight_decay": 0.01, "optimizer": "muon", "lengths": [row["features"].shape[1] for row in rows]}
    width, words = whisper.config.d_model, whisper.config.vocab_size
    heads = {"word_head": nn.Linear(width, words), "phoneme_head": nn.Linear(width, len(inventory))}
    model = nn.ModuleDict({"whisper": whisper, **heads})
    return train(model, Recordings(rows, options["seed"]), collate, recognition_loss, **options)
