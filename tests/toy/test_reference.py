"""Text, examples, tokenizers and sound are those of the published results: digests of the code that made them."""

import hashlib
import random

import pytest

from blsp_core.data.emotions import EMOTIONS
from blsp_core.toy import corpora, grammar, instruction_data, llm, whisper
from blsp_core.toy.tokenizer import build_tokenizer, spoken_texts

LEVELS = [
    0.1094458, 0.06726851, 0.01400381, 0.0605582, 0.01847921, 0.04323341,
    0.06911682, 0.1249493, 0.1134441, 0.08816122, 0.02560635, 0.05711528,
]  # fmt: skip


def digest(*values) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def test_sentences_and_answers():
    rows = []
    for seed in range(100):
        rng, emotion = random.Random(seed), EMOTIONS[seed % 5]
        sentence = grammar.draw_sentence(rng, "train", seed % 2 == 0, emotion)
        first, reply, last = grammar.draw_dialogue(rng, "test", emotion)
        rows += [sentence.text, first.text, reply, last.text, grammar.continuation(rng, sentence, emotion)]
        rows.append(grammar.empathetic_reply(rng, last, emotion))
    assert digest(rows) == "bbafed155713cec7"


def test_instruction_data_and_tokenizers(tokenizer):
    rng = random.Random(1)
    examples = [instruction_data.draw_example(rng, "train") for _ in range(300)]
    assert digest([(e.chat, e.answer, e.emotion, e.blend, e.written) for e in examples]) == "2e80c1d217e77249"
    data = llm.InstructionData(tokenizer, 4, 8, 1.0, 1)
    assert digest([[data[i][name] for name in ("input_ids", "labels")] for i in range(32)]) == "d83a7d0820a01e76"
    assert digest(sorted(build_tokenizer(spoken_texts()).get_vocab().items())) == "49d40f962a1124f8"


def test_plans_of_all_corpora():
    lines = [line for role in corpora.ROLES for line in corpora.plan(role, "test", 20, 1)]
    spoken = [turn for line in lines for turn in line.spoken]
    rows = [(x.text, x.emotion, x.label, x.speaker.name, x.speaker.voice) for x in spoken]
    assert digest(rows) == "fbe22023bcb2c712"


def test_sound():
    _, spoken = whisper.utterances("test", 12, 1)
    assert digest([len(one.sound) for one in spoken]) == "5bb924898d13dc04"
    assert digest([(one.words, [name for _, name in one.phonemes]) for one in spoken]) == "e1d3a168095febb6"
    levels = [float((one.sound.astype("float64") ** 2).mean() ** 0.5) for one in spoken]
    assert levels == pytest.approx(LEVELS, rel=1e-5)  # not a digest: the last bits depend on the processor
