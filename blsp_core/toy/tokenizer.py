"""The tokenizers of the miniature: Qwen2's byte-level BPE, with one token for each word of the toy language."""

import json

from tokenizers import trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from blsp_core.data import prompts
from blsp_core.data.emotions import EMOTIONS
from blsp_core.toy import instruction_data, lexicon

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def build_tokenizer(texts: list[str]) -> Qwen2Tokenizer:
    """A tokenizer with one token for every word of the texts; other words are split into pieces. Qwen's chat format."""
    trained = Qwen2Tokenizer().backend_tokenizer
    special = {"special_tokens": [END_OF_TEXT, TURN_START, TURN_END], "initial_alphabet": ByteLevel.alphabet()}
    trainer = trainers.BpeTrainer(vocab_size=100_000, min_frequency=1, show_progress=False, **special)
    trained.train_from_iterator(texts, trainer)
    state = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in state["merges"]]
    special = {"eos_token": TURN_END, "pad_token": END_OF_TEXT, "extra_special_tokens": [TURN_START]}
    return Qwen2Tokenizer(vocab=state["vocab"], merges=merges, chat_template=CHATML, **special)


def spoken_texts() -> list[str]:
    """Every phrase that is spoken in the miniature, after a blank."""
    groups = [*lexicon.CUES.values(), lexicon.PEOPLE, lexicon.PLACES, lexicon.MOMENTS]
    groups += [lexicon.SHAPES_STATEMENT, lexicon.SHAPES_REQUEST, lexicon.SHAPES_FOLLOW_UP]
    texts = [text for group in groups for text in group]
    texts += [word for topic in lexicon.TOPICS.values() for word in topic["objects"] + topic["verbs"]]
    texts += [phrase for language in lexicon.LANGUAGES.values() for part in language.parts for phrase in part]
    return [" " + text for text in texts]


def all_texts() -> list[str]:
    """Every text that the toy LLM reads or writes."""
    phrases = [text.strip() for text in spoken_texts()]
    for openings in (lexicon.OPENINGS_CONTINUATION, lexicon.OPENINGS_REPLY):
        phrases += sum(openings.values(), [])
    phrases += lexicon.INTERJECTIONS.values()
    phrases += [line for topic in lexicon.TOPICS.values() for line in [*topic["advice"], topic["folk"]]]
    phrases += [*lexicon.GO_ON, lexicon.BODY_WITH_VERB, lexicon.BODY_WITHOUT_VERB, lexicon.LIKE, lexicon.TELL_ME_MORE]
    phrases += [prompts.NAMED, *EMOTIONS, *lexicon.MARKERS.values(), *lexicon.RAVDESS]
    templates = [*(text for group in instruction_data.PROMPTS.values() for text in group), prompts.TOLD]
    texts = [form.format(text) for text in phrases for form in ("{}", " {}", "{}.")]
    texts += [text.format(emotion=emotion) + end for text in templates for emotion in EMOTIONS for end in ("", "I")]
    texts += [f"{TURN_START}{role}\n{prompts.SYSTEM_EMPATHY}{TURN_END}\n" for role in ("system", "user", "assistant")]
    slots = {"{object}": "dog", "{emotion}": "happy", "{person}": "we", "{verb}": "cook", "{folk}": "cooks"}
    for slot, word in slots.items():
        texts = [text.replace(slot, word) for text in texts]
    return texts
