"""Small folders in the true layouts of corpora: every file its own tenth of a second of noise."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import soundfile


def put(path: Path, seconds: float = 0.12, rate: int = 16_000, channels: int = 1) -> Path:
    """A sound file that differs from every other by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = np.random.default_rng(list(str(path).encode()))
    soundfile.write(path, seed.normal(0, 0.1, (int(seconds * rate), channels)), rate)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def ravdess(folder: Path) -> None:
    """60 clips an actor, neutral without a strong intensity."""
    for actor, emotion, intensity, *said in product(range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2)):
        if (emotion, intensity) != (1, 2):
            fields = (3, 1, emotion, intensity, *said, actor)
            put(folder / f"Actor_{actor:02}" / ("-".join(f"{field:02}" for field in fields) + ".wav"))


def cremad(folder: Path) -> None:
    for name in ("1001_IEO_ANG_HI", "1001_TSI_FEA_XX", "1075_DFA_NEU_XX", "1091_MTI_HAP_X"):
        put(folder / f"AudioWAV/{name}.wav")


def emodb(folder: Path) -> None:
    for name in ("03a01Fa", "13b10Wb", "16a02N", "08a05La"):
        put(folder / f"wav/{name}.wav")


def nemo(folder: Path) -> None:
    lines = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    for speaker, emotion, number, text in (
        ("WR0", "surprised", 64, "Ucho wykrywa dźwięki."),
        ("KD0", "anger", 2, "„Ród smoka” to serial."),
        ("KD0", "fear", 2, "Nie."),
    ):
        name = f"{speaker}_{emotion}_{number}.wav"
        put(folder / "samples" / name)
        lines.append(f"{name}\t{emotion}\t{text}\t{text.lower()}\t        {speaker}\tmale\t23")
    write(folder / "data.tsv", "\n".join(lines), "utf-8-sig")


def esd(folder: Path) -> None:
    below = folder / "Emotion Speech Dataset"
    put(below / "0001/Angry/train/0001_000351.wav")
    put(below / "0011/Happy/0011_000702.wav")
    put(below / "0020/Neutral/evaluation/0020_000001.wav")
    write(below / "0001/0001.txt", "0001_000351\t打远一看\u2028它们的确很是美丽，\t生气\r\n", "gb18030")
    write(below / "0011/0011.txt", "0011_000702\tThe nine the eggs, I keep.\tHappy\n", "utf-16")
    write(below / "0020/0020.txt", "0020_000001 It’s no use. Neutral\n", "cp1252")


def iemocap(folder: Path) -> None:
    dialogs = {
        "Ses01F_impro01": [("F000", "neu", "Excuse\u2028me."), ("M000", "fru", "Do you have your forms?")],
        "Ses04M_script01_1": [("F003", "ang", "[LAUGHTER] No, you don't.")],
        "Ses05F_impro03": [("M012", "exc", "I'm getting married."), ("F001", "sur", "What?")],
    }
    for dialog, turns in dialogs.items():
        session = folder / f"IEMOCAP_full_release/Session{dialog[4]}"
        labels, words = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n", ""
        for turn, label, text in turns:
            put(session / f"sentences/wav/{dialog}/{dialog}_{turn}.wav")
            labels += f"[6.2901 - 8.2357]\t{dialog}_{turn}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n\n"
            words += f"{dialog}_{turn} [006.2901-008.2357]: {text}\nM: Yeah.\n"
        write(session / f"dialog/EmoEvaluation/{dialog}.txt", labels)
        write(session / f"dialog/transcriptions/{dialog}.txt", words)


def meld(folder: Path) -> None:
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    rows = {
        "train": '1,"Oh, all right.",Chandler,sadness,negative,125,2,1,1,0,0\n2,Hey.,Ross,joy,positive,125,3,1,1,0,0\n',
        "dev": "1,You\x92re here!,Monica,surprise,positive,0,0,1,1,0,0\n",
        "test": "1,Why?,Mark,neutral,neutral,0,0,3,19,0,0\n2,Ugh.,Ross,disgust,negative,3,5,5,15,0,0\n",
    }
    for part, lines in rows.items():
        write(folder / f"MELD.Raw/{part}_sent_emo.csv", head + lines)
    train, dev, test = "train/train_splits", "dev/dev_splits_complete", "output_repeated_splits_test"
    for clip in (f"{train}/dia125_utt2", f"{dev}/dia0_utt0", f"{test}/dia0_utt0", f"{test}/dia3_utt5"):
        put(folder / f"MELD.Raw/{clip}.wav")


def librispeech(folder: Path) -> None:
    for name in ("train-clean-100/103-1240-0000", "dev-clean/84-121123-0000", "test-clean/61-70968-0000"):
        part, speaker, chapter, _ = name.replace("/", "-").rsplit("-", 3)
        below, utterance = folder / f"LibriSpeech/{part}/{speaker}/{chapter}", name.split("/")[1]
        put(below / f"{utterance}.flac")
        write(below / f"{speaker}-{chapter}.trans.txt", f"\ufeff{utterance} HE BEGAN A\x85CONFUSED COMPLAINT\n")


def sdeval(folder: Path) -> None:
    clips = {
        "RAVDESS-Speech/Actor_01/03-01-04-02-01-01-01": ("sad", "Kids are talking by the door"),
        "JL_corpus/female1_angry_10a_1": ("angry", "Water harms the boy."),
        "MEAD/MEAD_wav/W023/audio/happy/level_3/013": ("happy", "Will you tell me why?"),
        "MEAD/MEAD_wav/M003/audio/fear/level_3/003": ("fear", "No."),
    }
    rows = []
    for number, (path, (emotion, text)) in enumerate(clips.items()):
        put(folder / f"audio_data/{path}.wav")
        row = {"wav_path": f"{path}.wav", "transcript": text, "utt_id": f"u{number}", "info": emotion}
        rows.append(row | {"target": [{"reply": "Oh.", "reply_emotion": "joy"}], "dataset_name": path.split("/")[0]})
    write(folder / "SD-Eval/data/test-emo.json", json.dumps(rows))


TREES = {make.__name__: make for make in (cremad, emodb, nemo, esd, iemocap, meld, librispeech, sdeval, ravdess)}
