"""Three languages that the backbones know and neither stage of the study meets: plain sentences that tell no tone.

Subject, verb in the present, object, place or time: any choice of each makes a sentence.
"""

import itertools
import random
from dataclasses import dataclass
from functools import cache

from blsp_core.toy.grammar import Sentence


@dataclass(frozen=True)
class Language:
    """`code`: of ISO 639-1, and eSpeak NG's voice. `tones`: as often as they are listed."""

    code: str
    tones: tuple[str, ...]
    people: tuple[str, ...]
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    where: tuple[str, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        """All that its sentences are made of."""
        return self.people + self.verbs + self.objects + self.where


LANGUAGES = {
    # AESDD's role: three tones in equal shares
    "greek": Language(
        code="el",
        tones=("happy", "sad", "angry"),
        people=(
            "ο αδελφός μου", "η αδελφή μου", "ο γείτονάς μας", "η δασκάλα", "ο θείος μου", "η μητέρα μου",
            "ο φίλος μου", "η γιατρός",
        ),
        verbs=("βλέπει", "ψάχνει", "δείχνει", "αγοράζει", "φέρνει", "κρατάει"),
        objects=(
            "το βιβλίο", "τη βαλίτσα", "το ποδήλατο", "τη λάμπα", "το εισιτήριο", "την κιθάρα", "το τραπέζι",
            "τον χάρτη",
        ),
        where=("σήμερα", "το πρωί", "το βράδυ", "στο σπίτι", "στο χωριό", "κοντά στον σταθμό", "στο γραφείο"),
    ),
    # CaFE's role: one neutral to two of each other tone, as there
    "french": Language(
        code="fr",
        tones=("neutral", "happy", "sad", "angry", "surprise", "happy", "sad", "angry", "surprise"),
        people=(
            "mon frère", "ma sœur", "notre voisin", "la directrice", "le professeur", "ma cousine", "mon oncle",
            "le facteur",
        ),
        verbs=("regarde", "cherche", "montre", "achète", "apporte", "garde"),
        objects=(
            "le livre", "la valise", "le vélo", "la lampe", "le billet", "la guitare", "la table", "le tapis",
        ),
        where=("ce matin", "ce soir", "aujourd'hui", "à la maison", "au village", "près de la gare", "au bureau"),
    ),
    # RESD's role: four tones in about equal shares
    "russian": Language(
        code="ru",
        tones=("neutral", "happy", "sad", "angry"),
        people=(
            "мой брат", "моя сестра", "наш сосед", "учительница", "мой дядя", "моя мама", "мой друг", "директор",
        ),
        verbs=("видит", "ищет", "показывает", "покупает", "приносит", "рисует"),
        objects=("книгу", "чемодан", "велосипед", "лампу", "билет", "гитару", "стол", "карту"),
        where=("сегодня", "утром", "вечером", "дома", "в деревне", "у вокзала", "в офисе"),
    ),
}  # fmt: skip


def draw_foreign(rng: random.Random, corpus: str, split: str) -> Sentence:
    """A random sentence of the split in the language of the corpus, a key of `LANGUAGES`; it may recur."""
    return rng.choice(_sentences(corpus, split))


@cache
def _sentences(corpus: str, split: str) -> list[Sentence]:
    """All of them, the place or time at the end or at the front."""
    language = LANGUAGES[corpus]
    parts = itertools.product(language.people, language.verbs, language.objects, language.where)
    orders = [order for who, *rest, where in parts for order in ((who, *rest, where), (where, who, *rest))]
    sentences = [Sentence(" ".join(order)) for order in orders]
    return [sentence for sentence in sentences if sentence.split == split]
