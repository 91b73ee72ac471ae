"""Fixtures of the tiny model."""

import pytest
from tiny import make_model, make_processor


@pytest.fixture
def processor():
    return make_processor()


@pytest.fixture
def model(processor):
    return make_model(processor)
