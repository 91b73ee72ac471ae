"""The model card of an exported folder."""

import os

_CARD = """---
library_name: transformers
pipeline_tag: audio-text-to-text
license: other
license_name: see-the-backbones
language: [en]
tags: [speech, emotion, blsp-emo]{base_models}
---

# BLSP-Emo

A speech-language model after BLSP-Emo (arXiv 2406.03872): a Whisper encoder ({encoder}), an adapter ({adapter}) and a
causal LLM ({llm}){lora}. It answers spoken requests in text, with regard to the speaker's emotion.
Its emotion head has the classes {emotions}.

```python
from blsp_core.data.prompts import SYSTEM_EMPATHY  # importing blsp_core registers the model type with transformers
from transformers import AutoModel, AutoProcessor

model, processor = AutoModel.from_pretrained("FOLDER"), AutoProcessor.from_pretrained("FOLDER")
speech = {{"role": "user", "content": [{{"type": "audio", "path": "speech.wav"}}]}}
batch = processor([{{"role": "system", "content": SYSTEM_EMPATHY}}, speech])
reply = model.generate(**batch, max_new_tokens=64)[0, batch["input_ids"].shape[1] :]
print(processor.decode(reply, skip_special_tokens=True))
```

## Limits

- A clip is at most as long as the encoder's window, {frames} frames.
- An emotion is a class of the training data, much of it acted; it does not tell how a person feels.
- The weights of both backbones are in this folder and keep their own licences.
"""


def model_card(config) -> str:
    """README.md, with front matter, of a model with this BlspEmoConfig."""
    hub = [name for name in (config.encoder_name, config.llm_name) if name and not os.path.isabs(name)]
    return _CARD.format(
        base_models=f"\nbase_model: [{', '.join(hub)}]" if hub else "",
        encoder=f"{config.encoder_config.encoder_layers} layers, width {config.encoder_config.d_model}",
        adapter=config.adapter["type"],
        llm=f"{config.llm_config.model_type}, width {config.get_text_config().hidden_size}",
        lora=f" with LoRA of rank {config.lora_rank}, scope {config.lora_scope}" if config.lora_rank else "",
        emotions=", ".join(config.emotions),
        frames=config.encoder_config.max_source_positions,
    )
