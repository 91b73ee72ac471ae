"""Real corpora, from their own folder layouts to manifests. A new one is a file here and a line in `CORPORA`."""

from blsp_core.errors import StudyError
from blsp_core.data.corpora import cremad
from blsp_core.data.corpora import emodb
from blsp_core.data.corpora import esd
from blsp_core.data.corpora import iemocap
from blsp_core.data.corpora import librispeech
from blsp_core.data.corpora import meld
from blsp_core.data.corpora import nemo
from blsp_core.data.corpora import ravdess
from blsp_core.data.corpora.base import Corpus

_LISTED = [
    cremad.CREMAD,
    emodb.EMODB,
    esd.ESD,
    iemocap.IEMOCAP,
    librispeech.LIBRISPEECH,
    meld.MELD,
    nemo.NEMO,
    ravdess.RAVDESS,
]
CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in _LISTED}


def find(name: str) -> Corpus:
    """The corpus of that name. Raises StudyError when there is no reader for it."""
    if name not in CORPORA:
        raise StudyError(
            f"params.yaml, data.readers: no reader for a corpus {name!r}; there are {', '.join(CORPORA)}; "
            "write one in blsp_core/speech/corpora, or bring a ready manifest under data.own_corpora"
        )
    return CORPORA[name]
