"""Published corpora that are damaged, edited or incomplete: one sentence, and nothing is left behind."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import trees

from blsp_core.data.corpora.checks import SILENT, TOO_SHORT, UNREADABLE, WORDLESS
from blsp_core.data.corpora.importing import import_corpus
from blsp_core.data.manifest import read_manifest
from blsp_core.errors import StudyError

MELD, HEAD = "MELD.Raw/test_sent_emo.csv", "Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
NEMO, COLUMNS = "data.tsv", "file_id\temotion\traw_text\n"


def text(name: str, content: str, encoding: str = "utf-8"):
    return lambda folder: trees.write(folder / name, content, encoding)


def folder_in_place_of(name: str):
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


BAD = [
    ("meld", text(MELD, HEAD.replace("Emotion,", "") + "1,Why?,Mark,0,0\n"), "tables of meld cannot be read"),
    ("meld", text(MELD, HEAD.replace("Utterance,S", "Words,S") + "1,Why?,Mark,neutral,0,0\n"), "tables of meld"),
    ("meld", text(MELD, (HEAD + "1,Why?,Mark,neutral,0,0\n").replace(",", ";")), "tables of meld cannot be read"),
    ("meld", text(MELD, HEAD + "1,Why?,Mark,neutral,0,0\n", "utf-16"), "tables of meld cannot be read"),
    ("meld", text(MELD, HEAD + f"1,{'x' * 200_000},Mark,neutral,0,0\n"), "tables of meld cannot be read"),
    ("meld", folder_in_place_of(MELD), "tables of meld cannot be read"),
    ("meld", text(MELD, HEAD + "1,Why?,Mark,neutral,0,0\n" * 2), "1 file is listed or stored twice"),
    ("meld", text(MELD, HEAD + "1,Why?,Mark,bored,0,0\n"), "labelled 'bored'"),
    ("nemo", text(NEMO, COLUMNS.replace("raw_text", "words") + "a\tb\tc\n"), "tables of nemo cannot be read"),
    ("nemo", text(NEMO, COLUMNS.replace("file_id", "file") + "a\tb\tc\n"), "tables of nemo cannot be read"),
    ("nemo", text(NEMO, COLUMNS + "a\tb\tc\n", "utf-16"), "tables of nemo cannot be read"),
    ("nemo", lambda folder: (folder / NEMO).unlink(), "missing table of transcripts"),
    ("nemo", text("samples/WR0_happy.wav", "no sound"), "with a name that does not parse"),
    ("esd", folder_in_place_of("Emotion Speech Dataset/0011/0011.txt"), "tables of esd cannot be read"),
    ("ravdess", lambda folder: (folder / "Actor_01").rename(folder / "Actor-1"), "Actor_01: 0 of 60"),
    ("ravdess", text("Actor_02/03-01-01-01-01-01-02.wav", "no sound"), UNREADABLE),
    ("ravdess", text("Actor_02/03-01-01-01-01-01-02.wav", "version https://git-lfs"), "a git-lfs pointer"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "words"), BAD)
def test_a_damaged_corpus_is_one_sentence_and_leaves_nothing(tmp_path, name, change, words):
    folder, root = tmp_path / "data/corpora" / name, tmp_path / "data/tiny"
    getattr(trees, name)(folder)
    change(folder)
    with pytest.raises(StudyError) as refused:
        import_corpus(name, {}, tmp_path, root)
    said = str(refused.value)
    assert words in said and str(folder) in said and "\n" not in said and not list(root.rglob("*"))


@pytest.mark.parametrize("copy", [True, False])
def test_good_clips_beside_bad_ones_are_kept_and_the_bad_are_counted(tmp_path, copy):
    folder, root = tmp_path / "data/corpora/meld", tmp_path / "data/tiny"
    lines = ["1,Why?,Mark,neutral,0,0", '2,"  ",Ross,joy,0,1', "3,<|x|> oh,Ross,joy,0,2", "4,Yes.,Ross,joy,0,3"]
    lines += ["5,No.,Ross,anger,0,4", "6,So.,Ross,anger,0,5", "7,Go on.,Ross,sadness,0,6"]
    trees.write(folder / MELD, HEAD + "\n".join(lines))
    for number in range(7):
        trees.put(folder / f"MELD.Raw/output_repeated_splits_test/dia0_utt{number}.wav", 0.5)
    for number, sound in (
        (3, np.zeros(8000)), (4, np.full(8000, 0.5)), (5, np.ones(100) * 0.1), (6, np.full(8000, np.nan)),
    ):  # fmt: skip
        place = folder / f"MELD.Raw/output_repeated_splits_test/dia0_utt{number}.wav"
        soundfile.write(place, sound, 16_000, subtype="FLOAT")
    options = {"incomplete": True, "splits": ["test"], "copy": copy}
    report = import_corpus("meld", options, tmp_path, root).report
    assert [row.text for row in read_manifest(root / "manifests/meld.test.jsonl")] == ["Why?"]
    assert report["faults"] == {WORDLESS: 2, SILENT: 2, TOO_SHORT: 1, UNREADABLE: 1}


def test_a_corpus_of_which_nothing_can_be_used_is_refused(tmp_path):
    folder = tmp_path / "data/corpora/nemo"
    trees.nemo(folder)
    (folder / NEMO).unlink()
    with pytest.raises(StudyError, match="no utterance of nemo is in any split; .*missing table of transcripts"):
        import_corpus("nemo", {"incomplete": True}, tmp_path, tmp_path / "data/tiny")
    assert not list((tmp_path / "data/tiny").rglob("*.jsonl"))


@pytest.mark.parametrize("folds", [99, 24])
def test_folds_that_cannot_be_made_are_refused_before_sound_is_written(tmp_path, folds):
    folder = tmp_path / "data/corpora/emodb"
    trees.emodb(folder)
    with pytest.raises(StudyError, match=f"folds: {folds} of 3 speakers"):
        import_corpus("emodb", {"folds": folds, "incomplete": True}, tmp_path, tmp_path / "data/tiny")
    assert not list((tmp_path / "data/tiny").rglob("*"))
