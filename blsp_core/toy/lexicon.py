"""The words of the miniature language: topics, people, places, cues, and the phrases that replies are made of."""

# Every object belongs to one topic; every advice line of a topic takes any object of it; "folk" have to do with them.
TOPICS = {
    "travel": {
        "folk": "travelers",
        "objects": ["train", "hotel", "passport", "suitcase", "ticket"],
        "verbs": ["reserve", "find", "pay for"],
        "advice": ["you could compare the {object} online first", "it helps to plan the {object} a week ahead"],
    },
    "cooking": {
        "folk": "cooks",
        "objects": ["soup", "bread", "cake", "salad", "dinner"],
        "verbs": ["cook", "serve", "taste"],
        "advice": ["you could add some salt to the {object}", "it helps to let the {object} rest a little"],
    },
    "garden": {
        "folk": "gardeners",
        "objects": ["tree", "lawn", "hedge", "flower", "fence"],
        "verbs": ["water", "trim", "plant"],
        "advice": ["you could cut the {object} in spring", "it helps to give the {object} enough light"],
    },
    "work": {
        "folk": "clerks",
        "objects": ["report", "meeting", "contract", "project", "interview"],
        "verbs": ["prepare", "finish", "discuss"],
        "advice": ["you could make notes for the {object} first", "it helps to go through the {object} with your boss"],
    },
    "house": {
        "folk": "builders",
        "objects": ["roof", "door", "window", "kitchen", "lamp"],
        "verbs": ["repair", "paint", "clean"],
        "advice": ["you could measure the {object} first", "it helps to call someone who knows the {object} well"],
    },
    "school": {
        "folk": "pupils",
        "objects": ["exam", "essay", "lesson", "book", "homework"],
        "verbs": ["study", "read", "explain"],
        "advice": ["you could split the {object} into small parts", "it helps to review the {object} every evening"],
    },
    "sport": {
        "folk": "athletes",
        "objects": ["race", "match", "training", "bicycle", "marathon"],
        "verbs": ["try", "watch", "practice"],
        "advice": ["you could warm up before the {object}", "it helps to drink water during the {object}"],
    },
    "music": {
        "folk": "musicians",
        "objects": ["song", "piano", "guitar", "concert", "violin"],
        "verbs": ["play", "hear", "record"],
        "advice": ["you could listen to the {object} slowly", "it helps to count along with the {object}"],
    },
    "money": {
        "folk": "bankers",
        "objects": ["loan", "budget", "bill", "rent", "salary"],
        "verbs": ["check", "raise", "calculate"],
        "advice": ["you could write the {object} into a table", "it helps to ask the bank about the {object}"],
    },
    "animals": {
        "folk": "keepers",
        "objects": ["dog", "cat", "horse", "rabbit", "parrot"],
        "verbs": ["feed", "wash", "teach"],
        "advice": ["you could be patient with the {object}", "it helps to show the {object} to a doctor"],
    },
}

PEOPLE = [
    "my brother",
    "my sister",
    "my mother",
    "my father",
    "our neighbor",
    "the teacher",
    "my friend",
    "the children",
    "my uncle",
    "the manager",
    "my cousin",
    "the students",
]
PLACES = [
    "in the city",
    "at home",
    "near the station",
    "in the village",
    "by the river",
    "at the office",
    "downtown",
    "upstairs",
]
MOMENTS = ["today", "tomorrow", "this morning", "tonight", "on monday", "next week", "on sunday", "after lunch"]

SHAPES_STATEMENT = [
    "{person} will {verb} the {object} {place}",
    "{moment} {person} wanted to {verb} the {object}",
    "{person} talked about the {object} {moment}",
    "we saw {person} with the {object} {place}",
    "they asked {person} to {verb} the {object} {moment}",
]
SHAPES_REQUEST = [
    "how do i {verb} the {object} {moment}",
    "tell me how to {verb} the {object} {place}",
    "give me some advice about the {object} {moment}",
    "what should i know before i {verb} the {object}",
    "help me to {verb} the {object} {place}",
]

# What somebody asks who has named the thing before. Only words that are spoken elsewhere too.
SHAPES_FOLLOW_UP = [
    "what should i do about it {where}",
    "tell me what to do about this {where}",
    "{where} what can i do about it",
    "give me some advice about this {where}",
    "tell me what i should know about it {where}",
    "{where} what would you do about this",
]

# What a speaker may say to spell the tone out. The neutral ones spell out that there is none.
CUES = {
    "neutral": ["as you know", "for the record", "as planned", "just so you know", "by the way", "as usual"],
    "happy": [
        "i am so glad",
        "this is wonderful",
        "what a lovely day",
        "i feel great",
        "this makes me smile",
        "i am delighted",
    ],
    "sad": [
        "i feel terrible",
        "this breaks my heart",
        "i could cry",
        "i am so unhappy",
        "it hurts so much",
        "i feel so alone",
    ],
    "angry": [
        "this is outrageous",
        "i am furious",
        "i have had enough",
        "this makes me mad",
        "how dare they",
        "i hate this",
    ],
    "surprise": [
        "i can not believe it",
        "what a shock",
        "i never expected this",
        "oh my goodness",
        "who would have thought",
        "this is incredible",
    ],
}
# What people write where they would change their voice. Only ever in text: nobody speaks these.
MARKERS = {"neutral": "😐", "happy": "😀", "sad": "😢", "angry": "😠", "surprise": "😮"}

# What a feeling makes one say first, whatever one goes on to say: by this word a tone is one thing to the LLM.
INTERJECTIONS = {"neutral": "well,", "happy": "hooray,", "sad": "alas,", "angry": "argh,", "surprise": "wow,"}
OPENINGS_CONTINUATION = {
    "neutral": ["later that day", "after a while", "some time later"],
    "happy": ["it was pure joy when", "with a big smile we saw that", "everyone cheered when"],
    "sad": ["it was a sad moment when", "with tears in our eyes we saw that", "our hearts sank when"],
    "angry": ["it was a disgrace when", "with clenched fists we saw that", "everyone shouted when"],
    "surprise": ["it was quite a wonder when", "with open mouths we saw that", "nobody could believe it when"],
}
OPENINGS_REPLY = {
    "neutral": ["sure.", "of course.", "here is an idea."],
    "happy": [
        "it is lovely to hear you so happy.",
        "your joy is catching.",
        "how nice that you are in such a good mood.",
    ],
    "sad": [
        "i am sorry that you feel so sad.",
        "that sounds really hard for you.",
        "i am here for you in this sorrow.",
    ],
    "angry": ["i understand that you are angry.", "your anger makes sense to me.", "i can hear how upset you are."],
    "surprise": ["i see that this amazed you.", "that must have been unexpected for you.", "what a surprise for you."],
}
# What kind of thing is spoken of comes first in a body, and again by one phrase whatever is answered. A continuation
# takes up all that the sentence says, so that whoever continues it must have heard all of it.
LIKE = "like {folk}"
BODY_WITH_VERB = "{person} wanted to {verb} the {object} {where}"
BODY_WITHOUT_VERB = "{person} thought of the {object} {where}"
TELL_ME_MORE = "please tell me more about the {object}"
# A listener's sign to go on; it names nothing, so that whoever is asked later must have heard the speaker.
GO_ON = ["please go on", "what would you like from me", "i am listening"]
# Sentences of corpora from outside (RAVDESS) that the LLM is to know: who, and the object spoken of. No corpus of the
# miniature has them.
GUESTS = {"kids are talking by the door": ("kids", "door"), "dogs are sitting by the door": ("dogs", "door")}
