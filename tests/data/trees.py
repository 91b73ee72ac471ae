"""Small folders in the true layouts of corpora: every file its own 50 ms of noise."""

from pathlib import Path

import numpy as np
import soundfile


def put(path: Path, seconds: float = 0.05, rate: int = 16_000, channels: int = 1) -> Path:
    """A sound file that differs from every other by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = np.random.default_rng(list(str(path).encode()))
    soundfile.write(path, seed.normal(0, 0.1, (int(seconds * rate), channels)), rate)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def ravdess(folder: Path, actors=range(1, 25), seconds: float = 0.02) -> Path:
    """Everything that the speech of RAVDESS has: 60 clips an actor, neutral without a strong intensity."""
    for actor in actors:
        for emotion in range(1, 9):
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement in (1, 2):
                    for repetition in (1, 2):
                        name = f"03-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}.wav"
                        put(folder / f"Actor_{actor:02}" / name, seconds)
    return folder


def cremad(folder: Path) -> Path:
    names = ("1001_IEO_ANG_HI", "1001_TSI_FEA_XX", "1075_DFA_NEU_XX", "1091_MTI_HAP_X")
    for name in names:
        put(folder / "AudioWAV" / f"{name}.wav")
    return folder


def emodb(folder: Path) -> Path:
    for name in ("03a01Fa", "13b10Wb", "16a02N", "08a05La"):
        put(folder / "wav" / f"{name}.wav")
    return folder


def nemo(folder: Path) -> Path:
    rows = [
        ("WR0", "surprised", 64, "Ucho wykrywa dźwięki."),
        ("KD0", "anger", 2, "„Ród smoka” to serial."),
        ("KD0", "fear", 2, "Nie."),
    ]
    lines = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    for speaker, emotion, number, text in rows:
        name = f"{speaker}_{emotion}_{number}.wav"
        put(folder / "samples" / name)
        lines.append(f"{name}\t{emotion}\t{text}\t{text.lower()}\t        {speaker}\tmale\t23")
    write(folder / "data.tsv", "\n".join(lines))
    return folder


def esd(folder: Path) -> Path:
    below = folder / "Emotion Speech Dataset"
    put(below / "0001/Angry/train/0001_000351.wav")
    put(below / "0011/Happy/0011_000702.wav")
    put(below / "0020/Neutral/evaluation/0020_000001.wav")
    write(below / "0001/0001.txt", "0001_000351\t打远一看，它们的确很是美丽，\t生气\r\n", "gb18030")
    write(below / "0011/0011.txt", "0011_000702\tThe nine the eggs, I keep.\tHappy\n", "utf-16")
    write(below / "0020/0020.txt", "0020_000001 It’s no use. Neutral\n", "cp1252")
    return folder


def iemocap(folder: Path) -> Path:
    turns = {
        "Ses01F_impro01_F000": ("neu", "Excuse me."),
        "Ses01F_impro01_M000": ("fru", "Do you have your forms?"),
        "Ses04M_script01_1_F003": ("ang", "[LAUGHTER] No, you don't."),
        "Ses05F_impro03_M012": ("exc", "I'm getting married."),
        "Ses05F_impro03_F001": ("sur", "What?"),
    }
    for turn, (label, text) in turns.items():
        dialog = turn.rsplit("_", 1)[0]
        session = folder / "IEMOCAP_full_release" / f"Session{turn[4]}"
        put(session / "sentences/wav" / dialog / f"{turn}.wav")
        labels, words = (session / "dialog" / kind / f"{dialog}.txt" for kind in ("EmoEvaluation", "transcriptions"))
        head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        before = labels.read_text() if labels.is_file() else head
        line = f"[6.2901 - 8.2357]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n\n"
        write(labels, before + line)
        said = words.read_text() if words.is_file() else ""
        write(words, said + f"{turn} [006.2901-008.2357]: {text}\nM: Yeah.\n")
    return folder


def meld(folder: Path) -> Path:
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    rows = {
        "train": '1,"Oh, all right.",Chandler,sadness,negative,125,2,1,1,0,0\n2,Hey.,Ross,joy,positive,125,3,1,1,0,0\n',
        "dev": "1,You\x92re here!,Monica,surprise,positive,0,0,1,1,0,0\n",
        "test": "1,Why?,Mark,neutral,neutral,0,0,3,19,0,0\n2,Ugh.,Ross,disgust,negative,3,5,5,15,0,0\n",
    }
    places = {"train": "train/train_splits", "dev": "dev/dev_splits_complete", "test": "output_repeated_splits_test"}
    for part, lines in rows.items():
        write(folder / "MELD.Raw" / f"{part}_sent_emo.csv", head + lines)
    for part, clip in (("train", "dia125_utt2"), ("dev", "dia0_utt0"), ("test", "dia0_utt0"), ("test", "dia3_utt5")):
        put(folder / "MELD.Raw" / places[part] / f"{clip}.wav")
    return folder


def librispeech(folder: Path) -> Path:
    below = folder / "LibriSpeech"
    for part, name in (
        ("train-clean-100", "103-1240-0000"),
        ("dev-clean", "84-121123-0000"),
        ("test-clean", "61-70968-0000"),
    ):
        speaker, chapter, _ = name.split("-")
        put(below / part / speaker / chapter / f"{name}.flac")
        write(
            below / part / speaker / chapter / f"{speaker}-{chapter}.trans.txt",
            f"{name} HE BEGAN A CONFUSED COMPLAINT\n",
        )
    return folder


TREES = {make.__name__: make for make in (cremad, emodb, nemo, esd, iemocap, meld, librispeech, ravdess)}
