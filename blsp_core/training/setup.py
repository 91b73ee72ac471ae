"""What a variant of stage 2 starts from: the model of stage 1, or the bare backbones with an adapter of its own."""

from collections.abc import Sequence
from pathlib import Path

import torch

from blsp_core.data.manifest import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.inference.llm import precision, ready
from blsp_core.model import BlspEmoConfig, BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.adapters import QFORMER

ADDED = ("emotion_pooling", "lora_rank", "lora_alpha", "lora_dropout", "lora_scope")
_FROM_STAGE1 = ("adapter_kernel_sizes", "adapter_inner_dim", "encoder_layers", "real_frames")


def begin(settings, stage1: Path, asr: Path, llm: Path) -> tuple[BlspEmoForConditionalGeneration, BlspEmoProcessor]:
    """Model and processor before the first step, where they will be trained; what the settings say of learning is set.

    settings: the section stage2 of params.yaml, by attribute. stage1: its model, from which a convolutional adapter
    takes its sizes even where it starts afresh. asr, llm: folders of the backbones.
    Raises StudyError when the adapter of stage 1 is to be gone on with as one of another type.
    """
    added = {name: getattr(settings, name) for name in ADDED}
    read = {"dtype": precision()} | ({"encoder_dtype": torch.float32} if settings.train_encoder else {})
    before = BlspEmoConfig.from_pretrained(stage1)
    if settings.from_stage1:
        if settings.adapter != before.adapter_type:
            raise StudyError(
                f"adapter: {settings.adapter} cannot go on from {stage1}, which has a {before.adapter_type}; "
                "set from_stage1: false, or take the adapter of stage 1"
            )
        processor = BlspEmoProcessor.from_pretrained(stage1)
        model = BlspEmoForConditionalGeneration.from_pretrained(stage1, **read, **added)
    else:
        sizes = {name: getattr(before, name) for name in _FROM_STAGE1}
        inner = {name: sizes.pop(name) for name in ("adapter_inner_dim", "encoder_layers")} | {"emotions": EMOTIONS}
        processor = BlspEmoProcessor.from_parts(asr, llm, adapter_type=settings.adapter, **sizes)
        if settings.adapter == QFORMER:
            processor.qformer_window = max(1, round(settings.qformer_seconds * processor.frame_rate))
            inner |= {"qformer_width": settings.qformer_width, "qformer_layers": settings.qformer_layers}
        model = BlspEmoForConditionalGeneration.from_parts(asr, llm, processor, **read, **inner, **added)
    if settings.head_words:
        head_from_words(model, processor.tokenizer, settings.head_words, settings.head_scale)
    model.set_trainable(
        adapter=True,
        head=settings.emotion_weight > 0 and settings.head_learns,
        encoder=settings.train_encoder,
        lora=settings.lora_rank > 0,
    )
    if model.emotion_pooling is not None:
        model.emotion_pooling.requires_grad_(settings.emotion_weight > 0)  # before a head that does not learn, too
    return ready(model), processor


@torch.no_grad()
def head_from_words(model: BlspEmoForConditionalGeneration, tokenizer, words: Sequence[str], scale: float) -> None:
    """The emotion head becomes the LLM's own embeddings of `words`, one for each emotion in the order of the config:
    less what they have in common, and each of the length `scale`.

    A head that begins at random may read a tone off any direction, one that means nothing to the LLM as well. From
    here, the emotion loss draws speech to where the LLM has its words for the tone. Ours, not the paper's.
    """
    if len(words) != len(model.config.emotions):
        raise StudyError(
            f"head_words: {len(words)} are given, wanted is one for each of {', '.join(model.config.emotions)}"
        )
    table = model.get_input_embeddings().weight
    ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
    rows = torch.stack([table[own].float().mean(0) for own in ids])  # (emotions, width of the LLM)
    apart = torch.nn.functional.normalize(rows - rows.mean(0), dim=1)
    model.emotion_head.weight.copy_(scale * apart)
