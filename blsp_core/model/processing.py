"""Chats with speech in them -> token ids and log-mels."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AddedToken, AutoTokenizer, BatchFeature, ProcessorMixin, WhisperFeatureExtractor

from blsp_core.errors import StudyError
from blsp_core.model.adapters import CONVOLUTION, embedding_count

SPEECH_TOKEN = "<|speech|>"
ENCODER_STRIDE = 2  # of Whisper's second convolution


def mel_length(samples: int, hop: int, real_frames: bool = True) -> int:
    """Log-mel frames of so many samples. A clip that ends amid a hop has that frame only when silence follows it."""
    return samples // hop if real_frames else -(-samples // hop)


def encoder_length(mel_frames: int) -> int:
    """Frames of the speech encoder's output."""
    return -(-mel_frames // ENCODER_STRIDE)


class BlspEmoProcessor(ProcessorMixin):
    """A feature extractor, and a tokenizer whose chat template takes speech in place of words.

    `adapter_type`, `adapter_kernel_sizes`, `qformer_window` and `real_frames` are the model's own (see BlspEmoConfig):
    they decide how many placeholder tokens stand for a clip.
    """

    def __init__(
        self,
        feature_extractor,
        tokenizer,
        adapter_kernel_sizes: Sequence[int] = (5, 5, 5),
        real_frames: bool = True,
        speech_token: str = SPEECH_TOKEN,
        chat_template: str | None = None,
        adapter_type: str = CONVOLUTION,
        qformer_window: int = 17,
    ):
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        if self.chat_template is None:
            raise StudyError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; take a chat model's")
        self.adapter_kernel_sizes, self.real_frames = tuple(adapter_kernel_sizes), real_frames
        self.adapter_type, self.qformer_window = adapter_type, qformer_window
        self.speech_token = speech_token
        if tokenizer.convert_tokens_to_ids(speech_token) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens(AddedToken(speech_token, special=True, normalized=False))
        self.speech_token_id = tokenizer.convert_tokens_to_ids(speech_token)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    @classmethod
    def from_parts(cls, encoder: str, llm: str, encoder_revision=None, llm_revision=None, **settings):
        """A processor from the folders or hub names of a speech encoder and an LLM; settings as in __init__."""
        return cls(
            WhisperFeatureExtractor.from_pretrained(encoder, revision=encoder_revision or "main"),
            AutoTokenizer.from_pretrained(llm, revision=llm_revision or "main"),
            **settings,
        )

    @property
    def model_settings(self) -> dict:
        """What the model has to know of the processor, as settings of BlspEmoConfig."""
        return {
            "speech_token_id": self.speech_token_id,
            "adapter_type": self.adapter_type,
            "qformer_window": self.qformer_window,
            "adapter_kernel_sizes": self.adapter_kernel_sizes,
            "real_frames": self.real_frames,
        }

    def speech_length(self, samples: int) -> int:
        """How many placeholder tokens stand for a clip of so many samples."""
        mel_frames = mel_length(samples, self.feature_extractor.hop_length, self.real_frames)
        return self.embedding_count(encoder_length(mel_frames))

    def embedding_count(self, frames: int) -> int:
        """How many placeholder tokens stand for so many frames of the encoder."""
        return embedding_count(frames, self.adapter_type, self.adapter_kernel_sizes, self.qformer_window)

    @property
    def frame_rate(self) -> float:
        """Frames of the encoder a second."""
        return self.feature_extractor.sampling_rate / self.feature_extractor.hop_length / ENCODER_STRIDE

    def features(self, waveforms: Sequence[np.ndarray]) -> BatchFeature:
        """Waveforms (samples,), mono, at the extractor's rate -> input_features (clips, mels, frames) float32, and
        feature_attention_mask (clips, frames) int64, 1 at real frames. A clip's features do not depend on the others.

        Raises StudyError for a clip longer than the encoder's window, or too short for one log-mel frame.
        """
        mels = [self._log_mel(np.asarray(waveform, dtype=np.float32)) for waveform in waveforms]
        lengths = [
            mel_length(len(waveform), self.feature_extractor.hop_length, self.real_frames) for waveform in waveforms
        ]
        features = torch.zeros(len(mels), self.feature_extractor.feature_size, max(mel.shape[1] for mel in mels))
        mask = torch.zeros(len(mels), features.shape[2], dtype=torch.long)
        for i, (mel, length) in enumerate(zip(mels, lengths, strict=True)):
            features[i, :, : mel.shape[1]] = torch.from_numpy(mel)
            mask[i, :length] = 1
        return BatchFeature({"input_features": features, "feature_attention_mask": mask})

    def _log_mel(self, waveform: np.ndarray) -> np.ndarray:
        extractor = self.feature_extractor
        rate, least = extractor.sampling_rate, extractor.n_fft
        if waveform.ndim != 1:
            raise StudyError(f"speech: a clip of shape {waveform.shape}, wanted is mono, (samples,)")
        if not least <= len(waveform) <= extractor.n_samples:
            raise StudyError(
                f"speech: a clip of {len(waveform) / rate:.2f} s, wanted are {least / rate:.2f} to "
                f"{extractor.n_samples / rate:g} s; cut it or leave it out"
            )
        padding = "longest" if self.real_frames else "max_length"
        return extractor(waveform, sampling_rate=rate, padding=padding, return_tensors="np").input_features[0]

    def prompt_ids(
        self,
        messages: list[dict],
        speech_lengths: Sequence[int] = (),
        add_generation_prompt: bool = True,
        **template_settings,
    ) -> list[int]:
        """One chat as token ids; its i-th audio part becomes `speech_lengths[i]` placeholder tokens.

        messages: transformers' chats: {"role", "content"}, content a string or a list of {"type": "text", "text"} and
        {"type": "audio", ...} parts. Text around speech is tokenised as it would be without. `template_settings` go
        to the chat template (`enable_thinking=False`).
        """
        flat = [{**message, "content": self._flat_content(message["content"])} for message in messages]
        text = self.tokenizer.apply_chat_template(
            flat,
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **template_settings,
        )
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        clips = ids.count(self.speech_token_id)
        if clips != len(speech_lengths):
            raise StudyError(f"messages: {clips} audio parts, but {len(speech_lengths)} speech lengths")
        lengths = iter(speech_lengths)
        return [token for i in ids for token in ([i] * next(lengths) if i == self.speech_token_id else [i])]

    def _flat_content(self, content: str | list[dict]) -> str:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts = []
        for part in parts:
            if part["type"] == "text" and self.speech_token in part["text"]:
                raise StudyError(f"messages: a text contains {self.speech_token}, which stands for speech; remove it")
            if part["type"] not in ("text", "audio"):
                raise StudyError(f"messages: a part of type {part['type']}, wanted is text or audio")
            texts.append(part["text"] if part["type"] == "text" else self.speech_token)
        return "".join(texts)

    def __call__(self, chats: list, padding_side: str = "left", **template_settings) -> BatchFeature:
        """Chats, ready for `generate`: input_ids, attention_mask (rows, tokens), and with speech in them input_features
        (clips, mels, frames), feature_attention_mask (clips, frames), as tensors.

        chats: one chat or a list of them, see `prompt_ids`; audio parts hold "audio": a waveform (samples,), mono, at
        the extractor's rate (16 kHz).
        """
        if isinstance(chats[0], dict):
            chats = [chats]
        rows, waveforms = [], []
        for messages in chats:
            sounds = [
                part["audio"]
                for message in messages
                if not isinstance(message["content"], str)
                for part in message["content"]
                if part["type"] == "audio"
            ]
            waveforms += sounds
            rows.append(self.prompt_ids(messages, [self.speech_length(len(s)) for s in sounds], **template_settings))
        batch = self.tokenizer.pad({"input_ids": rows}, padding_side=padding_side, return_tensors="pt")
        speech = self.features(waveforms) if waveforms else {}
        return BatchFeature({"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], **speech})
