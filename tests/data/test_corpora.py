"""Every reader, on a small folder in its corpus's true layout."""

from collections import Counter
from dataclasses import replace

import pytest
import trees

from blsp_core.data.corpora import CORPORA
from blsp_core.data.corpora.checks import check_folder
from blsp_core.data.corpora.importing import import_corpus
from blsp_core.data.emotions import EMOTIONS
from blsp_core.errors import StudyError

# for each utterance of a tree: corpus, emotion, split, speaker, language, the beginning of the text
WANTED = """
cremad      angry    train      1001      en It's eleven o'clock.
cremad      happy    test       1091      en Maybe tomorrow
cremad      neutral  validation 1075      en Don't forget a jacket.
emodb       angry    validation 13        de Die wird auf dem Platz
emodb       happy    train      03        de Der Lappen
emodb       neutral  test       16        de Das will sie
nemo        angry    train      KD0       pl „Ród smoka”
nemo        surprise test       WR0       pl Ucho wykrywa dźwięki.
esd         angry    train      0001      zh 打远一看\u2028它们
esd         happy    train      0011      en The nine the eggs, I keep.
esd         neutral  test       0020      en It’s no use.
iemocap     angry    validation Session4F en No, you don't.
iemocap     happy    test       Session5M en I'm getting married.
iemocap     neutral  train      Session1F en Excuse me.
meld        neutral  test       Mark      en Why?
meld        sad      train      Chandler  en Oh, all right.
meld        surprise validation Monica    en You’re here!
librispeech none     test       61        en He began
librispeech none     train      103       en He began a\x85confused complaint
librispeech none     validation 84        en He began
sdeval      angry    test       female1   en Water harms
sdeval      happy    test       W023      en Will you
sdeval      sad      test       Actor_01  en Kids are
"""


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """Makes a corpus's tree; the corpus then expects just what the tree has."""

    def make(name):
        folder = tmp_path / "data/corpora" / name
        trees.TREES[name](folder)
        corpus = replace(CORPORA[name], expected=dict.fromkeys(CORPORA[name].expected, 0), kept={})
        parts = Counter(clip.part for clip in check_folder(corpus, folder).clips)
        monkeypatch.setitem(CORPORA, name, replace(corpus, expected=corpus.expected | parts))
        return folder

    return make


@pytest.mark.parametrize("name", [name for name in trees.TREES if name != "ravdess"])
def test_a_reader_finds_speaker_text_and_emotion_of_every_clip(name, complete, tmp_path):
    complete(name)
    imported = import_corpus(name, {}, tmp_path, tmp_path / "data/laptop")
    rows = sorted(sum(imported.manifests.values(), []), key=lambda row: (row.emotion, row.split))
    wanted = [line.split(maxsplit=5) for line in WANTED.split("\n") if line.startswith(name)]
    for row, (*fields, text) in zip(rows, wanted, strict=True):
        speaker = row.speaker.removeprefix(f"{name}-")
        assert [row.corpus, row.emotion or "none", row.split, speaker, row.language] == fields
        assert row.text.startswith(text)
    assert imported.report["complaint"] == "" and imported.report["utterances"] == len(wanted)


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_that_is_absent_or_of_something_else_is_an_error_with_source_and_licence(name, tmp_path):
    with pytest.raises(StudyError, match=f"data/corpora/{name} is not there.*symbolic link") as error:
        import_corpus(name, None, tmp_path, tmp_path)
    assert CORPORA[name].source in str(error.value) and CORPORA[name].licence in str(error.value)
    trees.put(tmp_path / "music/song.wav")
    with pytest.raises(StudyError, match=f"holds none of the .* clips of {name}|not complete"):
        import_corpus(name, {"folder": str(tmp_path)}, tmp_path, tmp_path)


def test_what_a_corpus_says_of_itself_fits_together_and_is_what_was_published():
    for corpus in CORPORA.values():
        assert set(corpus.labels.values()) <= {*EMOTIONS, ""} and not set(corpus.left_out) & set(corpus.labels)
        assert set(corpus.splits.values()) <= {"validation", "test"}
        assert set(corpus.kept) <= {"all", "train", "validation", "test"}
        assert sum(corpus.kept.values()) <= sum(corpus.expected.values())
    assert CORPORA["ravdess"].kept["all"] == 864 and sum(CORPORA["ravdess"].expected.values()) == 1440
    assert CORPORA["iemocap"].kept["test"] == 1241 and sum(CORPORA["iemocap"].expected.values()) == 10_039
    assert CORPORA["sdeval"].kept["test"] == 884 and sum(CORPORA["sdeval"].expected.values()) == 1289
    assert CORPORA["meld"].kept["test"] == 2492 and CORPORA["meld"].expected["test"] == 2610


def test_films_without_their_sound_come_with_the_command_that_makes_it(complete, tmp_path):
    sound = next(complete("meld").rglob("dia3_utt5.wav"))
    sound.rename(sound.with_suffix(".mp4"))
    with pytest.raises(StudyError, match=r"\(test: 1 of 2\); 1 file is with a film only \(`ffmpeg -i X.mp4 -ac 1 -ar"):
        import_corpus("meld", {}, tmp_path, tmp_path)


def test_parts_of_a_corpus_are_enough_where_they_are_named(complete, tmp_path, monkeypatch):
    complete("librispeech")
    expected = CORPORA["librispeech"].expected | {"train-other-500": 148_688}
    monkeypatch.setitem(CORPORA, "librispeech", replace(CORPORA["librispeech"], expected=expected))
    with pytest.raises(StudyError, match="3 of 148,691 clips can be used .train-other-500: 0 of 148,688"):
        import_corpus("librispeech", {}, tmp_path, tmp_path)
    imported = import_corpus("librispeech", {"parts": ["dev-clean"]}, tmp_path, tmp_path / "out")
    assert list(imported.manifests) == ["librispeech.validation"]
    with pytest.raises(StudyError, match="parts: no part 'dev-dirty'; there are train-clean-100"):
        import_corpus("librispeech", {"parts": ["dev-dirty"]}, tmp_path, tmp_path)


def test_other_labels_than_the_published_and_clips_without_sound_or_text_are_counted(complete, tmp_path, monkeypatch):
    folder = complete("iemocap")
    monkeypatch.setitem(CORPORA, "iemocap", replace(CORPORA["iemocap"], kept={"test": 3}))
    with pytest.raises(StudyError, match="1 utterances with a wanted label in test, expected are 3"):
        import_corpus("iemocap", {}, tmp_path, tmp_path)
    next(folder.rglob("Ses05F_impro03_M012.wav")).unlink()
    words = next(folder.rglob("transcriptions/Ses01F_impro01.txt"))
    words.write_text("Ses01F_impro01_M000 [006.2901-008.2357]: Do you have your forms?\n")
    with pytest.raises(StudyError, match="1 file is without a transcript .*1 file is listed in its tables, but with"):
        import_corpus("iemocap", {}, tmp_path, tmp_path)
    imported = import_corpus("iemocap", {"incomplete": True}, tmp_path, tmp_path)
    assert [row.emotion for rows in imported.manifests.values() for row in rows] == ["angry"]
