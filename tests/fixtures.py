"""Tiny random backbones and a few clips of noise, for the tests of data and inference."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from blsp_core.convert.tokenizer import CHATML
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Utterance
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.audio import SAMPLE_RATE, write_corpus

SECONDS = 10  # of the Whisper's window


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and three special ones: 256 to 258."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def disturbed(model):
    """Weights far from their initial values, so that outputs differ."""
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def make_llm(vocab_size=259) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocab_size, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=1024, tie_word_embeddings=False, eos_token_id=258,
        pad_token_id=256, bos_token_id=None,
    )  # fmt: skip
    return disturbed(Qwen2ForCausalLM(config))


def make_whisper(**settings) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=259, num_mel_bins=80, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=64, max_source_positions=25 * SECONDS,
        max_target_positions=24, pad_token_id=256, bos_token_id=256, eos_token_id=258, decoder_start_token_id=257,
        suppress_tokens=None, begin_suppress_tokens=None, **settings,
    )  # fmt: skip
    whisper = disturbed(WhisperForConditionalGeneration(config))
    whisper.generation_config.suppress_tokens = whisper.generation_config.begin_suppress_tokens = None
    return whisper


@pytest.fixture(scope="session")
def backbones(tmp_path_factory):
    """Folders of a tiny Whisper, with tokenizer and feature extractor, and of a tiny LLM."""
    folder, tokenizer = tmp_path_factory.mktemp("backbones"), make_tokenizer()
    extractor = WhisperFeatureExtractor(feature_size=80, hop_length=320, n_fft=640, chunk_length=SECONDS)
    for name, parts in {"whisper": (make_whisper(), tokenizer, extractor), "llm": (make_llm(), tokenizer)}.items():
        for part in parts:
            part.save_pretrained(folder / name)
    return folder / "whisper", folder / "llm"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with eight clips, from 0.6 to 2 s, and their manifest rows."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    sounds = [rng.normal(0, 0.02 * (i + 1), int(SAMPLE_RATE * (0.6 + 0.2 * (i * 5 % 8)))) for i in range(8)]
    places = write_corpus(folder / "corpora/acted.train.flac", sounds)
    rows = [
        Utterance(
            f"corpora/{place}", f"sentence {'word ' * i}of clip {i}", EMOTIONS[i % 5], f"acted-{i}", f"m{i % 3}", "en",
            round(len(sound) / SAMPLE_RATE, 3), "acted", "train",
        )
        for i, (place, sound) in enumerate(zip(places, sounds, strict=True))
    ]  # fmt: skip
    return folder, rows


@pytest.fixture
def speech_model(backbones):
    """A tiny BLSP-Emo around the backbones, and its processor. Its speech embeddings are louder than those of words, so
    that replies depend on the clip."""
    torch.manual_seed(1)
    processor = BlspEmoProcessor.from_parts(*backbones)
    lora = {"lora_rank": 2, "lora_alpha": 4}
    model = BlspEmoForConditionalGeneration.from_parts(*backbones, processor, **lora, emotions=EMOTIONS)
    with torch.no_grad():
        model.adapter.norm.weight.mul_(20)
    return model.eval(), processor
