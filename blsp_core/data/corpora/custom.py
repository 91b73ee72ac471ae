"""Corpora of your own with ready manifests: checked, and listed where the study expects them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from blsp_core.data.corpora import CORPORA
from blsp_core.data.corpora.importing import LONGEST
from blsp_core.data.manifest import Utterance, read_manifest, write_manifest
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, SHORTEST, is_silent, load_audio

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


def requested(custom: Mapping) -> Iterator[tuple[str, str, bool]]:
    """Corpus, split, and whether faulty rows are left out, of every manifest that data.custom names: as a list of
    splits, or as {splits, incomplete}."""
    for name, entry in custom.items():
        entry = entry if isinstance(entry, Mapping) else {"splits": entry}
        for split in entry["splits"]:
            yield name, split, entry.get("incomplete", False)


def bring_corpus(
    corpus: str, split: str, folder: Path, root: Path, incomplete: bool = False
) -> tuple[list[Utterance], list[str]]:
    """List `folder`/manifests/<corpus>.<split>.jsonl in `root`/manifests; the sound stays where it is. The rows, and
    what is wrong with those that are left out, which only happens with `incomplete`.

    `audio` in it is relative to `folder`, or absolute. Every clip is read once. Raises StudyError when the manifest is
    missing, and when it is invalid, a row belongs to another corpus or split, or clips cannot be used: with their
    number, and the line and the reason of the first.
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
    faults, places = [], {}
    rows = read_manifest(source, faults if incomplete else None, places)
    count = len(rows) + len(faults)
    good = []
    for row in progress(rows, f"sound of {corpus}, {split}"):
        reason = next(filter(None, (fault(folder, turn) for turn in row.spoken)), "")
        if (row.corpus, row.split) != (corpus, split):
            reason = f"of {row.corpus}, {row.split}; wanted is {corpus}, {split}"
        if reason:
            faults.append(f"{places[row.id]}: {reason}")
        else:
            good.append(row)
    if faults and not (incomplete and good):
        more = "" if incomplete else f", or set data.custom.{corpus} to {{splits: [{split}], incomplete: true}}"
        raise StudyError(f"{faults[0]}; mend or remove the row ({len(faults)} of {count} rows have such faults){more}")

    def placed(turn):
        return replace(turn, audio=str(folder / turn.audio)) if turn.audio else turn

    good = [replace(placed(row), history=tuple(map(placed, row.history))) for row in good]
    write_manifest(Path(root) / "manifests" / source.name, good)
    return good, [one.replace(f"{folder}/", "") for one in faults]  # no product holds a path of this machine


def fault(folder: Path, row: Utterance) -> str:
    """What is wrong with the clip of a row; empty if nothing is."""
    try:
        sound = load_audio(row.audio, folder)
    except StudyError as error:
        return str(error)
    seconds = len(sound) / SAMPLE_RATE
    if not SHORTEST <= seconds <= LONGEST:
        return f"{row.audio} is {seconds:.2f} s long; wanted are {SHORTEST} to {LONGEST:.0f} s"
    if abs(seconds - row.duration) > 0.1:
        return f"{row.audio} is {seconds:.2f} s long; duration says {row.duration}"
    return f"{row.audio} is silent, or its channels cancel each other out" if is_silent(sound) else ""
