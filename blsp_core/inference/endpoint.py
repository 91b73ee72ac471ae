"""A chat LLM behind any OpenAI-compatible address: a service, or one's own vLLM, llama.cpp or Ollama.

The key comes from the environment variable OPENAI_API_KEY, where the address wants one, and is never written anywhere.
Replies are kept on disk by what was asked of whom, so that nothing is paid for twice and a run can be repeated offline.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from blsp_core.errors import StudyError
from blsp_core.study.record import write_json

KEY = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Reply:
    """What came back, whether the token limit cut it short, and whether the model or its keeper declined to answer."""

    text: str
    early_stop: bool = False
    refused: bool = False


class Endpoint:
    """Asks `model` at `base_url` ("https://host/v1"), greedily (temperature 0), several chats at a time.

    cache: folder of the replies, one JSON file each. max_tokens: longest reply. retries: after a lost connection, a
    busy server (408, 409, 429) or its failure (5xx), each after a longer wait. `asked` counts the chats that were sent,
    `refusals` the refused replies, both in this object's life.
    """

    def __init__(
        self, base_url: str, model: str, cache: str | Path, *, max_tokens: int = 512, retries: int = 5, workers: int = 8
    ):
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudyError(f"base_url: {base_url!r} is no address; wanted is one like https://host/v1")
        if parts.username or parts.password or parts.query:
            raise StudyError(f"base_url: the address of {parts.hostname} holds more than a place; put the key in {KEY}")
        self.base_url, self.model, self.cache = base_url.rstrip("/"), model, Path(cache)
        self.max_tokens, self.retries, self.workers = max_tokens, retries, workers
        self.asked = self.refusals = 0

    def chat(self, chats: Sequence[list[dict]]) -> list[str]:
        """The texts of the replies to chats ({"role", "content"} turns), in their order; see `replies`."""
        return [reply.text for reply in self.replies(chats)]

    def replies(self, chats: Sequence[list[dict]]) -> list[Reply]:
        """The replies to chats, in their order. What is asked twice is sent once.

        Raises StudyError when the address cannot be reached, wants another key, or does not understand the request;
        what had been answered until then stays in the cache.
        """
        places = [self._place(chat) for chat in chats]
        missing = {place: chat for place, chat in zip(places, chats, strict=True) if not place.is_file()}
        if missing:
            client = self._connect()
            self.asked += len(missing)
            with ThreadPoolExecutor(self.workers) as pool:
                waiting = [pool.submit(self._ask_and_keep, client, place, chat) for place, chat in missing.items()]
                try:
                    for done in tqdm(waiting, unit="reply"):
                        done.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        found = [Reply(**json.loads(place.read_text(encoding="utf-8"))["reply"]) for place in places]
        self.refusals += sum(reply.refused for reply in found)
        return found

    def _request(self, chat: list[dict]) -> dict:
        return {"model": self.model, "messages": chat, "temperature": 0, "max_tokens": self.max_tokens}

    def _place(self, chat: list[dict]) -> Path:
        content = json.dumps([self.base_url, self._request(chat)], sort_keys=True, ensure_ascii=False)
        return self.cache / f"{hashlib.sha256(content.encode()).hexdigest()}.json"

    def _connect(self):
        import openai

        key = os.environ.get(KEY) or "none"  # one's own server wants none
        return openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=self.retries)

    def _ask_and_keep(self, client, place: Path, chat: list[dict]) -> None:
        reply = self._ask(client, self._request(chat))
        write_json(place, {"base_url": self.base_url, **self._request(chat), "reply": asdict(reply)})

    def _ask(self, client, request: dict) -> Reply:
        import openai

        where = f"{self.base_url}, {self.model}"
        # `from None`: what the library says may quote the key, and a notebook would print it
        try:
            answer = client.chat.completions.create(**request)
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise StudyError(f"{where}: refused; set the environment variable {KEY} to a key that it takes") from None
        except openai.APIConnectionError:
            raise StudyError(f"{where}: cannot be reached; is the address right, and the server up?") from None
        except openai.APIStatusError as error:
            said = _without_key(error.response.text)[:200]
            raise StudyError(f"{where}: status {error.status_code} ({said}); mend the request or try later") from None
        except (openai.OpenAIError, ValueError):
            answer = None
        if not getattr(answer, "choices", None):
            raise StudyError(f"{where}: what came back is no chat completion; is the address an OpenAI-compatible one?")
        choice = answer.choices[0]
        declined = getattr(choice.message, "refusal", None)
        refused = bool(declined) or choice.finish_reason == "content_filter"
        return Reply((choice.message.content or declined or "").strip(), choice.finish_reason == "length", refused)


def _without_key(text: str) -> str:
    key = os.environ.get(KEY)
    return text.replace(key, "***") if key else text
