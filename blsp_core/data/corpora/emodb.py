"""EmoDB, the Berlin Database of Emotional Speech: ten German sentences, ten speakers (Burkhardt et al. 2005).

    wav/03a01Fa.wav    speaker, sentence, emotion (the first letter of the German word), version

Of 535 clips 339 are in the five classes, none in surprise; boredom, disgust and fear are left out.
"""

from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, speakers

SENTENCE = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute Abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read(folder: Path) -> Iterator[Clip | Fault]:
    for path, name in named(folder, "wav/*.wav", rf"(\d\d)({'|'.join(SENTENCE)})([WLEAFTN])([a-z]?)"):
        yield Clip(path, path.stem, name[3], SENTENCE[name[2]], name[1], "wav") if name else Fault(path, UNPARSED)


CORPUS = Corpus(
    name="emodb",
    source="http://emodb.bilderbar.info, the download of all files",
    licence="free of charge, terms on its page",
    language="de",
    labels={"N": "neutral", "F": "happy", "T": "sad", "W": "angry"},
    left_out=("L", "E", "A"),
    expected={"wav": 535},
    kept={"all": 339},
    read=read,
    splits=speakers(validation=("13", "15"), test=("12", "14", "16")),  # women and men in both
)
