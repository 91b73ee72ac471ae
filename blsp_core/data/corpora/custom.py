"""Corpora of your own with ready manifests: checked, and listed where the study expects them."""

from dataclasses import replace
from pathlib import Path

from blsp_core.data.audio import split_slice
from blsp_core.data.corpora import CORPORA
from blsp_core.data.manifest import Utterance, read_manifest, write_manifest
from blsp_core.errors import StudyError

# Source and licence of corpora that the study has no reader for.
OTHERS = {
    "commonvoice": ("https://commonvoice.mozilla.org", "CC0 1.0"),
    "gigaspeech": ("https://github.com/SpeechColab/GigaSpeech", "by agreement, for research"),
    "wenetspeech": ("https://www.openslr.org/121", "by agreement, not for commerce"),
    "mosei": ("http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset", "see its page"),
    "mead": ("https://github.com/uniBruce/Mead", "for research"),
    "speechalpaca": ("https://github.com/cwang621/blsp-emo", "see its page"),
    "aesdd": ("https://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition", "see its page"),
    "cafe": ("https://zenodo.org/records/1478765", "CC BY-NC-SA 4.0"),
    "resd": ("https://huggingface.co/datasets/Aniemore/resd", "MIT"),
}


def bring_corpus(corpus: str, split: str, folder: Path, root: Path) -> list[Utterance]:
    """List `folder`/manifests/<corpus>.<split>.jsonl in `root`/manifests; the sound stays where it is.

    `audio` in it is relative to `folder`, or absolute. Raises StudyError when the manifest or a sound file is missing,
    or a row belongs to another corpus or split.
    """
    folder = Path(folder).resolve()
    source = folder / "manifests" / f"{corpus}.{split}.jsonl"
    if not source.is_file():
        known = {name: (one.source, one.licence) for name, one in CORPORA.items()} | OTHERS
        where, licence = known.get(corpus, ("its makers", "see there"))
        read = ", or name the corpus under data.corpora in params.yaml" if corpus in CORPORA else ""
        raise StudyError(
            f"{source} is not there: the corpus {corpus} is not part of this study; get it from {where} "
            f"(licence: {licence}) and write that manifest, one utterance a line, `audio` relative to {folder}{read}"
        )
    rows = read_manifest(source)
    for number, row in enumerate(rows, start=1):
        if (row.corpus, row.split) != (corpus, split):
            raise StudyError(f"{source}, line {number}: of {row.corpus}, {row.split}; wanted is {corpus}, {split}")
    files = sorted({split_slice(turn.audio)[0] for row in rows for turn in row.spoken})
    missing = [folder / file for file in files if not (folder / file).is_file()]
    if missing:
        raise StudyError(f"{source}: {len(missing)} sound files are not there, the first is {missing[0]}; add them")

    def placed(turn):
        return replace(turn, audio=str(folder / turn.audio)) if turn.audio else turn

    rows = [replace(placed(row), history=tuple(map(placed, row.history))) for row in rows]
    write_manifest(Path(root) / "manifests" / source.name, rows)
    return rows
