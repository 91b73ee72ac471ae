import pytest

from blsp_core.report.listening import may_be_passed_on


@pytest.mark.parametrize(
    ("corpus", "may"),
    [("acted", True), ("greek", True), ("ravdess", True), ("cremad", True), ("iemocap", False), ("my own", False)],
)
def test_sound_is_shown_where_it_may_be_passed_on(corpus, may):
    assert may_be_passed_on(corpus) is may
