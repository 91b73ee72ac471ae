"""A chat LLM behind an OpenAI-compatible address: a service, or a vLLM, llama.cpp or Ollama server of your own.

The key comes from the environment variable OPENAI_API_KEY, where the address wants one, and is never written anywhere.
Replies are kept on disk by request, so that nothing is paid for twice and a run can be repeated offline.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import openai

from blsp_core.data.manifest import read_jsonl, write_jsonl
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError, refused
from blsp_core.inference.llm import Answer

KEY = "OPENAI_API_KEY"


class Endpoint:
    """`model` at `base_url` ("https://host/v1"), with temperature 0, several requests at a time.

    cache: folder of the replies, one JSON file each. max_tokens: longest reply. retries: of the `openai` client, after
    a lost connection, a busy server (408, 409, 429) or its failure (5xx).
    """

    def __init__(
        self, base_url: str, model: str, cache: str | Path, *, max_tokens: int = 512, retries: int = 5, workers: int = 8
    ):
        with refused(f"base_url: {str(base_url)[:80]!r}: wanted is an address like https://host/v1"):
            parts = urlsplit(base_url)
            parts.port  # noqa: B018, ValueError for one that is no number
        if not model.strip():
            raise StudyError(f"{base_url}: no model is named; name one beside base_url")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            plain = base_url.rpartition("@")[2].partition("?")[0]  # without a password
            raise StudyError(f"base_url: {plain!r}: wanted is an address like https://host/v1, and the key in {KEY}")
        self.base_url, self.model, self.cache = base_url.rstrip("/"), model, Path(cache)
        self.max_tokens, self.retries, self.workers = max_tokens, retries, workers

    def chat(self, chats: Sequence[list[dict]]) -> list[str]:
        """The texts of the replies to chats ({"role", "content"} turns), in their order; see `replies`."""
        return [reply.text for reply in self.replies(chats)]

    def replies(self, chats: Sequence[list[dict]]) -> list[Answer]:
        """The replies to chats, in their order. Equal chats are sent once.

        Raises StudyError when the address cannot be reached, wants another key, or rejects the request; the
        replies until then stay in the cache.
        """
        places = [self._place(chat) for chat in chats]
        missing = {place: chat for place, chat in zip(places, chats, strict=True) if not place.is_file()}
        if missing:
            key = os.environ.get(KEY, "").strip() or "no-key"  # a server of your own wants none
            if not key.isascii() or not key.isprintable():
                raise StudyError(f"{KEY} holds characters that no key has; set it again")
            client = openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=self.retries)
            with ThreadPoolExecutor(self.workers) as pool:  # `map` cancels what has not begun when one fails
                done = pool.map(partial(self._ask, client), missing, missing.values())
                list(progress(done, f"replies of {self.model}", len(missing)))
        return [_kept(place) for place in places]

    def _request(self, chat: list[dict]) -> dict:
        return {"model": self.model, "messages": chat, "temperature": 0, "max_tokens": self.max_tokens}

    def _place(self, chat: list[dict]) -> Path:
        content = json.dumps([self.base_url, self._request(chat)], sort_keys=True, ensure_ascii=False)
        return self.cache / f"{hashlib.sha256(content.encode()).hexdigest()}.json"

    def _ask(self, client, place: Path, chat: list[dict]) -> None:
        request = self._request(chat)
        try:
            choice = client.chat.completions.create(**request).choices[0]
            declined = getattr(choice.message, "refusal", None)
            withheld = bool(declined) or choice.finish_reason == "content_filter"
            text = (choice.message.content or declined or "").strip().encode(errors="replace").decode()
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            trouble = f"refused; set the environment variable {KEY} to a key that it takes"
        except openai.APIConnectionError:
            trouble = "cannot be reached; is the address right, and the server up?"
        except openai.APIStatusError as error:
            text = " ".join(error.response.text.replace(client.api_key, "***")[:200].split())
            text = "".join(character for character in text if character.isprintable())
            trouble = f"status {error.status_code} ({text}); correct the request or try later"
        except (openai.OpenAIError, ValueError, AttributeError, LookupError, TypeError):
            trouble = "the reply is no chat completion; is the address OpenAI-compatible?"
        else:
            reply = asdict(Answer(text, choice.finish_reason == "length", withheld))
            write_jsonl(place, [{"base_url": self.base_url, **request, "reply": reply}])
            return
        # not in the `except`: the library's message may quote the key, and a notebook would print it as the cause
        raise StudyError(f"{self.base_url}, {self.model}: {trouble}")


def _kept(place: Path) -> Answer:
    with refused(f"{place}: not a reply that this study has kept; remove the file"):
        return Answer(**read_jsonl(place)[0]["reply"])
