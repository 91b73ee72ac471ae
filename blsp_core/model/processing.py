"""Chats with speech -> token ids and log-mel features."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AddedToken, AutoProcessor, AutoTokenizer, BatchFeature, ProcessorMixin, WhisperFeatureExtractor

from blsp_core.errors import StudyError, refused
from blsp_core.model.adapters import embedding_count
from blsp_core.model.audio import SAMPLE_RATE, load_audio, resample
from blsp_core.model.configuration import PAPER_ADAPTER, BlspEmoConfig
from blsp_core.model.templates import render

SPEECH_TOKEN = "<|speech|>"
ENCODER_STRIDE = 2  # of Whisper's second convolution
AUDIO = ("audio", "path", "url")  # under which an audio part of a chat holds its sound


def mel_length(samples: int, hop: int, real_frames: bool = True) -> int:
    """Log-mel frames of so many samples. The frame of an incomplete last hop exists only when padding follows it."""
    return samples // hop if real_frames else -(-samples // hop)


def encoder_length(mel_frames: int) -> int:
    """Frames of the speech encoder's output."""
    return -(-mel_frames // ENCODER_STRIDE)


class BlspEmoProcessor(ProcessorMixin):
    """A feature extractor, and a tokenizer whose chats may contain audio.

        >>> processor = AutoProcessor.from_pretrained("checkpoint")
        >>> chat = [{"role": "user", "content": [{"type": "audio", "path": "clip.wav"}]}]
        >>> batch = processor.apply_chat_template(
        ...     chat, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        ... )

    `adapter` and `real_frames` are those of the model (see BlspEmoConfig): they decide how many placeholder tokens
    stand for a clip. Audio is a path, a URL or a waveform (see `waveform`).
    """

    def __init__(
        self,
        feature_extractor,
        tokenizer,
        adapter: dict | None = None,
        real_frames: bool = True,
        speech_token: str = SPEECH_TOKEN,
        chat_template: str | None = None,
    ):
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        if self.chat_template is None:
            raise StudyError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; use a chat model's")
        self.adapter, self.real_frames = dict(adapter or PAPER_ADAPTER), real_frames
        self.speech_token = speech_token
        if tokenizer.convert_tokens_to_ids(speech_token) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens(AddedToken(speech_token, special=True, normalized=False))
        self.speech_token_id = tokenizer.convert_tokens_to_ids(speech_token)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    @classmethod
    def from_parts(cls, encoder: str, llm: str, encoder_revision=None, llm_revision=None, **settings):
        """A processor from the folders or hub names of a speech encoder and an LLM; settings as in __init__."""
        with refused(f"{encoder}, {llm}: no feature extractor or tokenizer can be read; name a Whisper and an LLM"):
            extractor = WhisperFeatureExtractor.from_pretrained(encoder, revision=encoder_revision or "main")
            tokenizer = AutoTokenizer.from_pretrained(llm, revision=llm_revision or "main", trust_remote_code=False)
        return cls(extractor, tokenizer, **settings)

    @property
    def model_settings(self) -> dict:
        """The settings of BlspEmoConfig that the processor decides."""
        own = {name: getattr(self, name) for name in ("speech_token_id", "adapter", "real_frames")}
        return own | {"n_fft": self.feature_extractor.n_fft}

    def speech_length(self, samples: int) -> int:
        """How many placeholder tokens stand for a clip of so many samples."""
        mel_frames = mel_length(samples, self.feature_extractor.hop_length, self.real_frames)
        return self.embedding_count(encoder_length(mel_frames))

    def embedding_count(self, frames: int) -> int:
        """How many placeholder tokens stand for so many frames of the encoder."""
        return embedding_count(frames, self.adapter)

    def waveform(self, audio) -> np.ndarray:
        """Audio as float32 (samples,) at 16 kHz.

        audio: a path or URL, see `audio.load_audio`; a mono waveform at 16 kHz, an array or tensor (samples,), floats
        within [-1, 1] or int16; or one of any rate, {"array", "sampling_rate"}, as the library datasets has them.
        Raises StudyError for a file that cannot be read, for other shapes and integer types, and for floats of another
        range.
        """
        if isinstance(audio, str | Path):
            return load_audio(audio)
        rate = SAMPLE_RATE
        if isinstance(audio, Mapping):
            if not audio.keys() >= {"array", "sampling_rate"}:
                raise StudyError(f"speech: a clip with {', '.join(audio)}; wanted are array and sampling_rate")
            audio, rate = audio["array"], audio["sampling_rate"]
        array = np.asarray(audio)
        if array.ndim != 1:
            raise StudyError(f"speech: a clip of shape {array.shape}, wanted is mono, (samples,)")
        if array.dtype != np.int16 and array.dtype.kind != "f":
            raise StudyError(f"speech: a clip of {array.dtype}, wanted are floats within [-1, 1] or int16")
        array = array.astype(np.float32) / (32768 if array.dtype == np.int16 else 1)
        loudest = np.abs(array).max(initial=0)
        if not loudest <= 1.5:  # resampled speech may slightly exceed 1; NaN is refused too
            raise StudyError(f"speech: a clip with values up to {loudest:g}, wanted are within [-1, 1]; scale it")
        return array if rate == SAMPLE_RATE else resample(array, rate)

    def features(self, waveforms: Sequence) -> BatchFeature:
        """Clips, see `waveform` -> input_features (clips, mels, frames) float32, and feature_attention_mask (clips,
        frames) int64, 1 at real frames. The features of a clip do not depend on the others.

        Raises StudyError for a clip longer than the encoder's window, or too short for one log-mel frame.
        """
        waveforms = [self.waveform(waveform) for waveform in waveforms]
        mels = [self._log_mel(waveform) for waveform in waveforms]
        features = torch.zeros(len(mels), self.feature_extractor.feature_size, max(mel.shape[1] for mel in mels))
        mask = torch.zeros(len(mels), features.shape[2], dtype=torch.long)
        for i, (mel, waveform) in enumerate(zip(mels, waveforms, strict=True)):
            features[i, :, : mel.shape[1]] = torch.from_numpy(mel)
            mask[i, : mel_length(len(waveform), self.feature_extractor.hop_length, self.real_frames)] = 1
        return BatchFeature({"input_features": features, "feature_attention_mask": mask})

    def _log_mel(self, waveform: np.ndarray) -> np.ndarray:
        extractor = self.feature_extractor
        rate, least = extractor.sampling_rate, extractor.n_fft
        if not least <= len(waveform) <= extractor.n_samples:
            raise StudyError(
                f"speech: a clip of {len(waveform) / rate:.2f} s, wanted are {least / rate:.2f} to "
                f"{extractor.n_samples / rate:g} s; cut it or leave it out"
            )
        padding = "longest" if self.real_frames else "max_length"
        return extractor(waveform, sampling_rate=rate, padding=padding, return_tensors="np").input_features[0]

    def prompt_ids(
        self, messages: list[dict], speech_lengths: Sequence[int] = (), add_generation_prompt: bool = True, **template
    ) -> list[int]:
        """One chat as token ids; its i-th audio part becomes `speech_lengths[i]` placeholder tokens.

        messages: transformers' chats: {"role", "content"}, content a string or a list of {"type": "text", "text"} and
        {"type": "audio", ...} parts. Text around speech is tokenised as it would be without. `template`: variables of
        the chat template (`enable_thinking=False`).
        """
        text = self._prompt(messages, add_generation_prompt=add_generation_prompt, **template)
        return self._ids([text], speech_lengths)[0]

    def apply_chat_template(
        self, conversation: list, *, tokenize: bool = False, return_dict: bool = False, return_tensors=None,
        processor_kwargs: dict | None = None, **template,
    ):  # fmt: skip
        """One chat or a list of them as text, with one placeholder per clip; with `tokenize` as input ids; with
        `return_dict` too, as all inputs of `generate`. Arguments as in transformers; an audio part holds what
        `waveform` reads under "audio", "path" or "url"."""
        chats = [conversation] if conversation and isinstance(conversation[0], dict) else conversation
        names = ("padding", "padding_side", "sampling_rate")
        how = {name: template.pop(name) for name in names if name in template} | (processor_kwargs or {})
        texts = [self._prompt(chat, **template) for chat in chats]
        if not tokenize:
            return texts if chats is conversation else texts[0]
        contents = [message["content"] for chat in chats for message in chat if not isinstance(message["content"], str)]
        parts = [part for content in contents for part in content if part["type"] == "audio"]
        audio = [part[key] for part in parts for key in AUDIO if key in part]
        batch = self(text=texts, audio=audio, return_tensors=return_tensors, **how)
        return batch if return_dict else batch["input_ids"]

    def __call__(
        self, chats: list | None = None, text: str | list[str] | None = None, audio=(), *, padding_side: str = "left",
        padding: bool = True, sampling_rate: int | None = None, return_tensors: str | None = "pt", **template,
    ) -> BatchFeature:  # fmt: skip
        """Inputs of `generate`: input_ids, attention_mask (rows, tokens), and with speech input_features (clips, mels,
        frames) and feature_attention_mask (clips, frames).

        chats: one chat or a list of them, see `prompt_ids`. Or text: one row or a list of them, with one `speech_token`
        per clip; audio: a clip, or the list of the clips of all rows.
        """
        how = {"padding_side": padding_side, "padding": padding, "sampling_rate": sampling_rate}
        if chats is not None:
            how |= {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
            return self.apply_chat_template(chats, return_tensors=return_tensors, **{**how, **template})
        if sampling_rate not in (None, self.feature_extractor.sampling_rate):
            raise StudyError(f"sampling_rate: {sampling_rate} Hz, wanted is {self.feature_extractor.sampling_rate} Hz")
        waveforms = [self.waveform(clip) for clip in (audio if isinstance(audio, list | tuple) else [audio])]
        lengths = [self.speech_length(len(waveform)) for waveform in waveforms]
        rows = self._ids([text] if isinstance(text, str) else text, lengths)
        batch = dict(self.tokenizer.pad({"input_ids": rows}, padding=padding, padding_side=padding_side))
        return BatchFeature({**batch, **(self.features(waveforms) if waveforms else {})}, tensor_type=return_tensors)

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "input_features", "feature_attention_mask"]

    def _prompt(self, messages: list[dict], **template) -> str:
        if not messages or not all(isinstance(one, dict) and {"role", "content"} <= one.keys() for one in messages):
            raise StudyError(f"messages: {str(messages)[:60]}; wanted is a list of {{role, content}}, one a turn")
        flat = [{**message, "content": self._flat_content(message["content"])} for message in messages]
        return render(self.tokenizer, flat, **{"chat_template": self.chat_template, **template})

    def _flat_content(self, content: str | list[dict]) -> str:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts = []
        for part in parts if isinstance(parts, list | tuple) else [parts]:
            kind = part.get("type") if isinstance(part, dict) else part
            if kind not in ("text", "audio"):
                raise StudyError(f"messages: a part of type {kind}, wanted is text or audio")
            if kind == "text" and not isinstance(part.get("text"), str):
                raise StudyError(f"messages: a text part with {part.get('text')!r}; wanted is its text under `text`")
            if kind == "text" and self.speech_token in part["text"]:
                raise StudyError(f"messages: a text contains {self.speech_token}, which stands for speech; remove it")
            texts.append(part["text"] if kind == "text" else self.speech_token)
        return "".join(texts)

    def _ids(self, texts: Sequence[str], speech_lengths: Sequence[int]) -> list[list[int]]:
        """Token ids of texts, in which the i-th placeholder is repeated `speech_lengths[i]` times."""
        rows = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        clips = sum(row.count(self.speech_token_id) for row in rows)
        if clips != len(speech_lengths):
            raise StudyError(f"messages: {clips} audio parts, but {len(speech_lengths)} clips or speech lengths")
        lengths = iter(speech_lengths)
        return [[i for i in row for _ in range(next(lengths) if i == self.speech_token_id else 1)] for row in rows]


AutoProcessor.register(BlspEmoConfig, BlspEmoProcessor, exist_ok=True)
