"""Made-up predictions for the tests: systems that are right with a given chance, with real sentences and voices."""

import random

import pytest

from blsp_core.data.manifest import EMOTIONS, Utterance
from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation.tasks import recognition, spoken_requests
from blsp_core.toy.grammar import draw_sentence, empathetic_reply

CORPORA = ("acted", "talk", "statements", "requests")


def spoken(corpus: str, count: int, voices: int = 10) -> list[Utterance]:
    rng = random.Random(corpus)
    tones = EMOTIONS[:4] if corpus == "requests" else EMOTIONS
    return [
        Utterance(
            "sound.flac", draw_sentence(rng, "test", request=corpus == "requests").text, tones[i % len(tones)],
            f"{corpus}-{i}", f"voice {i % voices}", "en", 2.0, corpus, "test",
        )
        for i in range(count)
    ]  # fmt: skip


def make_named(system: str, corpus: str, chance: float, count: int = 200) -> list[dict]:
    """Recognition answers that are right with this chance; the wrong ones name another emotion, or none."""
    rng = random.Random(system + corpus)
    utterances = spoken(corpus, count)
    answers = [
        f"The emotion tone is {u.emotion if rng.random() < chance else rng.choice([*EMOTIONS, 'hard to say'])}."
        for u in utterances
    ]
    return judging.judge(recognition(corpus), system, utterances, answers)


def replied(system: str, chance: float, count: int = 200) -> list[dict]:
    """Replies to requests on the right object, in the right tone with this chance."""
    rng = random.Random(system)
    utterances = spoken("requests", count)
    replies = []
    for utterance in utterances:
        sentence = next(s for s in iter(lambda: draw_sentence(rng, "test", True), None) if s.object in utterance.text)
        tone = utterance.emotion if rng.random() < chance else rng.choice(EMOTIONS)
        replies.append(empathetic_reply(rng, sentence, tone))
    return judging.judge(spoken_requests(), system, utterances, replies)


def make_evaluated(chances: dict[str, float], count: int = 200) -> dict[str, dict[str, list[dict]]]:
    """system -> task -> rows, for systems that catch the tone with the given chances."""
    return {
        system: {f"ser.{corpus}": make_named(system, corpus, chance, count) for corpus in CORPORA}
        | {"requests": replied(system, chance, count)}
        for system, chance in chances.items()
    }


@pytest.fixture(scope="session")
def named():
    return make_named


@pytest.fixture(scope="session")
def evaluated():
    return make_evaluated


@pytest.fixture(scope="session")
def backbones(tmp_path_factory):
    """Folders of a tiny Whisper and a tiny LLM with random weights, as the foundation notebook makes them: asr, llm."""
    import torch

    from blsp_core.model import backbones as foundation
    from blsp_core.toy import llm as foundation_llm
    from blsp_core.toy import tokenizer as vocabulary
    from blsp_core.toy import whisper as foundation_asr

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("foundation")
    tokenizer = vocabulary.build_tokenizer(vocabulary.all_texts())
    foundation.save(folder / "llm", foundation_llm.build_llm(tokenizer, 32, 2, 2, 64).eval(), tokenizer)
    words, extractor = vocabulary.build_tokenizer(vocabulary.spoken_texts()), foundation_asr.build_feature_extractor()
    whisper = foundation_asr.build_whisper(words, extractor.feature_size, 32, 2, 2, 64)
    foundation.save(folder / "asr", whisper.eval(), extractor, words)
    return folder / "asr", folder / "llm"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with eight spoken utterances, and their manifest rows."""
    from blsp_core.toy import corpora as miniature

    folder = tmp_path_factory.mktemp("corpus")
    return folder, miniature.build_corpus("acted", "train", 8, 1, folder)


@pytest.fixture
def hearing_model(backbones):
    """A tiny BLSP-Emo around the backbones, and its processor."""
    import torch

    from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

    torch.manual_seed(1)
    processor = BlspEmoProcessor.from_parts(*backbones, adapter_kernel_sizes=(5, 5))
    return BlspEmoForConditionalGeneration.from_parts(
        *backbones, processor, adapter_inner_dim=8, lora_rank=2, lora_alpha=4, emotions=EMOTIONS
    ), processor
