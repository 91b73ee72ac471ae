"""The claims of the paper as data: what is compared with what, and which test decides. The tests are in `claims`.

A claim is a set of comparisons between two systems on test sets of the paper; the miniature answers for a test set with
the corpus that mirrors it.
"""

from dataclasses import dataclass

OPEN_QUESTION = "open question"  # where the paper makes no claim
CONTROL = "control"  # the corpus whose voices speak in tones drawn at random: no test set, see `controls`
# The corpus of the miniature that plays the part of a test set of the paper; other scales use the set's own name.
MIRRORS = {
    "iemocap": "acted", "meld": "talk", "ravdess": "statements", "aesdd": "greek", "cafe": "french",
    "resd": "russian", "speechalpaca": "requests",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One system against another, the difference averaged over test sets of the paper."""

    system: str
    rival: str
    sets: tuple[str, ...]
    # wa; ua where a mere habit of answering could win, as neutral is rare; quality, empathy; of dialogues preference or
    # unbeaten, see `pairwise`
    metric: str


@dataclass(frozen=True)
class Claim:
    id: str
    title: str  # for charts
    claim: str  # in words
    where: str  # the table or figure of the paper, or OPEN_QUESTION
    test: str  # a key of TESTS
    comparisons: tuple[Comparison, ...]  # all must hold; of a "differs" one is enough
    table: str = ""  # the head of its keys in published.json

    @property
    def published_keys(self) -> list[str]:
        """The published numbers that bear on it, in the order of the comparisons, each once."""
        if not self.table:
            return []
        if self.table == "figure3":
            return [f"figure3.dialogue.{c.system}.vs.{c.rival}" for c in self.comparisons]
        keys = []
        for c in self.comparisons:
            columns = [_column(name, c.metric) for name in c.sets] if len(c.sets) == 1 else [*c.sets, "average"]
            keys += [f"{self.table}.{column}.{system}" for column in columns for system in (c.system, c.rival)]
        return list(dict.fromkeys(keys))


def _column(name: str, metric: str) -> str:
    return name if name != "speechalpaca" else {"wa": "ser", "ua": "ser"}.get(metric, metric)


def _against(rivals: str, sets: str, metrics: str = "wa", system: str = "blsp-emo") -> tuple[Comparison, ...]:
    """A comparison with every rival on every set under every metric."""
    return tuple(
        Comparison(system, rival, (name,), metric)
        for rival in rivals.split()
        for name in sets.split()
        for metric in metrics.split()
    )


def _on_average(rivals: str, sets: str) -> tuple[Comparison, ...]:
    return tuple(Comparison("blsp-emo", rival, tuple(sets.split()), "wa") for rival in rivals.split())


TEXT = "text+llm whisper+llm"
CLASSIFIERS = "wav2vec2+llm hubert+llm wavlm+llm"
ABLATED = "table4-5"

CLAIMS = (
    Claim(
        "in-domain-text", "in domain: better than text",
        "On the corpora it was trained on, BLSP-Emo names emotions better than an LLM that has only the words.",
        "Table 1", "greater", _against(TEXT, "iemocap meld"), "table1",
    ),
    Claim(
        "in-domain-classifiers", "in domain: better than classifiers",
        "On those corpora it names emotions better than fine-tuned speech classifiers.",
        "Table 1", "greater", _against(CLASSIFIERS, "iemocap meld"), "table1",
    ),
    Claim(
        "in-domain-salmonn", "better than SALMONN",
        "It names emotions better than SALMONN, a multi-task speech LLM, in domain and out of it.",
        "Table 1", "greater", _against("salmonn", "iemocap meld ravdess"), "table1",
    ),
    Claim(
        "out-of-domain-text", "statements: better than text",
        "On acted neutral statements by unseen speakers it names emotions better than an LLM that has only the words.",
        "Table 1", "greater", _against(TEXT, "ravdess", "wa ua"), "table1",
    ),
    Claim(
        "out-of-domain-classifiers", "statements: better than classifiers",
        "On such statements it names emotions better than fine-tuned speech classifiers.",
        "Table 1", "greater", _against(CLASSIFIERS, "ravdess"), "table1",
    ),
    Claim(
        "semantic-stage-alone", "stage 2 makes it hear",
        "The semantic stage alone (BLSP) does not make the LLM hear emotions; the emotion stage does.",
        "Table 1", "greater", _against("blsp", "iemocap"), "table1",
    ),
    Claim(
        "requests-emotion", "requests: names the tone",
        "On spoken requests it names the speaker's emotion better than the text systems and BLSP.",
        "Table 2", "greater", _against(TEXT + " blsp", "speechalpaca"), "table2",
    ),
    Claim(
        "requests-quality", "requests: quality is kept",
        "Its replies to spoken requests keep the quality of the LLM's replies to the true words.",
        "Table 2", "kept", _against("text+llm", "speechalpaca", "quality"), "table2",
    ),
    Claim(
        "requests-empathy", "requests: empathy gained",
        "Its replies meet the speaker's tone better than replies to the words alone.",
        "Table 2", "greater", _against(TEXT, "speechalpaca", "empathy"), "table2",
    ),
    Claim(
        "labels-only", "labels alone: replies lost",
        "Trained to name the emotion only (BLSP-SER), it loses both the quality and the empathy of its replies.",
        "Table 2", "greater", _against("blsp-ser", "speechalpaca", "quality empathy"), "table2",
    ),
    Claim(
        "dialogue-unbeaten", "dialogues: Whisper+LLM does not win",
        "In dialogues of several turns its reply is at least as good as that of Whisper+LLM in most cases.",
        "Figure 3", "greater", _against("whisper+llm", "dialogue", "unbeaten"), "figure3",
    ),
    Claim(
        "dialogue-classifier", "dialogues: beats WavLM+LLM",
        "In such dialogues its replies are preferred to those of WavLM+LLM: more wins than losses.",
        "Figure 3", "greater", _against("wavlm+llm", "dialogue", "preference"), "figure3",
    ),
    Claim(
        "cross-lingual", "three languages: better than rivals",
        "It names emotions better than Whisper+LLM, the classifiers and SALMONN, on average over three languages that "
        "neither stage was trained on.",
        "Table 3", "greater", _on_average(f"whisper+llm {CLASSIFIERS} salmonn", "aesdd cafe resd"), "table3",
    ),
    Claim(
        "needs-semantic-stage", "semantic stage is needed",
        "Without the semantic stage both emotion recognition and the quality of replies suffer.",
        "Tables 4 and 5", "greater",
        _against("no-semantic-stage", "iemocap") + _against("no-semantic-stage", "speechalpaca", "quality"), ABLATED,
    ),
    Claim(
        "needs-emotion-loss", "emotion loss is needed",
        "Without the emotion loss it names emotions less well.",
        "Tables 4 and 5", "greater", _against("no-emotion-loss", "iemocap ravdess"), ABLATED,
    ),
    Claim(
        "emotion-loss-on-requests", "requests: no need of the emotion loss",
        "On spoken requests the emotion loss makes no difference to emotion recognition.",
        "Tables 4 and 5", "same", _against("no-emotion-loss", "speechalpaca"), ABLATED,
    ),
    Claim(
        "own-writer", "own continuations are better",
        "Targets written by the LLM itself serve better than targets written by another LLM.",
        "Tables 4 and 5", "greater",
        _against("other-writer", "iemocap ravdess") + _against("other-writer", "speechalpaca", "wa quality empathy"),
        ABLATED,
    ),
    Claim(
        "not-multitask", "better than multitask",
        "Emotion-aware continuations serve better than continuation and emotion recognition as two tasks.",
        "Tables 4 and 5", "greater",
        _against("multitask", "iemocap ravdess") + _against("multitask", "speechalpaca", "wa quality empathy"),
        ABLATED,
    ),
    Claim(
        "dialogue-cascade", "dialogues: beats Whisper+LLM",
        "In dialogues its replies are preferred to those of Whisper+LLM: more wins than losses.",
        OPEN_QUESTION, "greater", _against("whisper+llm", "dialogue", "preference"), "figure3",
    ),
    Claim(
        "encoder-in-stage-2", "encoder's learning matters",
        "Training the encoder in stage 2, as the paper does and the released script does not, changes recognition or "
        "replies.",
        OPEN_QUESTION, "differs",
        _on_average("frozen-encoder", "iemocap meld ravdess")
        + _against("frozen-encoder", "speechalpaca", "quality empathy"),
    ),
    Claim(
        "head-from-own-words", "head's beginning matters",
        "An emotion head that begins as the LLM's own words for the tones and learns slowly, not at random and fast, "
        "changes recognition or replies.",
        OPEN_QUESTION, "differs",
        _against("random-head", "iemocap meld ravdess speechalpaca")
        + _against("random-head", "speechalpaca", "quality empathy"),
    ),
    Claim(
        "shifted-kl", "shift of the KL matters",
        "Distilling the first response token, which the released loss forgets, changes the replies of the semantic "
        "stage's model.",
        OPEN_QUESTION, "differs",
        _against("released-kl", "speechalpaca", "quality", system="blsp"),
    ),
)  # fmt: skip
