"""The speech encoder of the miniature: a small Whisper trained for recognition on the miniature's speech.

Whisper's decoder learns the words by cross-entropy. Beside it two heads, used in training only, teach the encoder where
things are: the word that every frame belongs to (top) and its phoneme (half height); the synthesiser knows both. That
is what lets a small encoder learn in minutes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.data.audio import SAMPLE_RATE
from blsp_core.data.augmentation import disturb
from blsp_core.data.batching import pad, pad_features
from blsp_core.inference.asr import log_mel, pad_to_window
from blsp_core.model.backbones import save
from blsp_core.model.encoder import encode_speech
from blsp_core.toy import corpora as miniature
from blsp_core.toy.tokenizer import build_tokenizer, spoken_texts
from blsp_core.toy.tts import Spoken
from blsp_core.training.trainer import train

_OWN = 1_000_000  # added to the seed, so that the encoder's utterances are none of the corpora's


def utterances(split: str, count: int, seed: int) -> tuple[list[miniature.Line], list[Spoken]]:
    """Speech for the encoder's lessons ("train") or its examination ("test"): what is said, and how it sounds."""
    lines = miniature.plan("broad", split, count, seed + _OWN)
    return lines, miniature.synthesise(lines, seed + _OWN)


def raise_whisper(
    folder: Path, count: int, size: Mapping[str, int], seed: int, checkpoints: Path, log: Path, **schedule
) -> dict[str, float]:
    """From nothing to a Whisper of this `size` (see `build_whisper`) in `folder`, with extractor and tokenizer: `count`
    utterances are spoken, and learnt from. Returns the cost of the training."""
    lines, spoken = utterances("train", count, seed)
    torch.manual_seed(seed)
    words, extractor = build_tokenizer(spoken_texts()), build_feature_extractor()
    whisper = build_whisper(words, extractor.feature_size, **size)
    places = {"checkpoints": checkpoints, "log": log}
    texts = [line.sentence.text for line in lines]
    cost = train_whisper(whisper, extractor, words, spoken, texts, seed=seed, **places, **schedule)
    save(folder, whisper.eval(), extractor, words)
    return cost


def build_feature_extractor(hop: int = 320, window: int = 640, mels: int = 80, seconds: int = 15):
    """Whisper's log-mel at 50 frames a second (Whisper has 100), so that the encoder's output has 25."""
    return WhisperFeatureExtractor(
        feature_size=mels, sampling_rate=SAMPLE_RATE, hop_length=hop, n_fft=window, chunk_length=seconds
    )


def build_whisper(tokenizer, mels: int, width: int, layers: int, heads: int, ffn: int, seconds: int = 15):
    """A Whisper with random weights: encoder of `layers`, decoder of half as many."""
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        decoder_layers=layers // 2,
        decoder_attention_heads=heads,
        decoder_ffn_dim=ffn,
        max_source_positions=seconds * 25,
        max_target_positions=64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        dropout=0.0,
        init_std=width**-0.5,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = None
    return model


class Transcripts(Dataset):
    """Log-mels with the ids of their words, and with the word and the phoneme that every encoder frame belongs to."""

    def __init__(
        self, features: list[np.ndarray], texts: list[str], spoken: list[Spoken], tokenizer, frame_seconds: float
    ):
        self.features, self.texts, self.tokenizer, self.frame_seconds = features, texts, tokenizer, frame_seconds
        self.phonemes = [[(start, name.strip("',")) for start, name in row.phonemes] for row in spoken]
        self.words = [row.words for row in spoken]
        self.inventory = {name: i for i, name in enumerate(sorted({name for row in self.phonemes for _, name in row}))}

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict:
        text = self.texts[index]
        middles = (np.arange(-(-self.features[index].shape[1] // 2)) + 0.5) * self.frame_seconds
        starting = [" " + text[place:].split(" ")[0] for _, place in self.words[index]]
        return {
            "features": self.features[index],
            "labels": [*self._ids(" " + text), self.tokenizer.eos_token_id],
            "words": _at(middles, self.words[index], [self._ids(word)[0] for word in starting]),
            "phonemes": _at(middles, self.phonemes[index], [self.inventory[name] for _, name in self.phonemes[index]]),
        }

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids


def _at(seconds: np.ndarray, events: list[tuple[float, object]], labels: list[int]) -> torch.Tensor:
    """The label of the last event that began before each time."""
    which = np.searchsorted([start for start, _ in events], seconds, side="right") - 1
    return torch.tensor(labels)[np.maximum(which, 0)]


def collate(rows: list[dict], augment: bool = True) -> dict[str, torch.Tensor]:
    """Pads a batch; log-mels are disturbed, so that voices never heard are no surprise."""
    features = [torch.from_numpy(row["features"]) for row in rows]
    if augment:
        features = [disturb(feature) for feature in features]
    batch = {
        name: pad([torch.as_tensor(row[name]) for row in rows], -100)[0] for name in ("labels", "words", "phonemes")
    }
    batch["input_features"], batch["feature_attention_mask"] = pad_features(features)
    return batch


class Recogniser(nn.Module):
    """Whisper and the two heads of its training."""

    def __init__(self, whisper: WhisperForConditionalGeneration, phonemes: int):
        super().__init__()
        self.whisper = whisper
        width = whisper.config.d_model
        self.word_head = nn.Linear(width, whisper.config.vocab_size)
        self.phoneme_head = nn.Linear(width, phonemes)


def recognition_loss(model: Recogniser, batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the decoder's words, of every second frame's word (top) and of every frame's phoneme
    (half height)."""
    encoder, halfway = model.whisper.model.encoder, {}
    layer = encoder.layers[len(encoder.layers) // 2 - 1]
    hook = layer.register_forward_hook(lambda _, __, output: halfway.update(hidden=output))
    hidden, mask = encode_speech(encoder, batch["input_features"], batch["feature_attention_mask"])
    hook.remove()
    seen = pad_to_window(hidden * mask[..., None], encoder.config.max_source_positions)
    return {
        "decoder_ce": model.whisper(encoder_outputs=BaseModelOutput(seen), labels=batch["labels"]).loss,
        "word_ce": _frame_ce(model.word_head, hidden, batch["words"], every=2),
        "phoneme_ce": _frame_ce(model.phoneme_head, halfway["hidden"], batch["phonemes"]),
        "share_padding": 1 - batch["feature_attention_mask"].float().mean(),
    }


def _frame_ce(head: nn.Linear, hidden: torch.Tensor, labels: torch.Tensor, every: int = 1) -> torch.Tensor:
    """Cross-entropy of the labels of the real frames, or of every n-th one: a head over all words is dear."""
    known = torch.zeros_like(labels, dtype=torch.bool)
    known[:, ::every] = labels[:, ::every] != -100
    return cross_entropy(head(hidden[known]), labels[known])


def train_whisper(
    whisper,
    extractor,
    tokenizer,
    spoken: list[Spoken],
    texts: list[str],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoints: Path,
    log: Path,
    save_steps: int = 0,
) -> dict[str, float]:
    """Train the recogniser; the heads are dropped, `whisper` keeps what it learnt. Returns the cost of the run."""
    features = [log_mel(extractor, s.sound) for s in spoken]
    data = Transcripts(features, texts, spoken, tokenizer, 2 * extractor.hop_length / SAMPLE_RATE)
    return train(
        Recogniser(whisper, len(data.inventory)),
        data,
        collate,
        recognition_loss,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checkpoints=checkpoints,
        log=log,
        weight_decay=0.01,
        lengths=[feature.shape[1] for feature in features],
        muon=True,
        save_steps=save_steps,
    )
