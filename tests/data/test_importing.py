"""From a corpus's folder to sound and manifests: RAVDESS, whole and damaged, with folds."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import trees

from blsp_core.data.corpora import importing
from blsp_core.data.corpora.checks import SILENT
from blsp_core.data.corpora.importing import folds_by_speaker, import_corpus
from blsp_core.data.manifest import Utterance, plain_words, read_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import load_audio

REAL = "BLSP_RAVDESS"  # names the folder of the real corpus, where there is one
SPLITS = ("train", "validation", "test")
FIRST = "Actor_01/03-01-01-01-01-01-01.wav"


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ravdess")
    trees.ravdess(folder)
    return folder


@pytest.fixture
def ravdess(original, tmp_path):
    """A copy of the tree at the place where the study looks for it."""
    return Path(shutil.copytree(original, tmp_path / "data/corpora/ravdess"))


def run(tmp_path, **settings):
    return import_corpus("ravdess", settings, tmp_path, tmp_path / "data/laptop")


def check_complete(imported, root):
    """What holds for RAVDESS, real or made up."""
    report, rows = imported.report, imported.manifests["ravdess.test"]
    assert report["clips"] == report["expected"] == 1440 and report["complaint"] == ""
    assert report["left_out_by_label"] == {"calm": 192, "fearful": 192, "disgust": 192}
    assert report["utterances"] == len(rows) == 864
    assert report["emotions"] == {"neutral": 96, "happy": 192, "sad": 192, "angry": 192, "surprise": 192}
    tested = [row.id for k in range(1, 7) for row in imported.manifests[f"ravdess.fold{k}.test"]]
    assert sorted(tested) == sorted(row.id for row in rows)
    for k in range(1, 7):
        held = [imported.manifests[f"ravdess.fold{k}.{split}"] for split in SPLITS]
        actors = [{row.speaker for row in part} for part in held]
        assert [len(names) for names in actors] == [18, 2, 4]
        assert len(set().union(*actors)) == 24 and sum(map(len, held)) == 864
    assert read_manifest(root / "manifests/ravdess.fold3.train.jsonl") == imported.manifests["ravdess.fold3.train"]
    assert len(load_audio(rows[-1].audio, root)) == pytest.approx(rows[-1].duration * 16_000, abs=8)


def test_of_1440_clips_864_are_kept_and_every_actor_is_tested_once(ravdess, tmp_path):
    imported = run(tmp_path, plain=True)
    check_complete(imported, tmp_path / "data/laptop")
    texts = {row.text for row in imported.manifests["ravdess.test"]}
    assert texts == {"kids are talking by the door", "dogs are sitting by the door"}
    assert str(tmp_path) not in json.dumps(imported.report)


@pytest.mark.skipif(REAL not in os.environ, reason=f"the real RAVDESS is read where {REAL} names its folder")
def test_the_real_corpus_is_read_whole(tmp_path):
    imported = run(tmp_path, folder=os.environ[REAL])
    check_complete(imported, tmp_path / "data/laptop")
    assert 0.8 < sum(row.duration for row in imported.manifests["ravdess.test"]) / 3600 < 1.0  # hours


def test_the_sound_is_the_corpus_s_own_at_16_khz_mono_and_longer_clips_are_cut(ravdess, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "LONGEST", 1.0)
    source = trees.put(ravdess / FIRST, seconds=0.5, rate=48_000, channels=2)
    trees.put(ravdess / "Actor_02/03-01-01-01-01-01-02.wav", seconds=1.5)
    soundfile.write(ravdess / "Actor_03/03-01-01-01-01-01-03.wav", np.zeros(8000), 16_000)
    imported = run(tmp_path, trim_below=30)
    rows = imported.manifests["ravdess.test"]
    assert [row.duration for row in rows if row.duration > 0.2] == [0.5, 1.0] and imported.report["cut"] == 1
    assert imported.report["faults"] == {SILENT: 1}
    ours, theirs = load_audio(rows[0].audio, tmp_path / "data/laptop"), load_audio(source)
    assert np.abs(ours - np.clip(theirs, -1, 1)).max() < 2**-14


def test_a_link_serves_and_the_sound_may_stay_where_it_is(original, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "LONGEST", 0.1)
    (tmp_path / "data/corpora").mkdir(parents=True)
    (tmp_path / "data/corpora/ravdess").symlink_to(original)
    row = run(tmp_path, copy=False).manifests["ravdess.test"][0]
    assert row.audio == f"{original.resolve() / FIRST}:0:1600" and row.duration == 0.1
    assert len(load_audio(row.audio, tmp_path)) == 1600
    assert not (tmp_path / "data/laptop/corpora").exists()


def test_silence_around_the_voice_is_cut_off_where_that_is_asked(ravdess, tmp_path):
    noise = np.random.default_rng(1).normal(0, 1e-3, 40_000)
    noise[16_000:24_000] += 0.5 * np.sin(2 * np.pi * 220 * np.arange(8000) / 16_000)
    soundfile.write(ravdess / FIRST, noise, 16_000)
    imported = [run(tmp_path, trim_below=below).manifests for below in (None, 40)]
    whole, trimmed = (manifests["ravdess.test"][0] for manifests in imported)
    assert whole.duration == 2.5 and trimmed.duration == pytest.approx(0.7, abs=0.03)
    sound = load_audio(trimmed.audio, tmp_path / "data/laptop")
    assert len(sound) == pytest.approx(trimmed.duration * 16_000, abs=8)
    loud = np.flatnonzero(np.abs(sound) > 0.1) / 16_000
    assert loud[[0, -1]] == pytest.approx([0.1, 0.6], abs=0.03)


def test_other_speeds_are_in_training_splits_only(ravdess, tmp_path):
    trees.put(ravdess / FIRST, seconds=1.0)
    imported = run(tmp_path, speeds=[0.8, 1.25])
    assert imported.report["utterances"] == 864 and imported.report["at_other_speeds"] == 2 * 864
    for stem, rows in imported.manifests.items():
        faster = [row.id for row in rows if "-at-" in row.id]
        assert len(set(faster)) == len(faster) == (len(rows) * 2 // 3 if stem.endswith(".train") else 0)
    name = f"ravdess-{Path(FIRST).stem}"
    said = [row for row in imported.manifests["ravdess.fold3.train"] if row.id.startswith(name)]
    seconds = {row.id.removeprefix(name): row.duration for row in said}
    assert seconds == {"": 1.0, "-at-0.8": 1.25, "-at-1.25": 0.8}
    for row in said:
        assert len(load_audio(row.audio, tmp_path / "data/laptop")) == round(row.duration * 16_000)


def test_missing_and_damaged_files_are_counted_by_their_fault_and_may_be_left_out(ravdess, tmp_path):
    shutil.rmtree(ravdess / "Actor_01")
    short, junk, pointer, empty, odd, wrong = (ravdess / f"Actor_0{n}/03-01-05-01-01-01-0{n}.wav" for n in range(2, 8))
    short.write_bytes(short.read_bytes()[:-200])
    junk.write_bytes(b"<html>404</html>" * 9)
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    soundfile.write(empty, np.zeros(0), 16_000)
    odd.rename(odd.with_name("angry.wav"))
    wrong.rename(wrong.with_name("03-01-05-01-01-01-24.wav"))
    with pytest.raises(StudyError) as error:
        run(tmp_path)
    for words in (
        "1,374 of 1,440 clips can be used (Actor_01: 0 of 60, Actor_02: 59 of 60",
        "and 3 more such parts",
        "1 file is cut short (the first: Actor_02/03-01-05-01-01-01-02.wav)",
        "2 files are no sound that can be read",
        "1 file is a git-lfs pointer",
        "2 files are with a name that does not parse (the first: Actor_06/angry.wav)",
        "CC BY-NC-SA 4.0",
        "ravdess.incomplete to true",
    ):
        assert words in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "data/laptop").exists()
    report = run(tmp_path, incomplete=True).report
    assert report["utterances"] == 864 - 36 - 6 and "Actor_01: 0 of 60" in report["complaint"]


def test_sound_that_breaks_off_amid_the_file_is_found_when_it_is_copied(ravdess, tmp_path, monkeypatch):
    decode = "blsp_core.data.corpora.importing.load_audio"
    monkeypatch.setattr(decode, lambda path: load_audio(path)[: 10 if path == ravdess / FIRST else None])
    with pytest.raises(StudyError, match="03-01-01-01-01-01-01.wav: cut short; get it again"):
        run(tmp_path)
    imported = run(tmp_path, incomplete=True)
    assert imported.report["utterances"] == 863 and imported.report["faults"] == {"cut short": 1}


def test_the_same_file_under_two_names_is_reported_and_stays_on_one_side(ravdess, tmp_path):
    one, other = "03-01-05-01-01-01-01", "03-01-05-01-01-01-24"  # by actors of the first and the last fold
    shutil.copy(ravdess / f"Actor_01/{one}.wav", ravdess / f"Actor_24/{other}.wav")
    imported = run(tmp_path)
    assert imported.report["same_file"] == [[f"ravdess-{one}", f"ravdess-{other}"]]
    folds = [[row for s in SPLITS for row in imported.manifests[f"ravdess.fold{k}.{s}"]] for k in range(1, 7)]
    sides = [{row.split for row in rows if row.id.endswith((one, other))} for rows in folds]
    assert sides == [{"test"}, *[{"train"}] * 4, {"test"}]  # the later split keeps it
    assert imported.report["same_file_left_out"] == 2 and len(imported.manifests["ravdess.test"]) == 864


FIELDS = ("en", 1.0, "r", "train")
SEVEN = [Utterance("a.wav", "words", "sad", f"r-{i}", f"s{i % 7}", *FIELDS) for i in range(21)]


def test_folds_test_every_speaker_once_and_never_who_trains_or_validates_or_are_refused():
    for count in (2, 3, 7):
        made = folds_by_speaker(SEVEN, count)
        of = [{split: {row.speaker for row in fold if row.split == split} for split in SPLITS} for fold in made]
        assert sorted(name for fold in of for name in fold["test"]) == [f"s{i}" for i in range(7)]
        for fold in of:
            assert len(fold["validation"]) == 2 and fold["train"] and sum(map(len, fold.values())) == 7
    for rows, count in ((SEVEN, 1), (SEVEN, 8), (SEVEN[:4], 2)):
        with pytest.raises(StudyError, match=f"folds: {count} of . speakers with 2 for validation"):
            folds_by_speaker(rows, count)


def test_a_corpus_may_serve_whole_as_one_split_or_by_its_own(ravdess, tmp_path):
    for settings, counts in (
        ({"split": "test"}, {"ravdess.test": 864}),
        ({"folds": 0, "splits": ["train", "test"]}, {"ravdess.train": 576, "ravdess.test": 144}),
    ):
        assert run(tmp_path, **settings).report["manifests"] == counts


def test_an_unknown_corpus_and_a_wrong_import_option_are_named(tmp_path):
    for name, settings, words in (
        ("savee", {}, "no reader for a corpus 'savee'; there are cremad, emodb"),
        ("ravdess", {"fold": 6}, "data.corpora.ravdess: fold is no setting that there is"),
        ("ravdess", {"splits": ["dev"]}, "splits.0 is 'dev'; wanted is 'train'"),
        ("ravdess", {"split": "test", "folds": 6}, "both folds and a split"),
        ("ravdess", {"speeds": [0.9], "copy": False}, "set `copy` to true"),
    ):
        with pytest.raises(StudyError, match=words):
            import_corpus(name, settings, tmp_path, tmp_path)


def test_plain_words_have_neither_case_nor_punctuation():
    assert plain_words("It’s eleven o'clock -- “Kids”, 2 of them!") == "it's eleven o'clock kids 2 of them"
