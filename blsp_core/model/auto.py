"""transformers' Auto classes learn of BLSP-Emo."""

from transformers import AutoConfig, AutoModel, AutoProcessor

from blsp_core.model.configuration import BlspEmoConfig
from blsp_core.model.modeling import BlspEmoForConditionalGeneration
from blsp_core.model.processing import BlspEmoProcessor

AutoConfig.register("blsp_emo", BlspEmoConfig, exist_ok=True)
AutoModel.register(BlspEmoConfig, BlspEmoForConditionalGeneration, exist_ok=True)
AutoProcessor.register(BlspEmoConfig, BlspEmoProcessor, exist_ok=True)
