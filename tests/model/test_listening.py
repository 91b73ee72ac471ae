"""What the model hears, without a reply."""

import torch
from tiny import sound

from blsp_core.model import listen


def test_every_clip_has_its_embeddings_and_shares_of_emotion(model, processor):
    clips = [sound(1.0), sound(3.0, 1), sound(0.5, 2)]
    heard = listen(model, processor, clips, batch_size=2)
    lengths = [processor.speech_length(len(clip)) for clip in clips]
    assert [tuple(h.embeddings.shape) for h in heard] == [(n, 48) for n in lengths]
    for clip, h in zip(clips, heard, strict=True):
        alone = listen(model, processor, [clip])[0]
        torch.testing.assert_close(h.embeddings, alone.embeddings, atol=1e-5, rtol=0)
        assert list(h.emotions) == list(model.config.emotions) and abs(sum(h.emotions.values()) - 1) < 1e-5
