"""Fixtures of the tiny model."""

import pytest
from tiny import CONVOLUTION, make_model, make_tokenizer
from transformers import WhisperFeatureExtractor

from blsp_core.model import BlspEmoProcessor


@pytest.fixture(scope="session")
def extractor():
    return WhisperFeatureExtractor(feature_size=80, hop_length=320, n_fft=640, chunk_length=10)


@pytest.fixture
def processor(extractor):
    return BlspEmoProcessor(extractor, make_tokenizer(), CONVOLUTION)


@pytest.fixture
def model(processor):
    return make_model(processor)
