"""What stands below every figure and above every table, to be understood without the text; and what is said instead
where there is nothing to show."""

_MEASURED = (
    "Measured: 95 % interval in brackets, after ± the spread over training runs where there are several. Paper: its "
    "own number on its own set, empty where unknown, with ? where the source is unsure. Compare the order of the rows, "
    "not the height of the numbers: the speech is not the same."
)
_MARKS = "quality and empathy of replies (measured: per cent; the paper: marks of GPT-4, 0-10)"
_SPLIT = "How the paper divides these columns between its Tables 4 and 5 is not known."
_ONE_RUN = "What another run of a variant that was trained once would give is in no interval."
_ADD = "was evaluated; name more corpora in the section `evaluation` of params.yaml and run `dvc repro`."

# name -> caption, with the names of what is filled in; and the sentence in its place
CAPTIONS = {
    "figure1_one_sentence": (
        "Figure 1. “{sentence}”, said in several tones by one test voice: waveform and log-mel spectrogram on common "
        "scales, and below them the replies of first training runs. A reply that is the same in every tone stands "
        "once across the page. The "
        "sentence was drawn before any system was trained.",
        "Figure 1 is absent: there is no sentence in several tones.",
    ),
    "figure2_method": (
        "Figure 2. The method in two stages, with the settings of this run{beside}. Solid borders mark what is "
        "trained, dashed "
        "ones what is frozen. Stage 1 draws what the LLM says after speech towards what it says after the transcript. "
        "Stage 2 trains on continuations which the LLM wrote itself when it was told the emotion in words.",
        "Figure 2 is absent: stages 1 and 2 were not both run.",
    ),
    "figure3_dialogues": (
        "Figure 3. The last reply of dialogues of several turns: how often BLSP-Emo's is preferred to a rival's, how "
        "often neither, how often the rival's, in per cent. Of the paper's own figure only the direction is known.",
        f"Figure 3 is absent: no corpus of dialogues {_ADD}",
    ),
    "figure3_numbers": (
        "The numbers of Figure 3, per cent; flips: verdicts that changed with the order of the replies. Paper: what is "
        "known of its own figure, in words. Means over training runs, after ± their spread.",
        f"The numbers of Figure 3 are absent: no corpus of dialogues {_ADD}",
    ),
    "table1": (
        f"Table 1. Naming the emotion, accuracy in per cent. {_MEASURED}",
        f"Table 1 is absent: none of its corpora {_ADD}",
    ),
    "table2": (
        f"Table 2. Spoken requests: naming the emotion (accuracy, per cent), {_MARKS}. {_MEASURED}",
        f"Table 2 is absent: no corpus of spoken requests {_ADD}",
    ),
    "table3": (
        "Table 3. Naming the emotion in three languages that neither stage was trained on, accuracy in per cent; the "
        f"average is the mean of the three. {_MEASURED} The backbones know some of these languages, as Whisper and "
        f"Qwen "
        "do.",
        f"Table 3 is absent: none of its corpora {_ADD}",
    ),
    "table4": (
        f"Table 4. Variants of stage 2: naming the emotion, accuracy in per cent. {_MEASURED} {_SPLIT}",
        f"Table 4 is absent: none of its corpora {_ADD}",
    ),
    "table5": (
        f"Table 5. Variants of stage 2 on spoken requests: naming the emotion (accuracy, per cent), {_MARKS}. "
        f"{_MEASURED} {_SPLIT}",
        f"Table 5 is absent: no corpus of spoken requests {_ADD}",
    ),
    "table6_corpora": (
        "Table 6. The speech of the study: who speaks, how much, and in which tones (per cent).",
        "Table 6 is absent: the study has no speech.",
    ),
    "table7_replies": (
        "Table 7. What every system, by its first training run, replies to “{sentence}” in several tones, word for "
        "word.",
        "Table 7 is absent: no system has answered the sentence of Figure 1.",
    ),
    "recognition": (
        "Naming the emotion: accuracy of every system on every corpus with its 95 % interval (dots), the paper's own "
        "number on the set that the corpus stands for, named in parentheses (diamonds, pale where its source is "
        "unsure), "
        "and the share of the most frequent emotion (dotted): what a system scores that always gives the same answer. "
        "Intervals know of other training runs only where a system has several.",
        f"The picture of Tables 1 to 3 is absent: no corpus {_ADD}",
    ),
    "recognition_variants": (
        "Naming the emotion, the variants of stage 2 beside BLSP-Emo itself: accuracy with 95 % intervals (dots), the "
        "paper's own numbers (diamonds), and the share of the most frequent emotion (dotted).",
        "The picture of the variants is absent: none was run; name them in `variants` of params.yaml.",
    ),
    "balanced": (
        "Naming the emotion, balanced accuracy (UA), per cent, with 95 % intervals in brackets and, after ±, the "
        "spread over training runs. The paper does not report it.",
        f"Balanced accuracy is absent: no corpus {_ADD}",
    ),
    "heads": (
        "Naming the emotion, accuracy in per cent: the LLM asked in words, and the auxiliary emotion head alone, on "
        "the same utterances; means over training runs, after ± their spread. The head is no part of the model's "
        "answers.",
        "The accuracy of emotion heads is absent: none of the systems evaluated has one.",
    ),
    "probe_layers": (
        "Naming the emotion by a straight line through mean and standard deviation over time of each layer of the "
        "frozen encoder: accuracy on the test split, of corpora in folds on all folds together. Layer 0 is what enters "
        "the first layer; the last is what the paper's adapter reads.",
        "The probe of every layer is absent: its results are of a time when only the last was probed; run `dvc repro "
        "probe`.",
    ),
    "unmet": (
        "Naming the emotion, accuracy in per cent with 95 % intervals over voices and runs, and the number of clips: "
        "on voices that some setting was chosen on, and on those that no trial was judged by.",
        "Accuracy on voices that no trial was judged by is absent: `paper.chosen_on` names none, or all, of those "
        "tested.",
    ),
    "confusions": (
        "Confusions on the corpus {corpus}: of the clips spoken in the emotion of the row, the per cent that were "
        "named as the emotion of the column. Empty cells are below half a per cent.",
        f"Confusions are absent: no corpus {_ADD}",
    ),
    "confusions_random": (
        "Confusions on the corpus {corpus}, a control whose voices speak in tones drawn by lot: of the clips whose "
        "*words* agree with the emotion of the row, the per cent that were named as the emotion of the column. A "
        "system "
        "that listens follows the voice and is wrong here.",
        f"Confusions are absent: no corpus {_ADD}",
    ),
    "learning_curves": (
        "Learning curves over the amount of emotional speech in stage 2: accuracy in naming the tone on each corpus "
        "(left), quality and empathy of replies (right), with 95 % intervals.",
        "Learning curves are absent: the variants share-25 and share-50 were not run.",
    ),
    "differences": (
        "Each variant less BLSP-Emo {runs}: points of per cent, 95 % interval, p adjusted by Holm's method for all "
        "comparisons of the table; * marks one below 0.05. " + _ONE_RUN,
        "Differences are absent: no variant was run; name them in `variants` of params.yaml.",
    ),
    "forest": (
        "Each variant less BLSP-Emo over all training runs, in points of per cent, with 95 % intervals: filled where "
        "the adjusted p is below 0.05; small ticks are the differences between single runs. " + _ONE_RUN,
        "Differences are absent: no variant was run; name them in `variants` of params.yaml.",
    ),
    "quality_empathy": (
        "Replies to spoken requests: the share with the right advice (quality) against the share that meets the "
        "speaker's tone (empathy), with 95 % intervals. Grey: told a random tone, the floor, and the true one, the "
        "ceiling.",
        f"Quality against empathy is absent: no corpus of spoken requests {_ADD}",
    ),
    "empathy_by_tone": (
        "Empathy tone by tone: of the requests spoken in a tone, the per cent whose reply meets it.",
        f"Empathy tone by tone is absent: no corpus of spoken requests {_ADD}",
    ),
    "fixed_words": (
        "What becomes of the reply when the tone changes and the words do not: all pairs of tones of every request, by "
        "whether the two replies differ and how many of them meet their speaker's tone, in per cent.",
        f"The effect of tone at fixed words is absent: no corpus of spoken requests {_ADD}",
    ),
    "embeddings": (
        "Mean speech embeddings of requests of the validation split, spoken in four tones, on their two principal "
        "axes, "
        "before stage 2 (BLSP) and after it (BLSP-Emo), first training run, coloured by the tone spoken. Below each "
        "panel: the share of tones that a linear "
        "classifier, trained on other speakers, reads off the 16 principal axes.",
        "The picture of speech embeddings is absent: the training of blsp and blsp-emo has kept none.",
    ),
    "emotion_words": (
        "Asked to name the tone: how likely the right answer is, as a share of the five answers that name one (a fifth "
        "is a guess), along stage 2; means over clips of the validation split, by the emotion spoken, and over "
        "training runs. The question itself is not trained.",
        "The probability of emotion words is absent: no training run has logged it.",
    ),
    "errors_by_sound": (
        "Errors in naming the emotion on the corpus {corpus} against loudness, pitch and pace: the clips of each tone "
        "in five equal parts, from the lowest to the highest, over all training runs, with 95 % intervals that "
        "resample "
        "voices.",
        "Errors against the sound are absent: `measured` in the section `paper` names no corpus that was evaluated.",
    ),
    "stage1": (
        "Stage 1: the divergence (KL, a token, both at the training temperature) of the LLM's answer to speech from "
        "its answer to the transcript, over training steps; BLSP as the paper's equation has it and, where that was "
        "trained too, with the released code's loss, which leaves out the first token.",
        "The training of stage 1 is absent: it left no log.",
    ),
    "stage2": (
        "Stage 2: cross-entropy of the targets (left) and of the emotion itself (right), over training steps, BLSP-Emo "
        "and such of its variants as were trained. A run without a loss has no line.",
        "The training of stage 2 is absent: it left no log.",
    ),
    "claims": (
        "The claims of the paper: published numbers, measured numbers (per cent; the system of the claim first), the "
        "decisive difference in points of per cent with its 95 % interval, the test, and what follows.",
        "",
    ),
    "claims_verdicts": (
        "Every claim with its decisive difference (the least favourable of its comparisons; of open questions the most "
        "favourable) and the 95 % interval; grey where it is not measured, as a system was not run or no fair rival. "
        "Dotted: the two and five points that the tests speak of. Verdicts weigh several comparisons jointly.",
        "",
    ),
    "controls": (
        "Controls: what must fail, the measured difference in points of per cent, and the verdict.",
        "",
    ),
    "cost": (
        "Cost of every stage: wall time of one run, the mean where there are several, and the most memory that one "
        "held.",
        "The cost is absent: no run has recorded it.",
    ),
}


def of(name: str, **words: str) -> tuple[str, str]:
    """The caption of a figure or table, filled in, and the sentence that stands in its place when it is absent."""
    caption, absent = CAPTIONS[name]
    return caption.format(**words), absent
