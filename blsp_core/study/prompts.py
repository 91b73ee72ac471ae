"""Every prompt of the paper, once (arXiv 2406.03872, released code and its README)."""

SYSTEM = "You are a helpful assistant."
SYSTEM_EMPATHY = (
    "You are a helpful assistant. Your response should fulfill requests with empathy toward user's emotion tone."
)

# Stage 1: the transcript, or the speech, follows.
CONTINUE = "Continue the following sentence in a coherent style: "
# Stage 2, what the LLM is given when it writes the targets: it reads the label and the transcript ...
CONTINUE_EMOTION = "Continue the following sentence that reflects a '{emotion}' emotion tone in a coherent style: "
# ... and what the model is given when it learns to write them: the speech alone.
CONTINUE_CONVEYED = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
# Emotion recognition, in words. Training never meets it together with speech.
IDENTIFY = (
    "Please identify the emotion tone of the speech provided below. "
    "Select from the following options: neutral, sad, angry, happy, or surprise.\n\nSpeech: "
)
# A cascade whose emotion classifier speaks to the LLM in words. Ours: the paper does not print its own.
TOLD = "(The speaker sounds {emotion}.) "
# Transcription through the LLM, a check of the semantic alignment. Ours.
REPEAT = "Repeat the following sentence: "
