"""From a corpus's folder to sound and manifests: RAVDESS, whole and damaged, with folds."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import trees

from blsp_core.data.audio import load_audio
from blsp_core.data.corpora.importing import folds_by_speaker, import_corpus, without_copies
from blsp_core.data.manifest import Utterance, plain_words, read_manifest
from blsp_core.errors import StudyError

REAL = "BLSP_RAVDESS"  # names the folder of the real corpus, where there is one


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    return trees.ravdess(tmp_path_factory.mktemp("ravdess"))


@pytest.fixture
def ravdess(original, tmp_path):
    """A copy of the tree at the place where the study looks for it."""
    return Path(shutil.copytree(original, tmp_path / "data/corpora/ravdess"))


def run(tmp_path, **settings):
    return import_corpus("ravdess", settings, tmp_path, tmp_path / "data/laptop")


def check_complete(imported, root):
    """What holds for RAVDESS, real or made up."""
    report, everybody = imported.report, imported.manifests["ravdess.test"]
    assert report["clips"] == report["expected"] == 1440 and report["complaint"] == ""
    assert report["left_out_by_label"] == {"calm": 192, "fearful": 192, "disgust": 192}
    assert report["utterances"] == len(everybody) == 864
    assert report["emotions"] == {"neutral": 96, "happy": 192, "sad": 192, "angry": 192, "surprise": 192}
    tested = [row.id for k in range(1, 7) for row in imported.manifests[f"ravdess.fold{k}.test"]]
    assert sorted(tested) == sorted(row.id for row in everybody)
    for k in range(1, 7):
        held = {split: imported.manifests[f"ravdess.fold{k}.{split}"] for split in ("train", "validation", "test")}
        actors = {split: {row.speaker for row in rows} for split, rows in held.items()}
        assert {split: len(names) for split, names in actors.items()} == {"train": 18, "validation": 2, "test": 4}
        assert len(set().union(*actors.values())) == 24 and sum(map(len, held.values())) == 864
    assert read_manifest(root / "manifests/ravdess.fold3.train.jsonl") == imported.manifests["ravdess.fold3.train"]
    assert len(load_audio(everybody[-1].audio, root)) == pytest.approx(everybody[-1].duration * 16_000, abs=8)


def test_of_1440_clips_864_are_kept_and_every_actor_is_tested_once(ravdess, tmp_path):
    imported = run(tmp_path, plain=True)
    check_complete(imported, tmp_path / "data/laptop")
    assert {row.text for row in imported.manifests["ravdess.test"]} == {
        "kids are talking by the door",
        "dogs are sitting by the door",
    }
    assert str(tmp_path) not in json.dumps(imported.report)


@pytest.mark.skipif(REAL not in os.environ, reason=f"the real RAVDESS is read where {REAL} names its folder")
def test_the_real_corpus_is_read_whole(tmp_path):
    imported = run(tmp_path, folder=os.environ[REAL])
    check_complete(imported, tmp_path / "data/laptop")
    assert 0.8 < sum(row.duration for row in imported.manifests["ravdess.test"]) / 3600 < 1.0  # hours


def test_the_sound_is_the_corpus_s_own_at_16_khz_mono(ravdess, tmp_path):
    name = "Actor_01/03-01-01-01-01-01-01.wav"
    source = trees.put(ravdess / name, seconds=0.5, rate=48_000, channels=2)
    first = run(tmp_path).manifests["ravdess.test"][0]
    assert first.duration == 0.5
    ours, theirs = load_audio(first.audio, tmp_path / "data/laptop"), load_audio(source)
    assert np.abs(ours - np.clip(theirs, -1, 1)).max() < 2**-14


def test_a_link_serves_and_the_sound_may_stay_where_it_is(original, tmp_path):
    (tmp_path / "data/corpora").mkdir(parents=True)
    (tmp_path / "data/corpora/ravdess").symlink_to(original)
    row = run(tmp_path, copy=False, longest=0.01).manifests["ravdess.test"][0]
    assert row.audio == f"{original.resolve()}/Actor_01/03-01-01-01-01-01-01.wav:0:160" and row.duration == 0.01
    assert len(load_audio(row.audio, tmp_path)) == 160
    assert not (tmp_path / "data/laptop/corpora").exists()


def test_longer_clips_are_cut_and_counted(ravdess, tmp_path):
    trees.put(ravdess / "Actor_01/03-01-01-01-01-01-01.wav", seconds=1.5)
    imported = run(tmp_path, longest=1.0)
    assert imported.manifests["ravdess.test"][0].duration == 1.0 and imported.report["cut"] == 1


def spoken_after_silence(path: Path, rate: int = 16_000) -> Path:
    """One second of quiet noise, half a second of tone, one of noise again."""
    noise = np.random.default_rng(1).normal(0, 1e-3, int(2.5 * rate))
    noise[rate : rate * 3 // 2] += 0.5 * np.sin(2 * np.pi * 220 * np.arange(rate // 2) / rate)
    soundfile.write(path, noise, rate)
    return path


@pytest.mark.parametrize("copy", [True, False])
def test_silence_around_the_voice_is_cut_off_where_that_is_asked(copy, ravdess, tmp_path):
    spoken_after_silence(ravdess / "Actor_01/03-01-01-01-01-01-01.wav", rate=16_000 if copy else 48_000)
    whole, trimmed = (run(tmp_path, copy=copy, trim_below=b).manifests["ravdess.test"][0] for b in (None, 40))
    assert whole.duration == 2.5 and trimmed.duration == pytest.approx(0.7, abs=0.03)
    sound = load_audio(trimmed.audio, tmp_path / "data/laptop")
    assert len(sound) == pytest.approx(trimmed.duration * 16_000, abs=8)
    loud = np.flatnonzero(np.abs(sound) > 0.1) / 16_000
    assert loud[0] == pytest.approx(0.1, abs=0.03) and loud[-1] == pytest.approx(0.6, abs=0.03)


def test_other_speeds_are_in_training_splits_only(ravdess, tmp_path):
    trees.put(ravdess / "Actor_01/03-01-01-01-01-01-01.wav", seconds=1.0)
    imported, root = run(tmp_path, speeds=[0.8, 1.25]), tmp_path / "data/laptop"
    assert imported.report["utterances"] == 864 and imported.report["at_other_speeds"] == 2 * 864
    for stem, rows in imported.manifests.items():
        names = {row.id for row in rows}
        assert len(names) == len(rows)
        assert sum("-at-" in name for name in names) == (len(rows) * 2 // 3 if stem.endswith(".train") else 0)
    train = next(
        rows for stem, rows in imported.manifests.items() if stem.endswith("train") and "-01" in rows[0].id[-3:]
    )
    said = {row.id: row for row in train if row.id.startswith("ravdess-03-01-01-01-01-01-01")}
    assert {name[len("ravdess-03-01-01-01-01-01-01") :]: row.duration for name, row in said.items()} == {
        "": 1.0,
        "-at-0.8": 1.25,
        "-at-1.25": 0.8,
    }
    assert all(len(load_audio(row.audio, root)) == round(row.duration * 16_000) for row in said.values())
    with pytest.raises(StudyError, match="set `copy` to true"):
        run(tmp_path, speeds=[0.9], copy=False)


def test_no_threshold_takes_a_silent_clip_away(ravdess, tmp_path):
    soundfile.write(ravdess / "Actor_01/03-01-01-01-01-01-01.wav", np.zeros(8000), 16_000)
    assert run(tmp_path, trim_below=30).manifests["ravdess.test"][0].duration == 0.5


def test_a_missing_actor_is_counted_found_against_expected(ravdess, tmp_path):
    shutil.rmtree(ravdess / "Actor_07")
    with pytest.raises(StudyError) as error:
        run(tmp_path)
    for words in (
        "1,380 of 1,440 clips can be used (Actor_07: 0 of 60)",
        "CC BY-NC-SA 4.0",
        "ravdess.incomplete to true",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "data/laptop").exists()
    imported = run(tmp_path, incomplete=True)
    assert imported.report["utterances"] == 828 and "Actor_07: 0 of 60" in imported.report["complaint"]


def test_damaged_files_are_counted_by_their_fault_and_may_be_left_out(ravdess, tmp_path):
    short, junk, pointer, empty = (ravdess / f"Actor_0{n}/03-01-05-01-01-01-0{n}.wav" for n in (1, 2, 3, 4))
    short.write_bytes(short.read_bytes()[:-200])
    junk.write_bytes(b"<html>404</html>" * 9)
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    soundfile.write(empty, np.zeros(0), 16_000)
    (ravdess / "Actor_05/03-01-05-01-01-01-05.wav").rename(ravdess / "Actor_05/angry.wav")
    (ravdess / "Actor_06/03-01-05-01-01-01-06.wav").rename(ravdess / "Actor_06/03-01-05-01-01-01-24.wav")
    with pytest.raises(StudyError) as error:
        run(tmp_path)
    for words in (
        "1,434 of 1,440 clips",
        "Actor_01: 59 of 60",
        "and 2 more such parts",
        "1 file is cut short (the first: Actor_01/03-01-05-01-01-01-01.wav)",
        "2 files are no sound that can be read",
        "1 file is a git-lfs pointer",
        "2 files are with a name that does not parse (the first: Actor_05/angry.wav)",
    ):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert run(tmp_path, incomplete=True).report["utterances"] == 858


def test_sound_that_breaks_off_amid_the_file_is_found_when_it_is_copied(ravdess, tmp_path, monkeypatch):
    broken = ravdess / "Actor_01/03-01-05-01-01-01-01.wav"
    real = load_audio

    def decode(path):
        return real(path)[:10] if path == broken else real(path)

    monkeypatch.setattr("blsp_core.data.corpora.importing.load_audio", decode)
    with pytest.raises(StudyError, match="03-01-05-01-01-01-01.wav: cut short; get it again"):
        run(tmp_path)
    imported = run(tmp_path, incomplete=True)
    assert imported.report["utterances"] == 863 and imported.report["faults"] == {"cut short": 1}


def test_the_same_file_under_two_names_is_reported_and_stays_on_one_side(ravdess, tmp_path):
    one, other = "03-01-05-01-01-01-01", "03-01-05-01-01-01-24"  # by actors of the first and the last fold
    shutil.copy(ravdess / f"Actor_01/{one}.wav", ravdess / f"Actor_24/{other}.wav")
    imported = run(tmp_path)
    assert imported.report["same_file"] == [[f"ravdess-{one}", f"ravdess-{other}"]]
    for k in range(1, 7):
        sides = [
            {row.split for row in imported.manifests[f"ravdess.fold{k}.{split}"] if row.id.endswith((one, other))}
            for split in ("train", "validation", "test")
        ]
        assert len(set().union(*sides)) == 1
    assert imported.report["same_file_left_out"] == 2
    assert len(imported.manifests["ravdess.test"]) == 864


def row(number: int, speaker: str, split: str) -> Utterance:
    return Utterance("a.wav", "words", "sad", f"r-{number}", speaker, "en", 1.0, "r", split)


def test_the_later_split_keeps_the_copy():
    rows = [row(0, "a", "train"), row(1, "b", "validation"), row(2, "c", "test"), row(3, "c", "test")]
    assert [r.id for r in without_copies(rows, [{"r-0", "r-1"}])] == ["r-1", "r-2", "r-3"]
    assert [r.id for r in without_copies(rows, [{"r-0", "r-2", "r-3"}])] == ["r-1", "r-2", "r-3"]


@pytest.mark.parametrize(("count", "validation"), [(2, 1), (3, 2), (5, 1), (7, 3)])
def test_folds_test_everybody_once_and_never_who_trains_or_validates(count, validation):
    rows = [row(i, f"s{i % 7}", "train") for i in range(21)]
    made = folds_by_speaker(rows, count, validation)
    of = [
        {split: {r.speaker for r in fold if r.split == split} for split in ("train", "validation", "test")}
        for fold in made
    ]
    assert sorted(name for fold in of for name in fold["test"]) == [f"s{i}" for i in range(7)]
    for fold in of:
        assert len(fold["validation"]) == validation and fold["train"]
        assert sum(map(len, fold.values())) == 7


@pytest.mark.parametrize(("count", "validation"), [(1, 1), (8, 1), (2, 3), (7, 0)])
def test_folds_that_leave_a_split_empty_are_refused(count, validation):
    with pytest.raises(StudyError, match=f"folds: {count} of 7 speakers with {validation} for validation"):
        folds_by_speaker([row(i, f"s{i}", "train") for i in range(7)], count, validation)


def test_a_corpus_may_serve_whole_as_one_split_or_by_its_own(ravdess, tmp_path):
    assert {k: len(v) for k, v in run(tmp_path, split="test").manifests.items()} == {"ravdess.test": 864}
    own = {k: len(v) for k, v in run(tmp_path, folds=0, splits=["train", "test"]).manifests.items()}
    assert own == {"ravdess.train": 576, "ravdess.test": 144}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fold": 6}, "data.corpora.ravdess: 'fold' is no import option; there are folder"),
        ({"splits": ["dev"]}, "'dev' is no split"),
        ({"split": "dev"}, "'dev' is no split"),
        ({"split": "test", "folds": 6}, "both folds and a split"),
    ],
)
def test_a_wrong_import_option_is_named(settings, words, tmp_path):
    with pytest.raises(StudyError, match=words):
        run(tmp_path, **settings)


def test_an_unknown_corpus_is_named_with_those_that_there_are(tmp_path):
    with pytest.raises(StudyError, match="no reader for a corpus 'savee'; there are cremad, emodb"):
        import_corpus("savee", {}, tmp_path, tmp_path)


def test_plain_words_have_neither_case_nor_punctuation():
    assert plain_words("It’s eleven o'clock -- “Kids”, 2 of them!") == "it's eleven o'clock kids 2 of them"
