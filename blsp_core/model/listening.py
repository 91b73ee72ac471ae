"""What the model hears in sound, without a word of reply."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from blsp_core.model.modeling import BlspEmoForConditionalGeneration
from blsp_core.model.processing import BlspEmoProcessor


@dataclass(frozen=True)
class Heard:
    """A clip: its speech embeddings (P, width of the LLM), as the LLM gets them, and the probabilities of emotions."""

    embeddings: torch.Tensor
    emotions: dict[str, float]


@torch.no_grad()
def listen(
    model: BlspEmoForConditionalGeneration,
    processor: BlspEmoProcessor,
    waveforms: Sequence[np.ndarray],
    batch_size: int = 16,
) -> list[Heard]:
    """Speech embeddings and emotion probabilities of waveforms (samples,), mono, 16 kHz, in their order.

        >>> model = BlspEmoForConditionalGeneration.from_pretrained("checkpoint")
        >>> processor = BlspEmoProcessor.from_pretrained("checkpoint")
        >>> listen(model, processor, [waveform])[0].emotions
        {'neutral': 0.02, 'happy': 0.91, ...}

    Raises StudyError for a clip that is longer than the encoder hears, or too short to hear.
    """
    heard = []
    for start in range(0, len(waveforms), batch_size):
        batch = processor.features(waveforms[start : start + batch_size]).to(model.device)
        embeddings, mask = model.get_speech_embeddings(**batch)
        shares = model.get_emotion_logits(embeddings, mask).float().softmax(-1)
        for row, real, share in zip(embeddings, mask, shares.tolist(), strict=True):
            heard.append(Heard(row[real].cpu(), dict(zip(model.config.emotions, share, strict=True))))
    return heard
