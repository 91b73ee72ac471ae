"""The emotions of the study, and how the name of one is read from a free answer."""

import re

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprise")
SYNONYMS = {
    "neutral": "neutral neutrality neutrally emotionless unemotional calm",
    "happy": "happy happiness happily joy joyful joyous cheerful cheerfulness cheery glad delighted excited excitement",
    "sad": "sad sadness sadly unhappy unhappiness sorrow sorrowful melancholy depressed",
    "angry": "angry anger angrily mad furious fury outraged rage irate",
    "surprise": "surprise surprised surprising surprisingly astonished astonishment amazed amazement shocked",
}
_EMOTION_OF = {word: emotion for emotion, words in SYNONYMS.items() for word in words.split()}
_DENIALS = {"not", "no", "never", "neither", "nor", "without", "cannot"}
_PAIRED_DENIALS = {("rather", "than"), ("instead", "of"), ("lack", "of")}
_SCOPE = 3  # words after a negation that it denies: "does not sound very happy"


def parse_emotion(text: str) -> str | None:
    """The one emotion of `EMOTIONS` that an answer names, or None.

    Reads free sentences ("The speaker sounds cheerful."). A denied emotion ("not sad", "rather than sad") is not
    named. An answer that names none, or more than one, is None: an unparsed answer is an error, never a guess.
    """
    named = set()
    for clause in re.split(r"[.,;:!?\n]|\bbut\b", text.lower().replace("’", "'")):
        words = re.findall(r"[a-z]+(?:'[a-z]+)?", clause.replace("not only", "").replace("n't", " not"))
        for place, word in enumerate(words):
            before = words[max(0, place - _SCOPE) : place]
            denied = _DENIALS & set(before) or _PAIRED_DENIALS & set(zip(before, before[1:], strict=False))
            if word in _EMOTION_OF and not denied:
                named.add(_EMOTION_OF[word])
    return named.pop() if len(named) == 1 else None
