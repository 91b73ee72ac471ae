"""Qwen's tiktoken vocabulary as a fast tokenizer of transformers."""

import base64
from pathlib import Path

from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from blsp_core.errors import StudyError

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_tiktoken(path: str | Path) -> dict[bytes, int]:
    """Token bytes -> rank, of a file with one `base64 rank` a line."""
    ranks = {}
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError:
            raise StudyError(f"{path}, line {number}: wanted is `base64 rank`; fetch the file again") from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise StudyError(f"{path}: {len(ranks)} tokens whose ranks are not 0 to {len(ranks) - 1}; fetch the file again")
    return ranks


class _Converter(TikTokenConverter):
    load_tiktoken_bpe = staticmethod(read_tiktoken)  # tiktoken's own caches by path, and names no line


def fast_tokenizer(path: Path, model_max_length: int) -> PreTrainedTokenizerFast:
    """The fast tokenizer with Qwen's ids, its special tokens behind the vocabulary, and the ChatML template."""
    tokenizer = _Converter(str(path), pattern=PIECES, extra_special_tokens=SPECIAL).converted()
    tokenizer.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML,
        model_max_length=model_max_length,
        clean_up_tokenization_spaces=False,
    )
