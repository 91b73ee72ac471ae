"""Whose sound may stand in a notebook that is passed on."""

from blsp_core.data.corpora import CORPORA
from blsp_core.toy.corpora import ROLES

FREE = ("CC", "Open Database License")  # how the licences begin that let recordings be passed on, with their source


def may_be_passed_on(corpus: str) -> bool:
    """What is synthesised here, or licensed to be shared; of a corpus without a reader nothing is known."""
    return corpus in ROLES or (corpus in CORPORA and CORPORA[corpus].licence.startswith(FREE))
