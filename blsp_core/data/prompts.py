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
# Emotion recognition, in words. BLSP-Emo's training never meets it together with speech.
IDENTIFY = (
    "Please identify the emotion tone of the speech provided below. "
    "Select from the following options: neutral, sad, angry, happy, or surprise.\n\nSpeech: "
)
# The answer that a model learns which is trained to name the tone (BLSP-SER, multi-task, SALMONN). Ours.
NAMED = "the emotion tone of the speech provided is {emotion}."
# A cascade whose emotion classifier speaks to the LLM in words. Ours: the paper does not print its own.
TOLD = "(The speaker sounds {emotion}.) "
# Transcription through the LLM, a check of the semantic alignment. Ours.
REPEAT = "Repeat the following sentence: "

# Other wordings of the same, for an LLM that is raised here and for training that mixes them. Ours.
CONTINUE_WORDINGS = (CONTINUE, "Please continue this sentence: ", "Go on from here: ")
CONTINUE_CONVEYED_WORDINGS = (CONTINUE_CONVEYED, "Please continue this sentence in the tone it conveys: ")


def manners(system: str, wordings: tuple[str, ...], mixed: bool) -> list[tuple[str, str]]:
    """The (system prompt, instruction) pairs that a stage trains with: the paper's one, or all wordings under both
    system prompts."""
    if not mixed:
        return [(system, wordings[0])]
    return [(each, wording) for each in (SYSTEM, SYSTEM_EMPATHY) for wording in wordings]
