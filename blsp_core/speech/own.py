"""Corpora that you bring: checked, and listed where the study expects its manifests."""

from dataclasses import replace
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.speech.manifest import Utterance, read_manifest, write_manifest

# Where the corpora of the paper and other well-known ones come from, and their licence.
SOURCES = {
    "librispeech": ("https://www.openslr.org/12", "CC BY 4.0"),
    "commonvoice": ("https://commonvoice.mozilla.org", "CC0 1.0"),
    "gigaspeech": ("https://github.com/SpeechColab/GigaSpeech", "by agreement, for research"),
    "wenetspeech": ("https://www.openslr.org/121", "by agreement, not for commerce"),
    "ravdess": ("https://zenodo.org/records/1188976", "CC BY-NC-SA 4.0"),
    "cremad": ("https://github.com/CheyneyComputerScience/CREMA-D", "Open Database License"),
    "esd": ("https://github.com/HLTSingapore/Emotional-Speech-Data", "by agreement, for research"),
    "iemocap": ("https://sail.usc.edu/iemocap", "by agreement, for research"),
    "meld": ("https://github.com/declare-lab/MELD", "GPL-3.0"),
    "mosei": ("http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset", "see its page"),
    "mead": ("https://github.com/uniBruce/Mead", "for research"),
    "speechalpaca": ("https://github.com/cwang621/blsp-emo", "see its page"),
    "aesdd": ("https://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition", "see its page"),
    "cafe": ("https://zenodo.org/records/1478765", "CC BY-NC-SA 4.0"),
    "resd": ("https://huggingface.co/datasets/Aniemore/resd", "MIT"),
}


def bring_corpus(corpus: str, split: str, folder: Path, root: Path) -> list[Utterance]:
    """Take `folder`/manifests/<corpus>.<split>.jsonl over into `root`/manifests; the sound stays where it is.

    `audio` in it is relative to `folder`, or absolute. Raises StudyError when the manifest or a sound file is missing,
    or when a row says that it belongs to another corpus or split.
    """
    folder = Path(folder).resolve()
    source = folder / "manifests" / f"{corpus}.{split}.jsonl"
    if not source.is_file():
        where, licence = SOURCES.get(corpus, ("its makers", "see there"))
        raise StudyError(
            f"{source} is not there: the corpus {corpus} is not part of this study; get it from {where} "
            f"(licence: {licence}) and write that manifest, one utterance a line, `audio` relative to {folder}"
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
