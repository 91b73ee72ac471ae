"""Manifests, prompts and the processor for texts and sizes of any kind."""

from dataclasses import replace

from fixtures import make_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ask, make_model, make_processor, sound

from blsp_core.data import manifest, prompts
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.manifest import Turn, Utterance, read_manifest, write_manifest
from blsp_core.model.templates import render

ANY = st.text(st.characters(exclude_categories=["Cs"]))  # of Unicode, but for lone surrogates, which UTF-8 cannot hold
TEXT = ANY.filter(lambda text: text.strip() and not manifest.CONTROL.search(text))
EMOTION, SECONDS = st.sampled_from(["", *EMOTIONS]), st.floats(1, 86_400)
SAID = TEXT.filter(lambda text: manifest.has_words(text) and "\0" not in text and len(text) < 100)
TURNS = st.lists(st.tuples(SAID, TEXT, EMOTION, SECONDS, SAID), max_size=2)
PROCESSOR, TOKENIZER = make_processor(), make_tokenizer()


@st.composite
def utterances(draw):
    history = []
    for text, audio, emotion, seconds, reply in draw(TURNS):
        history += [Turn("user", text, audio, emotion, seconds), Turn("assistant", reply)]
    emotion, seconds = draw(EMOTION), draw(SECONDS)
    return Utterance(draw(TEXT), draw(SAID), emotion, "a", draw(TEXT), "en", seconds, "c", "train", tuple(history))


@given(st.lists(utterances(), min_size=1, max_size=3))
def test_a_manifest_is_read_as_it_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    rows = [replace(row, id=str(i)) for i, row in enumerate(rows)]
    write_manifest(path, rows)
    assert read_manifest(path) == rows


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY, lambda one: st.lists(one, max_size=2)
)


@given(TEXT, st.sampled_from([prompts.CONTINUE, prompts.REPEAT, prompts.CONTINUE_CONVEYED, prompts.IDENTIFY]))
def test_a_prompt_holds_the_whole_transcript_and_ends_where_the_reply_begins(text, instruction):
    chat = prompts.chat(prompts.SYSTEM, instruction + text)
    rendered = render(TOKENIZER, chat, add_generation_prompt=True)
    assert rendered.count("<|im_start|>") == 3 and rendered.endswith("assistant\n")
    assert TOKENIZER.decode(TOKENIZER(rendered).input_ids) == rendered  # nothing is lost, nothing is a control token


PART = TEXT | st.floats(0.05, 3)  # a text, or seconds of speech


@given(st.lists(PART, min_size=1, max_size=4))
def test_speech_leaves_the_tokens_of_the_text_around_it_as_they_are(parts):
    chat = ask(*[part if isinstance(part, str) else sound(part) for part in parts])
    lengths = [PROCESSOR.speech_length(int(part * 16000)) for part in parts if isinstance(part, float)]
    ids, token = PROCESSOR.prompt_ids(chat, lengths), PROCESSOR.speech_token_id
    assert ids.count(token) == sum(lengths)
    text = "".join(part for part in parts if isinstance(part, str))
    assert TOKENIZER.decode([i for i in ids if i != token]) == render(
        TOKENIZER, prompts.chat("be kind", text), add_generation_prompt=True
    )


@settings(max_examples=25)
@given(st.lists(st.floats(0.05, 3), min_size=1, max_size=3), st.booleans(), st.sampled_from([(5,), (5, 5), (3, 5, 7)]))
def test_placeholders_are_as_many_as_the_model_makes_embeddings(seconds, real_frames, kernels):
    adapter = {"type": "convolution", "kernel_sizes": list(kernels), "inner_dim": 16}
    processor = make_processor(adapter, real_frames)
    clips = [sound(length) for length in seconds]
    features, counts = processor.features(clips), [processor.speech_length(len(clip)) for clip in clips]
    _, mask = make_model(processor).get_speech_embeddings(**features)
    assert mask.sum(1).tolist() == counts
