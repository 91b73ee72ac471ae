"""Corpora as they are published, read into manifests. A new one is a file here that defines `CORPUS`."""

from importlib import import_module
from pkgutil import iter_modules

from blsp_core.data.corpora.base import Corpus
from blsp_core.errors import StudyError

CORPORA: dict[str, Corpus] = {}


def find(name: str) -> Corpus:
    """The corpus of that name. Raises StudyError when there is no reader for it."""
    if name not in CORPORA:
        raise StudyError(
            f"params.yaml, data.corpora: no reader for a corpus {name!r}; there are {', '.join(CORPORA)}; write one in "
            "blsp_core/data/corpora, or bring a manifest of your own under data.custom"
        )
    return CORPORA[name]


for _module in iter_modules(__path__):
    _corpus = getattr(import_module(f"{__name__}.{_module.name}"), "CORPUS", None)
    if _corpus:
        CORPORA[_corpus.name] = _corpus
