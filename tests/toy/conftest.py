import pytest

from blsp_core.toy.tokenizer import all_texts, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(all_texts())
