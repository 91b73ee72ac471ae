"""The vocabulary of the toy language: topics, people, places, cues, and the phrases of continuations and replies."""

from typing import NamedTuple

# topic -> (its people, objects, verbs, advice); every line of advice fits every object of the topic.
_TOPICS = {
    "travel": ("travelers", "train hotel passport suitcase ticket", "reserve|find|pay for",
               "you could compare the {object} online first|it helps to plan the {object} a week ahead"),
    "cooking": ("cooks", "soup bread cake salad dinner", "cook|serve|taste",
                "you could add some salt to the {object}|it helps to let the {object} rest a little"),
    "garden": ("gardeners", "tree lawn hedge flower fence", "water|trim|plant",
               "you could cut the {object} in spring|it helps to give the {object} enough light"),
    "work": ("clerks", "report meeting contract project interview", "prepare|finish|discuss",
             "you could make notes for the {object} first|it helps to go through the {object} with your boss"),
    "house": ("builders", "roof door window kitchen lamp", "repair|paint|clean",
              "you could measure the {object} first|it helps to call someone who knows the {object} well"),
    "school": ("pupils", "exam essay lesson book homework", "study|read|explain",
               "you could split the {object} into small parts|it helps to review the {object} every evening"),
    "sport": ("athletes", "race match training bicycle marathon", "try|watch|practice",
              "you could warm up before the {object}|it helps to drink water during the {object}"),
    "music": ("musicians", "song piano guitar concert violin", "play|hear|record",
              "you could listen to the {object} slowly|it helps to count along with the {object}"),
    "money": ("bankers", "loan budget bill rent salary", "check|raise|calculate",
              "you could write the {object} into a table|it helps to ask the bank about the {object}"),
    "animals": ("keepers", "dog cat horse rabbit parrot", "feed|wash|teach",
                "you could be patient with the {object}|it helps to show the {object} to a doctor"),
}  # fmt: skip
TOPICS = {
    topic: {"folk": folk, "objects": objects.split(), "verbs": verbs.split("|"), "advice": advice.split("|")}
    for topic, (folk, objects, verbs, advice) in _TOPICS.items()
}
TOPIC_OF = {thing: topic for topic, entry in TOPICS.items() for thing in entry["objects"]}

# fmt: off
PEOPLE = [
    "my brother", "my sister", "my mother", "my father", "our neighbor", "the teacher", "my friend", "the children",
    "my uncle", "the manager", "my cousin", "the students",
]
PLACES = [
    "in the city", "at home", "near the station", "in the village", "by the river", "at the office", "downtown",
    "upstairs",
]
MOMENTS = ["today", "tomorrow", "this morning", "tonight", "on monday", "next week", "on sunday", "after lunch"]
SHAPES_STATEMENT = [
    "{person} will {verb} the {object} {place}", "{moment} {person} wanted to {verb} the {object}",
    "{person} talked about the {object} {moment}", "we saw {person} with the {object} {place}",
    "they asked {person} to {verb} the {object} {moment}",
]
SHAPES_REQUEST = [
    "how do i {verb} the {object} {moment}", "tell me how to {verb} the {object} {place}",
    "give me some advice about the {object} {moment}", "what should i know before i {verb} the {object}",
    "help me to {verb} the {object} {place}",
]
# A request about an object that was named in an earlier turn; its words occur in other sentences too.
SHAPES_FOLLOW_UP = [
    "what should i do about it {where}", "tell me what to do about this {where}", "{where} what can i do about it",
    "give me some advice about this {where}", "tell me what i should know about it {where}",
    "{where} what would you do about this",
]
# Spoken phrases that state the emotion; the neutral ones state none.
CUES = {
    "neutral": ["as you know", "for the record", "as planned", "just so you know", "by the way", "as usual"],
    "happy": ["i am so glad", "this is wonderful", "what a lovely day", "i feel great", "this makes me smile",
              "i am delighted"],
    "sad": ["i feel terrible", "this breaks my heart", "i could cry", "i am so unhappy", "it hurts so much",
            "i feel so alone"],
    "angry": ["this is outrageous", "i am furious", "i have had enough", "this makes me mad", "how dare they",
              "i hate this"],
    "surprise": ["i can not believe it", "what a shock", "i never expected this", "oh my goodness",
                 "who would have thought", "this is incredible"],
}
# Emojis that mark the emotion in written text; they are never spoken.
MARKERS = {"neutral": "😐", "happy": "😀", "sad": "😢", "angry": "😠", "surprise": "😮"}
# The first word of every answer in an emotion, whatever the instruction: one token per emotion for the LLM.
INTERJECTIONS = {"neutral": "well,", "happy": "hooray,", "sad": "alas,", "angry": "argh,", "surprise": "wow,"}
OPENINGS_CONTINUATION = {
    "neutral": ["later that day", "after a while", "some time later"],
    "happy": ["it was pure joy when", "with a big smile we saw that", "everyone cheered when"],
    "sad": ["it was a sad moment when", "with tears in our eyes we saw that", "our hearts sank when"],
    "angry": ["it was a disgrace when", "with clenched fists we saw that", "everyone shouted when"],
    "surprise": ["it was quite a wonder when", "with open mouths we saw that", "nobody could believe it when"],
}
# The second LLM continues in another style: no interjection, other words, the topic's people at the end.
OTHER_OPENINGS = {
    "neutral": ["as usual and as planned", "by the way"],
    "happy": ["with a wonderful smile", "so glad and so delighted"],
    "sad": ["with a terrible sorrow", "so unhappy and so alone"],
    "angry": ["so mad and so furious", "with outrageous anger"],
    "surprise": ["with incredible wonder", "so amazed by the shock"],
}
OPENINGS_REPLY = {
    "neutral": ["sure.", "of course.", "here is an idea."],
    "happy": ["it is lovely to hear you so happy.", "your joy is catching.",
              "how nice that you are in such a good mood."],
    "sad": ["i am sorry that you feel so sad.", "that sounds really hard for you.",
            "i am here for you in this sorrow."],
    "angry": ["i understand that you are angry.", "your anger makes sense to me.", "i can hear how upset you are."],
    "surprise": ["i see that this amazed you.", "that must have been unexpected for you.", "what a surprise for you."],
}
# fmt: on
# The body of an answer names the topic's people first. A continuation repeats all parts of the sentence, so that it
# can only be right where the whole sentence was understood.
LIKE = "like {folk}"
BODY_WITH_VERB = "{person} wanted to {verb} the {object} {where}"
BODY_WITHOUT_VERB = "{person} thought of the {object} {where}"
OTHER_WITH_VERB = "{person} talked about how to {verb} the {object} {where} and asked the {folk}"
OTHER_WITHOUT_VERB = "{person} talked about the {object} {where} and asked the {folk}"
TELL_ME_MORE = "please tell me more about the {object}"
# The assistant's first turn of a dialogue; it does not name the object, so the answer needs the user's own words.
GO_ON = ["please go on", "what would you like from me", "i am listening"]
# Sentences of RAVDESS, for which the LLM is trained too: person and object. No toy corpus has them.
RAVDESS = {"kids are talking by the door": ("kids", "door"), "dogs are sitting by the door": ("dogs", "door")}


class Language(NamedTuple):
    """A language that the toy LLM and Whisper are trained on and the study's training data do not have."""

    code: str  # ISO 639-1, also eSpeak NG's voice
    emotions: list[str]  # in the proportions in which they are listed
    parts: list[list[str]]  # people, verbs, objects, places and times; no word carries an emotion


def _language(code: str, emotions: str, *parts: str) -> Language:
    return Language(code, emotions.split(), [part.split(", ") for part in parts])


LANGUAGES = {
    # in the role of AESDD: three emotions in equal shares
    "greek": _language(
        "el", "happy sad angry",
        "ο αδελφός μου, η αδελφή μου, ο γείτονάς μας, η δασκάλα, ο θείος μου, η μητέρα μου, ο φίλος μου, η γιατρός",
        "βλέπει, ψάχνει, δείχνει, αγοράζει, φέρνει, κρατάει",
        "το βιβλίο, τη βαλίτσα, το ποδήλατο, τη λάμπα, το εισιτήριο, την κιθάρα, το τραπέζι, τον χάρτη",
        "σήμερα, το πρωί, το βράδυ, στο σπίτι, στο χωριό, κοντά στον σταθμό, στο γραφείο",
    ),
    # in the role of CaFE: one neutral to two of each other emotion
    "french": _language(
        "fr", "neutral happy sad angry surprise happy sad angry surprise",
        "mon frère, ma sœur, notre voisin, la directrice, le professeur, ma cousine, mon oncle, le facteur",
        "regarde, cherche, montre, achète, apporte, garde",
        "le livre, la valise, le vélo, la lampe, le billet, la guitare, la table, le tapis",
        "ce matin, ce soir, aujourd'hui, à la maison, au village, près de la gare, au bureau",
    ),
    # in the role of RESD: four emotions in nearly equal shares
    "russian": _language(
        "ru", "neutral happy sad angry",
        "мой брат, моя сестра, наш сосед, учительница, мой дядя, моя мама, мой друг, директор",
        "видит, ищет, показывает, покупает, приносит, рисует",
        "книгу, чемодан, велосипед, лампу, билет, гитару, стол, карту",
        "сегодня, утром, вечером, дома, в деревне, у вокзала, в офисе",
    ),
}  # fmt: skip
