"""Hooks of transformers' `generate`: speech is part of the prompt, and of its row."""

from collections.abc import Mapping

import torch

from blsp_core.model.adapters import embedding_count

_SPEECH_INPUTS = ("input_features", "feature_attention_mask", "encoder_hidden_states", "encoder_attention_mask")


class SpeechGeneration:
    """The hooks of `generate` for a model whose prompts contain speech; a base before PreTrainedModel."""

    def _prepare_generated_length(self, generation_config, **kwargs):
        """A reply ends at the longest sequence that a converted LLM computes correctly."""
        generation_config = super()._prepare_generated_length(generation_config, **kwargs)
        limit = self._longest_sequence()
        if limit is not None:
            self._check_length(kwargs["input_ids_length"] + 1)
            generation_config.max_length = min(generation_config.max_length, limit)
        return generation_config

    def prepare_inputs_for_generation(self, input_ids, past_key_values=None, is_first_iteration=False, **kwargs):
        """Once the prompt is in the cache, single tokens follow, without speech."""
        inputs = super().prepare_inputs_for_generation(
            input_ids, past_key_values=past_key_values, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in _SPEECH_INPUTS:
                inputs.pop(name, None)
        return inputs

    def _expand_inputs_for_generation(self, expand_size=1, is_encoder_decoder=False, input_ids=None, **kwargs):
        """Rows are repeated for beams and samples, and with each row all of its clips."""
        speech = {name: kwargs.pop(name) for name in _SPEECH_INPUTS if kwargs.get(name) is not None}
        if speech and expand_size > 1:
            clips = self._clips_of_rows(input_ids, speech)
            order = torch.cat([row.repeat(expand_size) for row in clips])
            speech = {name: value[order] for name, value in speech.items()}
        input_ids, kwargs = super()._expand_inputs_for_generation(expand_size, is_encoder_decoder, input_ids, **kwargs)
        return input_ids, {**kwargs, **speech}

    def _clips_of_rows(self, input_ids: torch.Tensor, speech: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """The indices of every row's clips, found by counting placeholders against the clips' lengths."""
        if "encoder_hidden_states" in speech:
            hidden = speech["encoder_hidden_states"]
            frames = speech.get("encoder_attention_mask", torch.ones(hidden.shape[:2])).sum(1).long()
        else:
            features = speech["input_features"]
            stride = self.encoder.conv1.stride[0] * self.encoder.conv2.stride[0]
            frames = -(-speech.get("feature_attention_mask", torch.ones_like(features[:, 0])).sum(1).long() // stride)
        last = embedding_count(frames, self.config.adapter).cumsum(0)  # (clips,), placeholders up to a clip's end
        ends = (input_ids == self.config.speech_token_id).sum(1).cumsum(0)  # (rows,), up to a row's end
        row_of_clip = torch.searchsorted(ends, last)
        return [(row_of_clip == row).nonzero()[:, 0] for row in range(len(ends))]
