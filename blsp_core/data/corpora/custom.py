"""Corpora that you bring with ready manifests: checked, and listed where the study expects them."""

from dataclasses import replace
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.data.corpora import CORPORA
from blsp_core.data.manifest import Utterance, read_manifest, write_manifest

# Where corpora come from that the study has no reader for, and their licence.
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
SOURCES = {name: (corpus.source, corpus.licence) for name, corpus in CORPORA.items()} | OTHERS


def bring_corpus(corpus: str, split: str, folder: Path, root: Path) -> list[Utterance]:
    """Take `folder`/manifests/<corpus>.<split>.jsonl over into `root`/manifests; the sound stays where it is.

    `audio` in it is relative to `folder`, or absolute. Raises StudyError when the manifest or a sound file is missing,
    or when a row says that it belongs to another corpus or split.
    """
    folder = Path(folder).resolve()
    source = folder / "manifests" / f"{corpus}.{split}.jsonl"
    if not source.is_file():
        where, licence = SOURCES.get(corpus, ("its makers", "see there"))
        read = ", or let the study read its folder (data.readers in params.yaml)" if corpus in CORPORA else ""
        raise StudyError(
            f"{source} is not there: the corpus {corpus} is not part of this study; get it from {where} "
            f"(licence: {licence}) and write that manifest, one utterance a line, `audio` relative to {folder}{read}"
        )
    rows = read_manifest(source)
    missing = set()
    for number, row in enumerate(rows, start=1):
        if (row.corpus, row.split) != (corpus, split):
            raise StudyError(f"{source}, line {number}: of {row.corpus}, {row.split}; wanted is {corpus}, {split}")
        path = sound_file(row.audio)
        if path not in missing and not (folder / path).is_file():
            missing.add(path)
    if missing:
        raise StudyError(f"{source}: {len(missing)} sound files are not there, the first is {folder / min(missing)}")
    rows = [replace(row, audio=str(folder / row.audio)) for row in rows]
    write_manifest(Path(root) / "manifests" / source.name, rows)
    return rows


def sound_file(audio: str) -> str:
    """The file of a manifest's `audio`, without the slice."""
    path, *piece = audio.rsplit(":", 2)
    return path if len(piece) == 2 and all(part.isdigit() for part in piece) else audio
