"""A conversation is what `hearing` makes of a dialogue, one turn after the other."""

from dataclasses import replace

import torch

from blsp_core.data import prompts
from blsp_core.data.audio import load_audio
from blsp_core.data.manifest import Turn
from blsp_core.inference import speech as hearing
from blsp_core.inference.conversation import Conversation


def test_the_next_turn_is_answered_as_the_end_of_the_dialogue_so_far(hearing_model, corpus):
    model, processor = hearing_model
    with torch.no_grad():  # louder than words, so that what was heard matters
        model.adapter.norm.weight.mul_(20)
    folder, (first, last, *_) = corpus
    talk = Conversation(model, processor, max_new_tokens=5)
    replies = [talk.say(load_audio(one.audio, folder)) for one in (first, last)]
    history = (Turn("user", first.text, first.audio, first.emotion, first.duration), Turn("assistant", replies[0]))
    told = {"system": prompts.SYSTEM_EMPATHY, "instruction": "", "max_new_tokens": 5}
    dialogue = [first, replace(last, history=history)]
    assert replies == [hearing.reply(model, processor, [one], folder, **told)[0] for one in dialogue]
    assert [turn["role"] for turn in talk.turns] == ["user", "assistant"] * 2
