"""Tiny backbones and clips, and a model of stage 1 around them."""

import pytest
import torch
from fixtures import backbones, corpus  # noqa: F401

from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import as_row
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

ADAPTER = {"type": "convolution", "kernel_sizes": [5, 5], "inner_dim": 8}


@pytest.fixture(scope="session")
def stage1(backbones, tmp_path_factory):  # noqa: F811
    """The folder of a model as stage 1 leaves it."""
    torch.manual_seed(5)
    processor = BlspEmoProcessor.from_parts(*backbones, adapter=ADAPTER)
    model = BlspEmoForConditionalGeneration.from_parts(*backbones, processor, emotions=EMOTIONS)
    folder = tmp_path_factory.mktemp("stage1")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def parts(stage1):
    """That model and its processor."""
    return BlspEmoForConditionalGeneration.from_pretrained(stage1), BlspEmoProcessor.from_pretrained(stage1)


@pytest.fixture
def rows(corpus):  # noqa: F811
    """Examples whose responses have 3 to 24 tokens, two of them without an emotion."""
    rows = [{**as_row(u), "instruction": "say: ", "output": "ha" * (1 + n)} for n, u in enumerate(corpus[1])]
    return [row | {"early_stop": False, "emotion": row["emotion"] * (n not in (1, 2))} for n, row in enumerate(rows)]
