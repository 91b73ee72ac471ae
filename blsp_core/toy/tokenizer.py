"""The tokenizer of the miniature: Qwen2's own byte-level BPE, with one token for each word that the miniature uses."""

import json

from tokenizers import trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from blsp_core.data import prompts
from blsp_core.data.manifest import EMOTIONS
from blsp_core.toy import grammar, lexicon
from blsp_core.toy import instruction_data as diet
from blsp_core.toy.languages import LANGUAGES

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
    texts += lexicon.SHAPES_FOLLOW_UP
    texts += [word for topic in lexicon.TOPICS.values() for word in topic["objects"] + topic["verbs"]]
    texts += [word for language in LANGUAGES.values() for word in language.phrases]
    return [" " + text for text in texts]


def all_texts() -> list[str]:
    """Every text that the miniature's LLM may read or write."""
    openings = [*lexicon.OPENINGS_CONTINUATION.values(), *lexicon.OPENINGS_REPLY.values()]
    answers = [phrase for phrases in openings for phrase in phrases] + [*lexicon.INTERJECTIONS.values()]
    answers += [line for topic in lexicon.TOPICS.values() for line in [*topic["advice"], topic["folk"]]]
    answers += lexicon.GO_ON
    answers += [lexicon.BODY_WITH_VERB, lexicon.BODY_WITHOUT_VERB, lexicon.LIKE, lexicon.TELL_ME_MORE, grammar.NAMED]
    said = [text.strip() for text in spoken_texts()] + answers + [*EMOTIONS, *lexicon.MARKERS.values(), *lexicon.GUESTS]
    asked = [*(wording for wordings in diet.WORDINGS.values() for wording in wordings), prompts.TOLD]
    asked = [
        wording.format(emotion=emotion) + after for wording in asked for emotion in EMOTIONS for after in ("", "I")
    ]
    roles = [f"{TURN_START}{role}\n{prompts.SYSTEM_EMPATHY}{TURN_END}\n" for role in ("system", "user", "assistant")]
    sentences = [form.format(text) for text in said for form in ("{}", " {}", "{}.")]
    filled = {"{object}": "dog", "{emotion}": "happy", "{person}": "we", "{verb}": "cook", "{folk}": "cooks"}
    return [_replace(text, filled) for text in sentences + asked + roles]


def _replace(text: str, by: dict[str, str]) -> str:
    for slot, word in by.items():
        text = text.replace(slot, word)
    return text
