"""The tiny released checkpoint, and what it is converted to."""

from pathlib import Path

import pytest

from blsp_core.convert.released import convert


@pytest.fixture(scope="session")
def released():
    return Path(__file__).parent / "data/released"


@pytest.fixture(scope="session")
def converted(released, tmp_path_factory):
    target = tmp_path_factory.mktemp("converted") / "model"
    convert(released, target)
    return target
