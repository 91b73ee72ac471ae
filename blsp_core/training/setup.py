"""The model and the schedule of a run, from the settings of its section in params.yaml (by attribute)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from blsp_core.data.emotions import EMOTIONS
from blsp_core.errors import StudyError
from blsp_core.inference.batches import backbone_precision, ready
from blsp_core.model import BlspEmoConfig, BlspEmoForConditionalGeneration, BlspEmoProcessor

SCHEDULE = (
    "steps", "batch_size", "gradient_accumulation", "learning_rate", "learning_rates", "optimizer", "warmup_share",
    "schedule", "save_steps", "workers",
)  # fmt: skip


def schedule(settings) -> dict:
    """The settings that `trainer.train` takes."""
    found = {name: value for name, value in vars(settings).items() if name in SCHEDULE}
    validations = settings.validation["losses"] if isinstance(settings.validation, Mapping) else settings.validations
    return found | {"steps": round(settings.steps * vars(settings).get("steps_factor", 1)), "validations": validations}


def begin_stage1(settings, whisper: Path, llm: Path) -> tuple[BlspEmoForConditionalGeneration, BlspEmoProcessor]:
    """A model around the frozen backbones, with a new adapter, which is what stage 1 trains; and its processor."""
    return _from_parts(settings, settings.adapter, whisper, llm, **backbone_precision())


def begin_stage2(
    settings, start: Path, whisper: Path, llm: Path
) -> tuple[BlspEmoForConditionalGeneration, BlspEmoProcessor]:
    """The model before the first update of stage 2, with its parts frozen or not, and its processor.

    start: a model of stage 1. Without `from_stage1` only its settings are used, and the adapter is new; `adapter`
    replaces its settings too. Raises StudyError when the adapter is to be another and yet to continue from stage 1.
    """
    before = BlspEmoConfig.from_pretrained(start)
    adapter = settings.adapter or before.adapter
    options = {name: getattr(settings, name) for name in ("lora_rank", "lora_alpha", "lora_dropout", "lora_scope")}
    options |= backbone_precision(settings.train_encoder)
    trained = {"adapter": True, "encoder": settings.train_encoder, "lora": settings.lora_rank > 0}
    trained["head"] = settings.emotion_weight > 0 and settings.head["train"]
    if not settings.from_stage1:
        model, processor = _from_parts(before, adapter, whisper, llm, **options)
    elif adapter != before.adapter:
        raise StudyError(
            f"adapter: {adapter} cannot continue from {start}, which has {before.adapter}; set from_stage1: false, "
            "or adapter: null"
        )
    else:
        processor = BlspEmoProcessor.from_pretrained(start)
        model = BlspEmoForConditionalGeneration.from_pretrained(start, **options)
    if settings.head["init"]:
        init_head(model, processor.tokenizer, settings.head["init"], settings.head["norm"])
    model.set_trainable(**trained)
    return ready(model), processor


def _from_parts(shape, adapter: dict, whisper: Path, llm: Path, **options):
    processor = BlspEmoProcessor.from_parts(whisper, llm, adapter=adapter, real_frames=shape.real_frames)
    options |= {"encoder_layers": shape.encoder_layers, "emotions": EMOTIONS}
    model = BlspEmoForConditionalGeneration.from_parts(whisper, llm, processor, **options)
    model.set_trainable(adapter=True)
    return ready(model), processor


@torch.no_grad()
def init_head(model: BlspEmoForConditionalGeneration, tokenizer, words: Sequence[str], norm: float) -> None:
    """Set each row of the emotion head to the LLM's own embedding of a word, less the mean over the words, with length
    `norm`. words: one for each emotion, in the order of the config.

    With a random head, the emotion loss may be met in directions of the embeddings that have no meaning to the LLM.
    This initialisation is ours, not the paper's.
    """
    if len(words) != len(model.config.emotions):
        raise StudyError(
            f"head.init: {len(words)} words, wanted is one for each of {', '.join(model.config.emotions)}, or []"
        )
    table = model.get_input_embeddings().weight
    ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
    rows = torch.stack([table[of_word].float().mean(0) for of_word in ids])  # (emotions, width of the LLM)
    model.emotion_head.weight.copy_(norm * torch.nn.functional.normalize(rows - rows.mean(0), dim=1))
