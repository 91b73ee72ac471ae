"""Tiny random models: two encoder layers, two LLM layers, a tokenizer of bytes."""

import numpy as np
import torch
from fixtures import disturbed, make_llm, make_tokenizer
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

CONVOLUTION = {"type": "convolution", "kernel_sizes": [5, 5, 5], "inner_dim": 16}
QFORMER = {"type": "qformer", "window": 8, "width": 64, "layers": 2}
VARIANTS = [
    {"adapter": QFORMER, "lora_scope": "everywhere"},
    {"encoder_layers": "mix"},
    {"encoder_layers": "last+mix"},
    {"adapter": QFORMER, "encoder_layers": "last+mix"},
]


def make_encoder(seconds=10) -> WhisperEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(
        num_mel_bins=80, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, decoder_layers=1,
        decoder_attention_heads=4, decoder_ffn_dim=64, max_source_positions=25 * seconds,
    )  # fmt: skip
    return disturbed(WhisperEncoder(config))


def make_extractor() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=80, hop_length=320, n_fft=640, chunk_length=10)


def make_processor(adapter=CONVOLUTION, real_frames=True) -> BlspEmoProcessor:
    return BlspEmoProcessor(make_extractor(), make_tokenizer(), adapter, real_frames)


def make_model(processor, encoder=None, llm=None, noise=0.3, **settings) -> BlspEmoForConditionalGeneration:
    """The model around tiny backbones; partial LoRA, where there is any, away from its start at zero."""
    settings = {"lora_rank": 4, "lora_dropout": 0.0, **settings}
    torch.manual_seed(1)
    parts = encoder or make_encoder(), llm or make_llm(), processor
    model = BlspEmoForConditionalGeneration.from_parts(*parts, **settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += noise * torch.randn_like(parameter)
    return model


def make_both(adapter=CONVOLUTION, real_frames=True, **settings):
    """A model of these settings, its mix of layers not the plain mean, and its processor."""
    processor = make_processor(adapter, real_frames)
    model = make_model(processor, **settings)
    if model.layer_mix is not None:
        model.layer_mix.scores.data = torch.tensor([0.3, -0.5, 0.1])
    return model, processor


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)


def ask(*parts, system: str = "be kind") -> list[dict]:
    """A chat of one user turn: strings are text, arrays are speech."""
    kinds = ["text" if isinstance(part, str) else "audio" for part in parts]
    content = [{"type": kind, kind: part} for kind, part in zip(kinds, parts, strict=True)]
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


CHATS = [ask("hear this: ", sound(1.03), " and answer"), ask(sound(2.517, 1), " or ", sound(0.4, 2)), ask("no speech")]
