"""The judge of the miniature: the grammar."""

from blsp_core.toy.grammar import object_of, parse_reply


class ToyJudge:
    """Marks replies 0 or 1 by parsing them; the protocol is that of the judges in blsp_core/evaluation/judges.py.

    quality 1: a well-formed reply with advice on the object named in the first turn. A question instead ("please tell
    me more about the door") answers a statement, not a request.
    empathy 1: a well-formed reply that opens in the emotion of the last turn.
    Of two replies the one of better quality is preferred, at equal quality the one of more empathy.
    """

    name = "toy"

    def mark(self, prompts: list, replies: list[str]) -> list[dict]:
        """The marks of each reply. prompts: objects with `turns`, (role, words) each, and `emotion`."""
        return [self._mark(one.turns, one.emotion, reply) for one, reply in zip(prompts, replies, strict=True)]

    def prefer(self, first: list[dict], second: list[dict]) -> list[str]:
        """win, tie or loss of the first row of each pair, by their marks."""
        ranks = [[(row["quality"], row["empathy"]) for row in rows] for rows in (first, second)]
        return ["win" if a > b else "loss" if a < b else "tie" for a, b in zip(*ranks, strict=True)]

    def _mark(self, turns: tuple[tuple[str, str], ...], emotion: str, response: str) -> dict:
        reply = parse_reply(response)
        ends = len(turns) == 1 or reply.topic is not None  # a question does not end a dialogue
        well_formed = reply.well_formed and reply.kind == "reply" and ends
        right_object = reply.topic is not None and reply.object == object_of(turns[0][1])
        return {
            "well_formed": int(well_formed),
            "object": reply.object,
            "emotion": reply.emotion,
            "quality": int(well_formed and right_object),
            "empathy": int(well_formed and reply.emotion == emotion),
        }
