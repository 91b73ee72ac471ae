"""Utterances as the LLM gets them, one point each: what a model hears of the tone, before any word of reply."""

from pathlib import Path

import numpy as np
import pandas as pd

from blsp_core.data.manifest import Utterance
from blsp_core.inference.speech import speech_embeddings
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

DIMENSIONS = 16  # principal axes that are kept
MOST = 300  # utterances: enough for a picture, small enough for git


def pooled(
    model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path
) -> pd.DataFrame:
    """The mean speech embedding of the first `MOST` utterances on its principal axes.

    Columns: id, tone, speaker, then d00, d01 ... in falling order of variance. None: only the first three.
    """
    if not utterances:
        return pd.DataFrame(columns=["id", "tone", "speaker"])
    from sklearn.decomposition import PCA  # takes long to load

    spoken = utterances[:MOST]
    means = np.stack([row.mean(0).numpy() for row in speech_embeddings(model, processor, spoken, root)])
    axes = PCA(min(DIMENSIONS, *means.shape), svd_solver="full").fit_transform(means)
    who = pd.DataFrame({"id": u.id, "tone": u.emotion, "speaker": u.speaker} for u in spoken)
    return who.join(pd.DataFrame(axes, columns=[f"d{place:02d}" for place in range(axes.shape[1])]).round(5))
