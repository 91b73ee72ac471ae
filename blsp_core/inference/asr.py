"""Speech to words with a Whisper: the ears of the cascades."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.data.audio import SAMPLE_RATE, load_audio
from blsp_core.data.batching import pad_features
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.inference.llm import precision, ready
from blsp_core.model.backbones import has_decoder
from blsp_core.model.encoder import encode_speech


def load_whisper(asr: Path) -> tuple[WhisperForConditionalGeneration, WhisperFeatureExtractor, PreTrainedTokenizerBase]:
    """A whole Whisper from its folder, ready to transcribe, with its extractor and tokenizer."""
    whisper = ready(WhisperForConditionalGeneration.from_pretrained(asr, dtype=precision()))
    return whisper, WhisperFeatureExtractor.from_pretrained(asr), AutoTokenizer.from_pretrained(asr)


class Recognition:
    """A Whisper from its folder, transcribing utterances below `root`."""

    def __init__(self, asr: Path, root: Path, batch_size: int = 64):
        if not has_decoder(asr):
            raise StudyError(
                f"{asr}: this Whisper has an encoder only, and words need its decoder; set transcripts.source to "
                "manifest in params.yaml, which gives cascades the true words, or name a whole Whisper in "
                "foundation.encoder"
            )
        self.whisper, self.extractor, self.tokenizer = load_whisper(asr)
        self.root, self.batch_size = root, batch_size

    def words(self, utterances: list[Utterance]) -> list[str]:
        """The transcripts, in order."""
        sounds = [load_audio(utterance.audio, self.root) for utterance in utterances]
        return transcribe(self.whisper, self.extractor, self.tokenizer, sounds, self.batch_size)


def source_of_words(source: str, asr: Path, root: Path) -> Callable[[list[Utterance]], list[str]]:
    """What cascades are to know of utterances: as `heard` by the Whisper in `asr`, or as the `manifest` has them."""
    if source == "heard":
        return Recognition(asr, root).words
    if source == "manifest":
        return lambda utterances: [utterance.text for utterance in utterances]
    raise StudyError(f"params.yaml, transcripts.source: {source!r} is unknown; wanted is heard or manifest")


def log_mel(extractor: WhisperFeatureExtractor, sound: np.ndarray) -> np.ndarray:
    """Log-mel of one waveform, (mels, frames) float32, frames = samples // hop."""
    return extractor(sound, sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="np").input_features[0]


def pad_to_window(hidden: torch.Tensor, positions: int) -> torch.Tensor:
    """Encoder output (B, T, D) with zeros up to the encoder's full window: the decoder always sees the same length."""
    return torch.nn.functional.pad(hidden, (0, 0, 0, positions - hidden.shape[1]))


@torch.no_grad()
def transcribe(whisper, extractor, tokenizer, sounds: list[np.ndarray], batch_size: int = 64) -> list[str]:
    """What was said, greedily decoded. Sounds of like length share a batch."""
    order, texts = sorted(range(len(sounds)), key=lambda i: len(sounds[i])), [""] * len(sounds)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        features, mask = pad_features([torch.from_numpy(log_mel(extractor, sounds[i])) for i in rows])
        hidden, mask = encode_speech(whisper.model.encoder, features.to(whisper.device), mask.to(whisper.device))
        seen = pad_to_window(hidden * mask[..., None], whisper.config.max_source_positions)
        ids = torch.full((len(seen), 1), whisper.config.decoder_start_token_id, device=seen.device)
        ended, cache = torch.zeros_like(ids[:, 0], dtype=torch.bool), None
        while not ended.all() and ids.shape[1] < whisper.config.max_target_positions:
            output = whisper(
                encoder_outputs=BaseModelOutput(seen),
                decoder_input_ids=ids[:, -1:],
                past_key_values=cache,
                use_cache=True,
            )
            cache = output.past_key_values
            new = output.logits[:, -1].argmax(-1).masked_fill(ended, tokenizer.pad_token_id)
            ended |= new == tokenizer.eos_token_id
            ids = torch.cat([ids, new[:, None]], dim=1)
        for i, text in zip(rows, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            texts[i] = text.strip()
    return texts
