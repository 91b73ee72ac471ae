"""A converted checkpoint gives the numbers of the released code.

`data/released` is a tiny random checkpoint in the released format, `data/released_reference.npz` what the released code
(commit e0f4504, transformers 4.32.0, peft 0.5.0, fp32, CPU) made of three clips with it: `single*` one clip at a time,
`batch` all three together, where the released code lets a clip depend on its neighbours.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from blsp_core.convert.released import convert, new_places
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.losses import (
    emotion_ce,
    response_ce,
    response_kl,
    response_positions,
    response_rows,
    response_targets,
)

DATA = Path(__file__).parent / "data"
EMPATHY = " Your response should fulfill requests with empathy toward user's emotion tone."
CONVEYED = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
CHATS = [  # system, words before the speech, emotion
    ("You are a helpful assistant." + EMPATHY, CONVEYED, "angry"),
    ("You are a helpful assistant." + EMPATHY, "", "sad"),
    ("You are a helpful assistant.", "Continue the following sentence in a coherent style: ", "neutral"),
]
LOSSES = {  # response_kl (not shifted), response_ce, input_er
    "single0": (0.0310556, 10.1086922, 0.0404477),
    "single1": (0.0839854, 8.7248383, 6.3491044),
    "single2": (0.1699064, 8.8988094, 6.7862577),
    "batch": (0.1184127, 9.1369886, 4.4336281),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("converted") / "model"
    convert(DATA / "released", target)
    return target


@pytest.fixture(scope="module")
def model(folder):
    return BlspEmoForConditionalGeneration.from_pretrained(folder)


@pytest.fixture(scope="module")
def processor(folder):
    return BlspEmoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def reference():
    return dict(np.load(DATA / "released_reference.npz"))


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


def speech_pass(model, processor, reference, i):
    """(output, labels) of clip i with its response."""
    prompt, reply = speech_prompt(processor, reference, i), response(reference, i)
    labels = torch.tensor([[-100] * len(prompt) + reply])
    return model(torch.tensor([prompt + reply]), **processor.features([waveform(reference, i)])), labels


def text_pass(model, reference, i):
    """(logits, labels) of the transcript in place of the clip: the teacher."""
    parts = [reference[f"single{i}/{part}_ids"][0].tolist() for part in ("start", "instruction", "input", "suffix")]
    ids, reply = sum(parts, []), response(reference, i)
    labels = torch.tensor([[-100] * (len(ids) - len(reply)) + reply])
    return model(torch.tensor([ids])).logits, labels


@pytest.mark.parametrize("i", range(3))
def test_prompts_are_tokenised_alike(processor, reference, i):
    parts = {name: reference[f"single{i}/{name}_ids"][0].tolist() for name in ("start", "audio_instruction", "suffix")}
    speech = [processor.speech_token_id] * reference[f"single{i}/speech_embeds"].shape[1]
    suffix = parts["suffix"][: -len(response(reference, i))]
    assert speech_prompt(processor, reference, i) == parts["start"] + parts["audio_instruction"] + speech + suffix


@pytest.mark.parametrize("i", range(3))
@torch.no_grad()
def test_speech_embeddings_and_response_logits_agree(model, processor, reference, i):
    out, labels = speech_pass(model, processor, reference, i)
    name = f"single{i}"
    np.testing.assert_allclose(out.speech_embeddings, reference[f"{name}/speech_embeds"], atol=5e-5, rtol=0)
    rows = response_rows(out.logits, labels, shift=False)
    np.testing.assert_allclose(rows, reference[f"{name}/speech_response_logits"], atol=1e-4, rtol=0)
    logits, labels = text_pass(model, reference, i)
    rows = response_rows(logits, labels, shift=False)
    np.testing.assert_allclose(rows, reference[f"{name}/text_response_logits"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("i", range(3))
@torch.no_grad()
def test_the_three_losses_agree(model, processor, reference, i):
    """`response_kl` without the shift, as released; the study's own is shifted."""
    out, labels = speech_pass(model, processor, reference, i)
    logits, text_labels = text_pass(model, reference, i)
    emotion = torch.tensor([model.config.emotions.index(CHATS[i][2])])
    kl = response_kl(response_rows(out.logits, labels, False), response_rows(logits, text_labels, False))
    ce = response_ce(response_rows(out.logits, labels), response_targets(labels))
    found = (kl, ce, emotion_ce(out.emotion_logits, emotion))
    np.testing.assert_allclose(found, LOSSES[f"single{i}"], atol=1e-5, rtol=0)


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

    def row(*names):
        ids, masks, labels = zip(
            *(
                (placeholders, real.long(), torch.full(real.shape, -100))
                if name == "speech"
                else (segment[f"{name}_ids"], segment[f"{name}_mask"], segment[f"{name}_labels"])
                for name in names
            ),
            strict=True,
        )
        ids, mask, labels = torch.cat(ids, 1), torch.cat(masks, 1), torch.cat(labels, 1)
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
    rows = [speech_prompt(processor, reference, i) + response(reference, i) for i in range(3)]
    batch = processor.tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
    labels = torch.full_like(batch["input_ids"], -100)
    for i in range(3):
        labels[i, len(rows[i]) - len(response(reference, i)) : len(rows[i])] = torch.tensor(response(reference, i))
    speech = processor.features([waveform(reference, i) for i in range(3)])
    rows = model(**batch, **speech, logits_to_keep=response_positions(labels)).logits
    counts = [len(response(reference, i)) for i in range(3)]
    mean = np.average([LOSSES[f"single{i}"][1] for i in range(3)], weights=counts)
    assert abs(response_ce(rows, response_targets(labels)).item() - mean) < 1e-5


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_gradients_agree(folder, processor, reference, stage):
    model = BlspEmoForConditionalGeneration.from_pretrained(folder)
    model.set_trainable(lora=stage == "stage2", head=True)
    kl, ce, er = batch_as_released(model, processor, reference)
    (kl if stage == "stage1" else ce + er).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    checked = set()
    for key, norm in reference.items():
        if not key.startswith(f"gradients/{stage}/norm/"):
            continue
        name = key.removeprefix(f"gradients/{stage}/norm/")
        places = [place for place, _ in new_places(name, torch.zeros(3, 1))]
        pieces = [gradients[place] for place in places]
        whole = sum(pieces) if "lora_A" in name else torch.cat(pieces)  # one A feeds all three of c_attn
        np.testing.assert_allclose(whole.norm(), norm, rtol=1e-4)
        checked.update(places)
    assert checked == gradients.keys()
