"""BLSP-Emo: a Whisper encoder, an adapter, and an LLM that reads text and speech embeddings (arXiv 2406.03872)."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    Cache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from blsp_core.errors import StudyError
from blsp_core.model.adapters import LAST, LAST_AND_MIX, MIX, LayerMix, make_adapter
from blsp_core.model.checkpoint import Checkpoints
from blsp_core.model.configuration import BlspEmoConfig
from blsp_core.model.encoder import encode_speech
from blsp_core.model.generation import SpeechGeneration
from blsp_core.model.lora import EVERYWHERE, SPEECH, acting_at, add_partial_lora, checkpoint_contexts, is_lora
from blsp_core.model.losses import response_ce, response_rows, response_targets


@dataclass
class BlspEmoOutput(CausalLMOutputWithPast):
    """Also emotion_logits: (clips, emotions); speech_embeddings: (clips, P, width of the LLM); speech_mask: (clips, P).
    P is the largest number of speech embeddings of a clip. states: (N, width of the LLM), see `states_to_keep`."""

    states: torch.Tensor | None = None
    emotion_logits: torch.Tensor | None = None
    speech_embeddings: torch.Tensor | None = None
    speech_mask: torch.Tensor | None = None


class BlspEmoForConditionalGeneration(Checkpoints, SpeechGeneration, PreTrainedModel, GenerationMixin):
    """Speech goes through `encoder` and `adapter` and replaces the placeholder tokens in the LLM's input.

    Build a model with `from_parts`, load one with `from_pretrained`. All weights are frozen until `set_trainable`.
    """

    config_class = BlspEmoConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ("audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: BlspEmoConfig, encoder: nn.Module | None = None, llm: nn.Module | None = None):
        """Without `encoder` or `llm`, random weights."""
        super().__init__(config)
        for name, known in {"encoder_layers": (LAST, MIX, LAST_AND_MIX), "lora_scope": (SPEECH, EVERYWHERE)}.items():
            if getattr(config, name) not in known:
                raise StudyError(f"{name}: {getattr(config, name)!r} is unknown; wanted is {' or '.join(known)}")
        self.encoder = encoder if encoder is not None else WhisperEncoder(config.encoder_config)
        self.llm = llm if llm is not None else AutoModelForCausalLM.from_config(config.llm_config)
        keep_last = config.encoder_layers == LAST_AND_MIX
        layers, encoder_dim = config.encoder_config.encoder_layers + 1, config.encoder_config.d_model
        self.layer_mix = None if config.encoder_layers == LAST else LayerMix(layers, keep_last)
        llm_dim = config.get_text_config().hidden_size
        self.adapter = make_adapter(config.adapter, (1 + keep_last) * encoder_dim, encoder_dim, llm_dim)
        self.emotion_head = nn.Linear(llm_dim, len(config.emotions), bias=False)
        if config.lora_rank:
            add_partial_lora(self.llm, config.lora_rank, config.lora_alpha, config.lora_dropout, config.lora_targets)
        size = self.llm.get_input_embeddings().weight.detach().float().std()  # of word embeddings
        self.adapter.scale_to(size.to(self.emotion_head.weight.device))
        self.generation_config = copy.deepcopy(self.llm.generation_config)
        if config.speech_token_id is not None and config.speech_token_id < config.get_text_config().vocab_size:
            self.generation_config.suppress_tokens = [config.speech_token_id]
        self._prefixes: dict[tuple[int, ...], Cache] = {}  # first tokens -> what a frozen LLM has read, in training
        self.set_trainable(adapter=False)
        self.post_init()

    def init_weights(self) -> None:
        """Nothing to do: the parts come initialised, partial LoRA at zero."""

    def get_input_embeddings(self) -> nn.Module:
        return self.llm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.llm.get_output_embeddings()

    def set_trainable(self, adapter: bool = True, encoder: bool = False, lora: bool = False, head: bool = False):
        """Choose the parts that are trained; all others are frozen, the LLM always."""
        if lora and not self.config.lora_rank:
            raise StudyError("set_trainable(lora=True): the model has no partial LoRA; make it with lora_rank > 0")
        self.trained = {"adapter": adapter, "encoder": encoder, "lora": lora, "head": head}
        self.requires_grad_(False)
        self.adapter.requires_grad_(adapter)
        self.emotion_head.requires_grad_(head)
        if self.layer_mix is not None:
            self.layer_mix.requires_grad_(adapter)
        for name, parameter in self.llm.named_parameters():
            parameter.requires_grad = lora and is_lora(name)
        if encoder:
            self.encoder.float().requires_grad_(True)  # half precision would round small updates away
            self.encoder.embed_positions.requires_grad_(False)  # sinusoids, fixed in Whisper too
            self.config.encoder_name = self.config.encoder_revision = None  # its weights are saved with the model

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: Mapping | None = None, **kwargs) -> None:
        """As in transformers; partial LoRA applies at the same positions when a layer is recomputed."""
        settings = {"use_reentrant": False, "context_fn": checkpoint_contexts}
        super().activation_checkpointing_enable({**(activation_checkpointing_kwargs or {}), **settings}, **kwargs)

    def encode(
        self, input_features: torch.Tensor, feature_attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel (clips, mels, frames), mask (clips, frames) -> encoder states (clips, T, width), mask (clips, T).
        With a mix of layers, the states of all: (clips, T, layers + 1, width)."""
        if feature_attention_mask is None:
            feature_attention_mask = torch.ones_like(input_features[:, 0])
        how = {"real_frames": self.config.real_frames, "every_layer": self.layer_mix is not None}
        return encode_speech(self.encoder, input_features, feature_attention_mask, **how)

    def get_speech_embeddings(
        self,
        input_features: torch.Tensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The speech embeddings of clips, (clips, P, width of the LLM), and their mask (clips, P), bool, from log-mels
        (clips, mels, frames) or from earlier outputs of `encode`."""
        if encoder_hidden_states is None:
            encoder_hidden_states, encoder_attention_mask = self.encode(input_features, feature_attention_mask)
        elif encoder_attention_mask is None:
            encoder_attention_mask = torch.ones(encoder_hidden_states.shape[:2], device=encoder_hidden_states.device)
        hidden = encoder_hidden_states.to(next(self.adapter.parameters()).dtype)
        if self.layer_mix is not None:
            hidden = self.layer_mix(hidden)
        return self.adapter(hidden, encoder_attention_mask.bool())

    def get_emotion_logits(self, speech_embeddings: torch.Tensor, speech_mask: torch.Tensor) -> torch.Tensor:
        """The emotion head on the mean over time of the speech embeddings: (clips, emotions)."""
        weights = speech_mask / speech_mask.sum(1, keepdim=True)  # (clips, P)
        return self.emotion_head((speech_embeddings * weights[..., None].to(speech_embeddings.dtype)).sum(1))

    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        shared_prefix: int = 0,
        states_to_keep: torch.Tensor | None = None,
        **kwargs,
    ) -> BlspEmoOutput:
        """input_ids, attention_mask: (rows, tokens), padded on either side; a clip has one `speech_token_id` for each
        of its embeddings, clips in the order of the rows and of their places in the row.
        input_features, feature_attention_mask: log-mel (clips, mels, frames) and its mask (clips, frames); or
        encoder_hidden_states, encoder_attention_mask: earlier outputs of `encode`.
        labels: (rows, tokens), -100 where none. logits_to_keep: an int (the last ones), or a bool mask (rows, tokens)
        for logits of shape (number of True, vocabulary). Other arguments go to the LLM.
        shared_prefix: so many first tokens are equal in all rows, without padding, speech or a label to predict from
        them: where possible the LLM reads them once for all rows, and logits are those of the tokens after them.
        states_to_keep: a bool mask (rows, tokens); the output then has, in place of logits, the `states` before the
        output head at the N tokens that are True.
        Raises StudyError when the number of placeholders is not that of the speech embeddings, or labels contain them.
        """
        if labels is not None and bool((labels == self._speech_token()).any()):
            raise StudyError("labels: contain the speech token, which is no reply; they are -100 where speech is")
        prefix = self._read_prefix(input_ids, shared_prefix, past_key_values, labels) if shared_prefix else None
        if prefix is not None:
            past_key_values, input_ids = prefix, input_ids[:, shared_prefix:]
            position_ids = None if position_ids is None else position_ids[:, shared_prefix:]
            labels = None if labels is None else labels[:, shared_prefix:]
            if isinstance(logits_to_keep, torch.Tensor):
                logits_to_keep = logits_to_keep[:, shared_prefix:]
            states_to_keep = None if states_to_keep is None else states_to_keep[:, shared_prefix:]
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        self._check_length(before + input_ids.shape[1])
        speech = speech_mask = emotion_logits = None
        if input_features is not None or encoder_hidden_states is not None:
            speech, speech_mask = self.get_speech_embeddings(
                input_features, feature_attention_mask, encoder_hidden_states, encoder_attention_mask
            )
            emotion_logits = self.get_emotion_logits(speech, speech_mask)
        embeddings, positions = self._embed(input_ids, speech, speech_mask)
        if position_ids is None and attention_mask is not None:
            position_ids = (attention_mask.long().cumsum(1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        inputs = {"inputs_embeds": embeddings, "attention_mask": attention_mask, "position_ids": position_ids}
        inputs |= {"past_key_values": past_key_values, **kwargs}
        with acting_at(EVERYWHERE if self.config.lora_scope == EVERYWHERE else positions):
            if states_to_keep is not None:
                states = self.llm.base_model(**inputs).last_hidden_state[states_to_keep]
                return BlspEmoOutput(
                    states=states, emotion_logits=emotion_logits, speech_embeddings=speech, speech_mask=speech_mask
                )
            output = self.llm(**inputs, logits_to_keep=logits_to_keep)
        loss = None
        if labels is not None:
            loss = response_ce(response_rows(output.logits, labels), response_targets(labels))
        whole = shared_prefix and prefix is None and isinstance(logits_to_keep, int) and logits_to_keep == 0
        return BlspEmoOutput(
            loss=loss,
            logits=output.logits[:, shared_prefix:] if whole else output.logits,
            past_key_values=output.past_key_values,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
            emotion_logits=emotion_logits,
            speech_embeddings=speech,
            speech_mask=speech_mask,
        )

    def _speech_token(self) -> int:
        return -1 if self.config.speech_token_id is None else self.config.speech_token_id

    def _embed(self, input_ids, speech, speech_mask) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Input embeddings of the LLM (rows, tokens, width), and where speech is: indices into the flattened rows."""
        is_speech = input_ids == self._speech_token()
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(is_speech, 0))
        positions = is_speech.flatten().nonzero()[:, 0]  # (n,)
        count = 0 if speech is None else int(speech_mask.sum())
        if len(positions) != count:
            raise StudyError(
                f"input_ids: {len(positions)} speech placeholders for {count} speech embeddings; "
                "the processor must have the adapter settings of the model"
            )
        if not count:
            return embeddings, None
        vectors = speech[speech_mask].to(embeddings.dtype)
        return embeddings.flatten(0, 1).index_put((positions,), vectors).view_as(embeddings), positions

    def _read_prefix(
        self, input_ids: torch.LongTensor, length: int, past_key_values: Cache | None, labels: torch.Tensor | None
    ) -> Cache | None:
        """The cache of the first `length` tokens, which all rows share, for every row; None where it does not help or
        cannot be had: a single row, gradient checkpointing, an LLM whose cache cannot be repeated."""
        if past_key_values is not None:
            raise StudyError("shared_prefix: past_key_values are given too; they contain the prefix, so leave it out")
        if labels is not None and bool((labels[:, : length + 1] != -100).any()):
            raise StudyError(f"shared_prefix: labels begin before token {length + 1}, so the prefix must be shorter")
        if len(input_ids) == 1 or (self.training and self.is_activation_checkpointing):
            return None
        everywhere = self.config.lora_scope == EVERYWHERE
        tokens = tuple(input_ids[0, :length].tolist())
        cache = self._prefixes.get(tokens)
        if cache is None:
            embeddings = self.get_input_embeddings()(input_ids[:1, :length])
            with acting_at(EVERYWHERE if everywhere else None):
                cache = self.llm(inputs_embeds=embeddings, use_cache=True, logits_to_keep=1).past_key_values
            layers = getattr(cache, "layers", ())
            if not layers or not all(hasattr(layer, "batch_repeat_interleave") for layer in layers):
                return None
            if self.training and not everywhere and not layers[-1].keys.requires_grad:  # the same in every update
                self._prefixes = {tokens: cache}  # that of the batch before: most have the same
        cache = copy.deepcopy(cache) if tokens in self._prefixes else cache
        cache.batch_repeat_interleave(len(input_ids))
        return cache

    def train(self, mode: bool = True):
        """As in torch. The prefixes that training has kept are forgotten where it ends, as weights may change then."""
        if mode != self.training:
            self._prefixes = {}
        return super().train(mode)

    def _check_length(self, length: int) -> None:
        limit = self._longest_sequence()
        if limit is not None and length > limit:
            raise StudyError(
                f"input_ids: {length} tokens, but this converted model is correct up to {limit} only; "
                "beyond that the original stretches its positions, which this one does not; shorten the dialogue"
            )

    def _longest_sequence(self) -> int | None:
        """The longest sequence that a converted LLM computes as the original does; None for other LLMs."""
        return getattr(self.config.get_text_config(), "max_prompt_length", None)


AutoModel.register(BlspEmoConfig, BlspEmoForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(BlspEmoConfig, BlspEmoForConditionalGeneration, exist_ok=True)
