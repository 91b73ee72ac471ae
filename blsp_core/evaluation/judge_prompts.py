"""What a judge that is an LLM is asked. The paper's own wording is not published; these are the study's.

Quality and empathy are two separate questions, so that a kind answer does not pass for a good one. The judge is told
the speaker's true tone, which it cannot hear, for empathy and for preferences only.
"""

SYSTEM = "You are a careful and impartial judge of replies that a voice assistant gave to what a person said aloud."

QUALITY = """What was said:
{conversation}

The assistant's reply:
{reply}

How good is the reply's content? Consider only whether it understands what was asked, answers it, and is correct, clear
and complete. Leave its warmth or tone out of account. Neither length nor style earns marks of its own.
Explain your judgement in one or two sentences. Then give a whole number from 0 (of no use) to 10 (could not be better)
on the last line, in double brackets: [[number]]"""

EMPATHY = """What was said:
{conversation}

The voice of the last turn sounded {tone}.

The assistant's reply:
{reply}

How well does the reply meet the emotion of that voice? Consider only whether it takes notice of that emotion and
answers it as a considerate person would; to a neutral voice, that is without reading an emotion into it. Leave the
usefulness of its content out of account. Neither length nor style earns marks of its own.
Explain your judgement in one or two sentences. Then give a whole number from 0 (ignores or misreads the emotion) to 10
(could not be better) on the last line, in double brackets: [[number]]"""

PREFERENCE = """What was said:
{conversation}

The voice of the last turn sounded {tone}.

Reply A:
{first}

Reply B:
{second}

Which reply is better, all in all? A good reply takes up what was said in the earlier turns, helps with it, and meets
the emotion of the voice. Help that is wrong or misses the point is not made up for by warmth. The order in which the
replies stand, and their length, mean nothing.
Explain your judgement in one or two sentences. Then write on the last line [[A]] if reply A is better, [[B]] if reply B
is better, or [[C]] if neither is."""
