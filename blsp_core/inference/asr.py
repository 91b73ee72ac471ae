"""Transcription with a Whisper, its word error rates, and transcripts/<corpus>.<split>.jsonl, rows {id, text}."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jiwer
import numpy as np
import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from blsp_core.data.dataset import pad_features
from blsp_core.data.manifest import Utterance, as_row, plain_words, read_jsonl, write_jsonl
from blsp_core.errors import StudyError
from blsp_core.inference import shards
from blsp_core.inference.batches import GREEDY, precision, ready, run_in_batches
from blsp_core.model.audio import SAMPLE_RATE, load_audio
from blsp_core.model.backbones import has_decoder
from blsp_core.model.encoder import encode_speech


def load_whisper(folder: Path) -> tuple:
    """A complete Whisper from its folder, ready for inference, its extractor and its tokenizer. Raises StudyError for
    an encoder alone."""
    if not has_decoder(folder):
        raise StudyError(f"{folder}: a Whisper encoder without a decoder; set whisper.source to a complete Whisper")
    whisper = ready(WhisperForConditionalGeneration.from_pretrained(folder, dtype=precision()))
    whisper.loaded_from = str(folder)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    return whisper, extractor, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def transcribe(
    whisper, extractor, tokenizer, sounds: Sequence[np.ndarray | Callable], batch_size: int = 64,
    language: str | list | None = None, seconds: Sequence[float] | None = None, **resume,
) -> list[str]:  # fmt: skip
    """Greedy transcripts of 16 kHz waveforms, in their order.

    sounds: waveforms, or functions that read them, so that never all are in memory; then `seconds` says their lengths.
    language: two letters, for all sounds or one for each; a multilingual Whisper detects those it does not know. A
    checkpoint whose `config.real_frames` is true gets its encoder's output for the real frames, zero-padded to the
    window; any other gets log-mels of the whole window (30 s), and what is longer is cut. resume: `keys` and
    `unfinished` of `run_in_batches`.
    """
    languages = language if isinstance(language, list) else [language] * len(sounds)
    multilingual = getattr(whisper.generation_config, "is_multilingual", False)
    known = [multilingual and f"<|{one}|>" in whisper.generation_config.lang_to_id for one in languages]

    def run(batch: list[int]) -> list[str]:
        texts = {}  # `generate` takes a language for every row, or for none
        for group in [i for i in batch if known[i]], [i for i in batch if not known[i]]:
            texts |= dict(zip(group, decode(group) if group else [], strict=True))
        return [texts[i] for i in batch]

    def decode(batch: list[int]) -> list[str]:
        chosen = [one() if callable(one) else one for one in (sounds[i] for i in batch)]
        settings = {"task": "transcribe"} if multilingual else {}
        if known[batch[0]]:
            settings["language"] = [languages[i] for i in batch]
        if getattr(whisper.config, "real_frames", False):
            features, mask = pad_features([torch.from_numpy(log_mel(extractor, sound)) for sound in chosen])
            hidden, mask = encode_speech(whisper.model.encoder, features.to(whisper.device), mask.to(whisper.device))
            padded = pad_to_window(hidden * mask[..., None], whisper.config.max_source_positions)
            inputs = {"encoder_outputs": BaseModelOutput(padded)}
        else:
            inputs = extractor(chosen, sampling_rate=SAMPLE_RATE, return_attention_mask=True, return_tensors="pt")
            inputs = inputs.to(whisper.device, whisper.dtype)
        limit = whisper.config.max_target_positions
        ids = whisper.generate(**inputs, **GREEDY, **settings, max_length=limit)
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    return run_in_batches(run, seconds or [len(sound) for sound in sounds], batch_size, "transcripts", **resume)


def log_mel(extractor: WhisperFeatureExtractor, sound: np.ndarray) -> np.ndarray:
    """Log-mel of one waveform, (mels, frames) float32, frames = samples // hop."""
    return extractor(sound, sampling_rate=SAMPLE_RATE, padding="longest", return_tensors="np").input_features[0]


def pad_to_window(hidden: torch.Tensor, positions: int) -> torch.Tensor:
    """Encoder output (B, T, D), zero-padded to the encoder's full window, so that the decoder sees one length."""
    return torch.nn.functional.pad(hidden, (0, 0, 0, positions - hidden.shape[1]))


def word_errors(utterances: Sequence[Utterance], transcripts: Sequence[str]) -> dict:
    """Word error rate `wer`, and `by_emotion`; `exact`, the share without an error; `empty` transcripts; n.

    Case and punctuation do not count. Utterances without words are left out; without any, rates are None.
    """
    pairs = [(u.emotion, plain_words(u.text), plain_words(t)) for u, t in zip(utterances, transcripts, strict=True)]
    pairs = [pair for pair in pairs if pair[1]]

    def rate(group: list) -> float | None:
        return float(jiwer.wer([pair[1] for pair in group], [pair[2] for pair in group])) if group else None

    emotions = dict.fromkeys(pair[0] for pair in pairs if pair[0])
    return {
        "wer": rate(pairs),
        "by_emotion": {emotion: rate([pair for pair in pairs if pair[0] == emotion]) for emotion in emotions},
        "exact": sum(pair[1] == pair[2] for pair in pairs) / len(pairs) if pairs else None,
        "empty": sum(not text.strip() for text in transcripts),
        "n": len(transcripts),
    }


def check_word_errors(corpus: str, utterances: Sequence[Utterance], transcripts: Sequence[str], max_wer: float) -> None:
    """Raises StudyError when the error rate of the English utterances of a corpus is above `max_wer`."""
    english = [pair for pair in zip(utterances, transcripts, strict=True) if pair[0].language == "en"]
    found = word_errors(*zip(*english, strict=True)) if english else {"wer": None}
    if (found["wer"] or 0) > max_wer:
        raise StudyError(
            f"transcripts of {corpus}: the word error rate is {found['wer']:.2f}, {found['empty']} of {found['n']} are "
            f"empty, transcripts.max_wer is {max_wer}; use a better Whisper (whisper.source), or set a higher limit"
        )


def write_transcripts(
    folder: Path, utterances: list[Utterance], whisper: tuple, root: Path, batch_size: int,
    unfinished: Path | None = None,
) -> Path:  # fmt: skip
    """Transcribe the utterances of one corpus and split, whose sound is below `root`, each in its own language; in a
    dialogue, every turn of the user. whisper: of `load_whisper`; unfinished: of `run_in_batches`."""
    turns = [turn for utterance in utterances for turn in utterance.spoken]
    settings = {"root": Path(root).resolve(), "batch_size": batch_size}
    shards.ahead(load_whisper, transcribe_turns, whisper[0], turns, unfinished, **settings)
    texts = transcribe_turns(*whisper, turns, **settings, unfinished=unfinished)
    path = Path(folder) / f"{turns[0].corpus}.{turns[0].split}.jsonl"
    write_jsonl(path, ({"id": turn.id, "text": text} for turn, text in zip(turns, texts, strict=True)))
    return path


def transcribe_turns(
    whisper, extractor, tokenizer, turns: list[Utterance], root: Path, batch_size: int, unfinished: Path | None = None
) -> list[str]:
    """The transcripts of utterances without earlier turns; arguments as of `write_transcripts`."""
    fields = {"language": [turn.language for turn in turns], "seconds": [turn.duration for turn in turns]}
    resume = {"keys": [as_row(turn) for turn in turns], "unfinished": unfinished}
    sounds = [partial(load_audio, turn.audio, root) for turn in turns]
    return transcribe(whisper, extractor, tokenizer, sounds, batch_size, **fields, **resume)


def read_transcripts(folder: Path, utterances: list[Utterance]) -> list[str]:
    """The transcripts in `folder` of the utterances, in order. Raises StudyError when one is missing."""
    texts, keys = {}, [(f"{utterance.corpus}.{utterance.split}", utterance.id) for utterance in utterances]
    for path in (Path(folder) / f"{name}.jsonl" for name in dict.fromkeys(name for name, _ in keys)):
        for number, row in enumerate(read_jsonl(path), start=1):
            if not all(isinstance(row.get(name), str) for name in ("id", "text")):
                raise StudyError(f"{path}, line {number}: no text in id or text; write the transcripts again")
            texts[path.stem, row["id"]] = row["text"]
    if missing := [key for key in keys if key not in texts]:
        raise StudyError(
            f"{Path(folder) / missing[0][0]}.jsonl: {len(missing)} utterances are missing, the first is "
            f"{missing[0][1]}; run the pipeline stage that writes the transcripts again"
        )
    return [texts[key] for key in keys]
