"""A converted checkpoint gives the numbers of the released code.

`data/released` is a tiny random checkpoint in the released format, `data/released_reference.npz` what the released code
(commit e0f4504, transformers 4.32.0, peft 0.5.0, fp32, CPU) made of three clips with it: `single*` one clip at a time,
`batch` all three together, where the released code lets a clip depend on its neighbours.
"""

import numpy as np
import pytest
import torch

from blsp_core.convert.released import new_places
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor, losses
from blsp_core.model.losses import emotion_ce, response_ce, response_kl, response_rows, response_targets

EMPATHY = " Your response should fulfill requests with empathy toward user's emotion tone."
CONVEYED = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
CHATS = [  # system, words before the speech, emotion
    ("You are a helpful assistant." + EMPATHY, CONVEYED, "angry"),
    ("You are a helpful assistant." + EMPATHY, "", "sad"),
    ("You are a helpful assistant.", "Continue the following sentence in a coherent style: ", "neutral"),
]
PARTS = ("start", "audio_instruction", "instruction", "input", "suffix")  # of the released prompts
LOSSES = {  # response_kl (not shifted), response_ce, input_er
    "single0": (0.0310556, 10.1086922, 0.0404477),
    "single1": (0.0839854, 8.7248383, 6.3491044),
    "single2": (0.1699064, 8.8988094, 6.7862577),
    "batch": (0.1184127, 9.1369886, 4.4336281),
}


@pytest.fixture(scope="module")
def model(converted):
    return BlspEmoForConditionalGeneration.from_pretrained(converted)


@pytest.fixture(scope="module")
def processor(converted):
    return BlspEmoProcessor.from_pretrained(converted)


@pytest.fixture(scope="module")
def reference(released):
    return dict(np.load(released.parent / "released_reference.npz"))


def waveform(reference, i):
    return reference[f"single{i}/waveform"].astype(np.float32) / 32768


def speech_prompt(processor, reference, i):
    system, words, _ = CHATS[i]
    content = [{"type": "text", "text": words}, {"type": "audio"}]
    chat = [{"role": "system", "content": system}, {"role": "user", "content": content}]
    return processor.prompt_ids(chat, [processor.speech_length(len(reference[f"single{i}/waveform"]))])


def response(reference, i):
    labels = reference[f"single{i}/suffix_labels"][0]
    return labels[labels != -100].tolist()


@pytest.mark.parametrize("i", range(3))
@torch.no_grad()
def test_prompts_speech_embeddings_response_logits_and_losses_agree(model, processor, reference, i):
    """`response_kl` without the shift, as released; the study's own is shifted. The teacher reads the transcript."""
    name, prompt, reply = f"single{i}", speech_prompt(processor, reference, i), response(reference, i)
    part = {key: reference[f"{name}/{key}_ids"][0].tolist() for key in PARTS}
    speech = [processor.speech_token_id] * reference[f"{name}/speech_embeds"].shape[1]
    assert prompt + reply == part["start"] + part["audio_instruction"] + speech + part["suffix"]
    transcript = part["start"] + part["instruction"] + part["input"] + part["suffix"]

    out = model(torch.tensor([prompt + reply]), **processor.features([waveform(reference, i)]))
    np.testing.assert_allclose(out.speech_embeddings, reference[f"{name}/speech_embeds"], atol=5e-5, rtol=0)
    lengths = len(prompt), len(transcript) - len(reply)
    labels, text_labels = (torch.tensor([[-100] * length + reply]) for length in lengths)
    student = response_rows(out.logits, labels, shift=False)
    np.testing.assert_allclose(student, reference[f"{name}/speech_response_logits"], atol=1e-4, rtol=0)
    teacher = response_rows(model(torch.tensor([transcript])).logits, text_labels, shift=False)
    np.testing.assert_allclose(teacher, reference[f"{name}/text_response_logits"], atol=1e-4, rtol=0)

    ce = response_ce(response_rows(out.logits, labels), response_targets(labels))
    emotion = torch.tensor([model.config.emotions.index(CHATS[i][2])])
    found = (response_kl(student, teacher), ce, emotion_ce(out.emotion_logits, emotion))
    np.testing.assert_allclose(found, LOSSES[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("i", range(3))
def test_greedy_replies_are_the_same_tokens(model, processor, reference, i):
    """From the released prompt, which lacks the newline after `assistant`; ours has it, and answers otherwise."""
    prompt = speech_prompt(processor, reference, i)
    speech = processor.features([waveform(reference, i)])
    released = reference[f"single{i}/generated"].tolist()

    def reply(ids):
        out = model.generate(torch.tensor([ids]), **speech, max_new_tokens=20, min_new_tokens=1, do_sample=False)
        return out[0, len(ids) :].tolist()

    assert processor.tokenizer.decode(prompt[-1:]) == "\n"
    found = reply(prompt[:-1])
    assert found == released[: len(found)] and set(released[len(found) :]) <= {processor.tokenizer.pad_token_id}
    assert reply(prompt) != found


def batch_as_released(model, processor, reference):
    """Student output, teacher logits and their labels for the three clips, with what the released code does to a batch:
    every segment is padded on its own, positions count the padding, and the adapter reads the padding behind a clip."""
    segment = {name.removeprefix("batch/"): torch.from_numpy(value) for name, value in reference.items()}
    segment = {name: value.long() if value.dtype == torch.int16 else value for name, value in segment.items()}
    real = segment["speech_embeds_mask"]  # (3, 44)
    placeholders = torch.full(real.shape, processor.speech_token_id)

    speech = {"ids": placeholders, "mask": real.long(), "labels": torch.full(real.shape, -100)}
    segment |= {f"speech_{kind}": value for kind, value in speech.items()}

    def row(*names):
        kinds = "ids", "mask", "labels"
        ids, mask, labels = (torch.cat([segment[f"{name}_{kind}"] for name in names], 1) for kind in kinds)
        return {"input_ids": ids, "attention_mask": mask, "position_ids": torch.arange(ids.shape[1])[None]}, labels

    with torch.no_grad():
        hidden, _ = model.encode(**processor.features([waveform(reference, i) for i in range(3)]))
    student, labels = row("start", "audio_instruction", "speech", "suffix")
    out = model(**student, encoder_hidden_states=hidden)
    teacher, text_labels = row("start", "instruction", "input", "suffix")
    with torch.no_grad():
        text_logits = model(**teacher).logits
    kl = response_kl(response_rows(out.logits, labels, False), response_rows(text_logits, text_labels, False))
    ce = response_ce(response_rows(out.logits, labels), response_targets(labels))
    er = emotion_ce(model.get_emotion_logits(out.speech_embeddings, real), segment["emotion_labels"])
    return kl, ce, er


@torch.no_grad()
def test_the_batch_losses_of_the_released_code_are_reproduced(model, processor, reference):
    np.testing.assert_allclose(batch_as_released(model, processor, reference), LOSSES["batch"], atol=1e-5, rtol=0)


@torch.no_grad()
def test_our_batch_is_the_mean_of_its_clips(model, processor, reference):
    replies = [response(reference, i) for i in range(3)]
    rows = [speech_prompt(processor, reference, i) + reply for i, reply in enumerate(replies)]
    batch = processor.tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
    labels = torch.full_like(batch["input_ids"], -100)
    for i, (row, reply) in enumerate(zip(rows, replies, strict=True)):
        labels[i, len(row) - len(reply) : len(row)] = torch.tensor(reply)
    speech = processor.features([waveform(reference, i) for i in range(3)])
    logits = model(**batch, **speech, logits_to_keep=losses.response_positions(labels)).logits
    mean = np.average([LOSSES[f"single{i}"][1] for i in range(3)], weights=[len(reply) for reply in replies])
    assert abs(response_ce(logits, response_targets(labels)).item() - mean) < 1e-5


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_gradients_agree(converted, processor, reference, stage):
    model = BlspEmoForConditionalGeneration.from_pretrained(converted)
    model.set_trainable(lora=stage == "stage2", head=True)
    kl, ce, er = batch_as_released(model, processor, reference)
    (kl if stage == "stage1" else ce + er).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    checked, prefix = set(), f"gradients/{stage}/norm/"
    for name in [key.removeprefix(prefix) for key in reference if key.startswith(prefix)]:
        places = [place for place, _ in new_places(name, torch.zeros(3, 1))]
        pieces = [gradients[place] for place in places]
        whole = sum(pieces) if "lora_A" in name else torch.cat(pieces)  # one A feeds all three of c_attn
        np.testing.assert_allclose(whole.norm(), reference[prefix + name], rtol=1e-4)
        checked.update(places)
    assert checked == gradients.keys()
