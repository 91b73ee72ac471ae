"""Every prompt of the paper, once (arXiv 2406.03872, released code and its README)."""

SYSTEM = "You are a helpful assistant."
SYSTEM_EMPATHY = (
    "You are a helpful assistant. Your response should fulfill requests with empathy toward user's emotion tone."
)

# Stage 1: the transcript, or the speech, follows.
CONTINUE = "Continue the following sentence in a coherent style: "
# Stage 2: the LLM writes the targets from the label and the transcript, the model learns them from the speech alone.
CONTINUE_EMOTION = "Continue the following sentence that reflects a '{emotion}' emotion tone in a coherent style: "
CONTINUE_CONVEYED = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
# Emotion recognition. BLSP-Emo is never trained on it.
IDENTIFY = (
    "Please identify the emotion tone of the speech provided below. "
    "Select from the following options: neutral, sad, angry, happy, or surprise.\n\nSpeech: "
)
# Ours: the answer to IDENTIFY that variants are trained on (BLSP-SER, multi-task, SALMONN).
NAMED = "the emotion tone of the speech provided is {emotion}."
# Ours: how a cascade gives the LLM the emotion; the paper does not print its own.
TOLD = "(The speaker sounds {emotion}.) "
# Ours: transcription through the LLM.
REPEAT = "Repeat the following sentence: "


def chat(system: str, user: str) -> list[dict]:
    """One question in chat form."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def spoken_chat(system: str, instruction: str, audio=None) -> list[dict]:
    """One question whose last part is speech; `audio` is a waveform, or None where only its length matters."""
    parts = [{"type": "text", "text": instruction}] if instruction else []
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": [*parts, {"type": "audio", "audio": audio}]},
    ]
