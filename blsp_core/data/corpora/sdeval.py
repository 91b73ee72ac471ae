"""SD-Eval's part on emotion: spoken sentences whose reply should meet the emotion (Ao et al. 2024, arXiv 2406.13340).

    test-emo.json    [{"wav_path", "transcript", "utt_id", "info": emotion, "dataset_name", "target": replies}]
    audio_data/      the clips at their `wav_path`: of RAVDESS, of the JL corpus and of MEAD, which come separately

Of 1,289 sentences 884 are in the five classes, none of them neutral or surprised. All are for tests: name the corpus as
`evaluation.requests` to have it answered. The replies that the benchmark gives as examples are not read.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import Clip, Corpus
from blsp_core.errors import refused

FILE = "test-emo.json"
SPEAKER = re.compile(r"Actor_\d\d|(?:fe)?male\d|(?<=/)[MW]\d{3}(?=/)")  # in the paths of the three corpora


def read(folder: Path) -> Iterator[Clip]:
    place = next(iter(sorted(folder.rglob(FILE))), None)
    if place is None:
        return  # the counts will tell
    root = folder / "audio_data" if (folder / "audio_data").is_dir() else folder
    with refused(f"{place}: wanted is a list of {{wav_path, transcript, utt_id, info, dataset_name}}; fetch it again"):
        rows = [
            Clip(
                root / row["wav_path"], row["utt_id"], row["info"], row["transcript"],
                found[0] if (found := SPEAKER.search(row["wav_path"])) else row["dataset_name"], row["dataset_name"],
            )
            for row in json.loads(place.read_text(encoding="utf-8"))
        ]  # fmt: skip
    yield from rows


CORPUS = Corpus(
    name="sdeval",
    source="https://github.com/amphionspace/SD-Eval, data/test-emo.json; its README says where the clips come from",
    licence="CC BY-NC 4.0; the clips have their own",
    labels={"happy": "happy", "sad": "sad", "angry": "angry"},
    left_out=("fear", "disgust"),
    expected={"RAVDESS-Speech": 80, "JL_corpus": 384, "MEAD": 825},
    kept={"test": 884},
    read=read,
    splits=dict.fromkeys(("RAVDESS-Speech", "JL_corpus", "MEAD"), "test"),
)
