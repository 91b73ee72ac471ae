import random

import pytest

from blsp_core.toy.instruction_data import draw_example
from blsp_core.toy.tokenizer import all_texts, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(all_texts())


@pytest.fixture(scope="session")
def drawn():
    """So many examples of a split and of given kinds."""

    def drawn(count, split="train", **kinds):
        rng = random.Random(1)
        return [draw_example(rng, split, **kinds) for _ in range(count)]

    return drawn
