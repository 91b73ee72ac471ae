"""The tokenizer of the miniature: Qwen2's own byte-level BPE, with one token for each word that the miniature uses."""

import json

from tokenizers import trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from blsp_core.speech import grammar, lexicon
from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import diet, prompts

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def build_tokenizer(texts: list[str]) -> Qwen2Tokenizer:
    """A tokenizer that has merged every word of the texts into one token. Any other word is spelt in pieces, so none
    is unknown. ChatML is its chat template, as Qwen's."""
    trained = Qwen2Tokenizer().backend_tokenizer
    trained.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=100_000,
            min_frequency=1,
            show_progress=False,
            initial_alphabet=ByteLevel.alphabet(),
            special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        ),
    )
    state = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in state["merges"]]
    return Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=merges,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        extra_special_tokens=[TURN_START],
        chat_template=CHATML,
    )


def spoken_texts() -> list[str]:
    """Every phrase that somebody may say in the miniature, with a blank before its first word."""
    texts = [cue for cues in lexicon.CUES.values() for cue in cues]
    texts += [*lexicon.PEOPLE, *lexicon.PLACES, *lexicon.MOMENTS, *lexicon.SHAPES_STATEMENT, *lexicon.SHAPES_REQUEST]
    texts += [word for topic in lexicon.TOPICS.values() for word in topic["objects"] + topic["verbs"]]
    return [" " + text for text in texts]


def all_texts() -> list[str]:
    """Every text that the miniature's LLM may read or write."""
    answers = [
        phrase
        for table in (lexicon.OPENINGS_CONTINUATION, lexicon.OPENINGS_REPLY)
        for p in table.values()
        for phrase in p
    ]
    answers += [line for topic in lexicon.TOPICS.values() for line in topic["advice"]]
    answers += [lexicon.BODY_WITH_VERB, lexicon.BODY_WITHOUT_VERB, lexicon.TELL_ME_MORE, grammar.NAMED, *EMOTIONS, *lexicon.MARKERS.values()]
    said = [text.strip() for text in spoken_texts()] + answers
    asked = [
        wording.format(emotion=e) + text
        for ws in diet.WORDINGS.values()
        for wording in ws
        for e in EMOTIONS
        for text in ("", "I")
    ]
    asked += [prompts.TOLD.format(emotion=emotion) + "I" for emotion in EMOTIONS]
    roles = [f"{TURN_START}{role}\n{prompts.SYSTEM_EMPATHY}{TURN_END}\n" for role in ("system", "user", "assistant")]
    sentences = said + [" " + text for text in said] + [f"{text}." for text in said]
    return [text.replace("{object}", "dog").replace("{emotion}", "happy").replace("{person}", "we").replace("{verb}", "cook") for text in sentences + asked + roles]
