"""Three languages that the toy LLM and Whisper are trained on and the study's training data do not have.

Sentences are subject, verb, object, place or time, in any combination; their words carry no emotion.
"""

import itertools
import random
from functools import cache
from typing import NamedTuple

from blsp_core.toy.grammar import Sentence


class Language(NamedTuple):
    code: str  # ISO 639-1, also eSpeak NG's voice
    emotions: list[str]  # in the proportions in which they are listed
    parts: list[list[str]]  # people, verbs, objects, places and times


def _language(code: str, emotions: str, *parts: str) -> Language:
    return Language(code, emotions.split(), [part.split(", ") for part in parts])


LANGUAGES = {
    # in the role of AESDD: three emotions in equal shares
    "greek": _language(
        "el", "happy sad angry",
        "ο αδελφός μου, η αδελφή μου, ο γείτονάς μας, η δασκάλα, ο θείος μου, η μητέρα μου, ο φίλος μου, η γιατρός",
        "βλέπει, ψάχνει, δείχνει, αγοράζει, φέρνει, κρατάει",
        "το βιβλίο, τη βαλίτσα, το ποδήλατο, τη λάμπα, το εισιτήριο, την κιθάρα, το τραπέζι, τον χάρτη",
        "σήμερα, το πρωί, το βράδυ, στο σπίτι, στο χωριό, κοντά στον σταθμό, στο γραφείο",
    ),
    # in the role of CaFE: one neutral to two of each other emotion
    "french": _language(
        "fr", "neutral happy sad angry surprise happy sad angry surprise",
        "mon frère, ma sœur, notre voisin, la directrice, le professeur, ma cousine, mon oncle, le facteur",
        "regarde, cherche, montre, achète, apporte, garde",
        "le livre, la valise, le vélo, la lampe, le billet, la guitare, la table, le tapis",
        "ce matin, ce soir, aujourd'hui, à la maison, au village, près de la gare, au bureau",
    ),
    # in the role of RESD: four emotions in nearly equal shares
    "russian": _language(
        "ru", "neutral happy sad angry",
        "мой брат, моя сестра, наш сосед, учительница, мой дядя, моя мама, мой друг, директор",
        "видит, ищет, показывает, покупает, приносит, рисует",
        "книгу, чемодан, велосипед, лампу, билет, гитару, стол, карту",
        "сегодня, утром, вечером, дома, в деревне, у вокзала, в офисе",
    ),
}  # fmt: skip


def draw_foreign(rng: random.Random, corpus: str, split: str) -> Sentence:
    """A random sentence of the split in the language of the corpus, a key of `LANGUAGES`; it may recur."""
    return rng.choice(_sentences(corpus, split))


@cache
def _sentences(corpus: str, split: str) -> list[Sentence]:
    """All sentences of the split, with the place or time last or first."""
    choices = itertools.product(*LANGUAGES[corpus].parts)
    orders = (order for who, *rest, where in choices for order in ((who, *rest, where), (where, who, *rest)))
    return [sentence for order in orders if (sentence := Sentence(" ".join(order))).split == split]
