"""How a corpus is to be read: an entry of params.yaml, data.readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from blsp_core.errors import StudyError
from blsp_core.data.corpora import find

SPLITS = ("train", "validation", "test")  # a later one keeps a file that two of them have


@dataclass(frozen=True)
class Reading:
    """What may be said of a corpus, and what holds where nothing is said."""

    folder: str = ""  # of the corpus, relative to the study; "" for data/corpora/<name>
    parts: Sequence[str] | None = None  # of the corpus, by its own names; None for all
    split: str = ""  # everything serves as this split; "" for the corpus's own
    splits: Sequence[str] = SPLITS  # those that are wanted
    folds: int | None = None  # by speaker, 0 for none; None for the corpus's own
    validation_speakers: int = 2  # in each fold
    plain: bool = False  # words in small letters, without punctuation
    longest: float = 30.0  # seconds; what lasts longer is cut there
    trim_below: float | None = None  # dB under a clip's loud parts; quieter starts and ends are cut off; None: kept
    speeds: Sequence[float] = ()  # at which training hears every clip besides, pitch and all (Ko et al. 2015)
    copy: bool = True  # False: the sound stays where it is, and the manifests name this machine's paths
    incomplete: bool = False  # True: what can be used of a faulty folder is used


def reading(name: str, settings: Mapping | None) -> Reading:
    """The entry of params.yaml, checked. Raises StudyError for a key that is unknown or a split that is none."""
    settings, where = settings or {}, f"params.yaml, data.readers.{name}"
    unknown = [key for key in settings if key not in Reading.__dataclass_fields__]
    if unknown:
        raise StudyError(f"{where}: {unknown[0]!r} is no setting; there are {', '.join(Reading.__dataclass_fields__)}")
    made = Reading(**settings)
    wrong = [split for split in (*made.splits, made.split or "test") if split not in SPLITS]
    if wrong:
        raise StudyError(f"{where}: {wrong[0]!r} is no split; there are {', '.join(SPLITS)}")
    if made.speeds and not made.copy:
        raise StudyError(f"{where}: other speeds need a copy of the sound; set `copy` to true, or leave out `speeds`")
    if made.folds and made.split:
        raise StudyError(f"{where}: has both folds and a split for everything; take one of them out")
    return replace(made, folds=find(name).folds) if made.folds is None and not made.split else made
