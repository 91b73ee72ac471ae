"""Tiny random models: two encoder layers, two LLM layers, a tokenizer of bytes."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.model import BlspEmoForConditionalGeneration

CONVOLUTION = {"type": "convolution", "kernel_sizes": [5, 5, 5], "inner_dim": 16}
QFORMER = {"type": "qformer", "window": 8, "width": 64, "layers": 2}

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def make_encoder(seed=0, seconds=10, width=32) -> WhisperEncoder:
    torch.manual_seed(seed)
    config = WhisperConfig(
        num_mel_bins=80,
        d_model=width,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_source_positions=25 * seconds,
    )
    encoder = WhisperEncoder(config)
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return encoder.eval()


def make_llm(seed=0, vocab_size=259, **settings) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=258,
        pad_token_id=256,
        bos_token_id=None,
    )
    config.update(settings)
    llm = Qwen2ForCausalLM(config)
    for parameter in llm.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return llm.eval()


def make_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


def make_model(processor, encoder=None, llm=None, noise=0.3, **settings) -> BlspEmoForConditionalGeneration:
    """The model around tiny backbones; partial LoRA, where there is any, away from its start at zero."""
    settings = {"lora_rank": 4, "lora_dropout": 0.0, **settings}
    torch.manual_seed(1)
    model = BlspEmoForConditionalGeneration.from_parts(
        encoder or make_encoder(), llm or make_llm(), processor, **settings
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += noise * torch.randn_like(parameter)
    return model


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)


def ask(*parts, system: str = "be kind") -> list[dict]:
    """A chat of one user turn: strings are text, arrays are speech."""
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "audio", "audio": part} for part in parts
    ]
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]
