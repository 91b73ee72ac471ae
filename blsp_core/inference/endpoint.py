"""A chat LLM behind an OpenAI-compatible address: a service, or a vLLM, llama.cpp or Ollama server of your own.

The key comes from the environment variable OPENAI_API_KEY, where the address wants one, and is never written anywhere.
Replies are kept on disk by request, so that nothing is paid for twice and a run can be repeated offline.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from blsp_core.data.manifest import write_jsonl
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError

KEY = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Reply:
    """A reply, whether the token limit cut it short, and whether the model or the service declined."""

    text: str
    early_stop: bool = False
    refused: bool = False


class Endpoint:
    """`model` at `base_url` ("https://host/v1"), with temperature 0, several requests at a time.

    cache: folder of the replies, one JSON file each. max_tokens: longest reply. retries: of the `openai` client, after
    a lost connection, a busy server (408, 409, 429) or its failure (5xx). `asked`: chats that this object sent;
    `refusals`: its refused replies.
    """

    def __init__(
        self, base_url: str, model: str, cache: str | Path, *, max_tokens: int = 512, retries: int = 5, workers: int = 8
    ):
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudyError(f"base_url: {base_url!r} is no address; wanted is one like https://host/v1")
        if parts.username or parts.password or parts.query:
            raise StudyError(
                f"base_url: the address of {parts.hostname} has a password or a query; put the key in {KEY}"
            )
        self.base_url, self.model, self.cache = base_url.rstrip("/"), model, Path(cache)
        self.max_tokens, self.retries, self.workers = max_tokens, retries, workers
        self.asked = self.refusals = 0

    def chat(self, chats: Sequence[list[dict]]) -> list[str]:
        """The texts of the replies to chats ({"role", "content"} turns), in their order; see `replies`."""
        return [reply.text for reply in self.replies(chats)]

    def replies(self, chats: Sequence[list[dict]]) -> list[Reply]:
        """The replies to chats, in their order. Equal chats are sent once.

        Raises StudyError when the address cannot be reached, wants another key, or rejects the request; the
        replies until then stay in the cache.
        """
        places = [self._place(chat) for chat in chats]
        missing = {place: chat for place, chat in zip(places, chats, strict=True) if not place.is_file()}
        if missing:
            import openai

            key = os.environ.get(KEY) or "none"  # a server of your own wants none
            client = openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=self.retries)
            self.asked += len(missing)
            with ThreadPoolExecutor(self.workers) as pool:
                waiting = [pool.submit(self._ask, client, place, chat) for place, chat in missing.items()]
                try:
                    for done in progress(as_completed(waiting), f"replies of {self.model}", len(waiting)):
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

    def _ask(self, client, place: Path, chat: list[dict]) -> None:
        """Ask once and keep the reply in `place`."""
        import openai

        where, request = f"{self.base_url}, {self.model}", self._request(chat)
        # `from None`: the library's message may quote the key, and a notebook would print it
        try:
            answer = client.chat.completions.create(**request)
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise StudyError(f"{where}: refused; set the environment variable {KEY} to a key that it takes") from None
        except openai.APIConnectionError:
            raise StudyError(f"{where}: cannot be reached; is the address right, and the server up?") from None
        except openai.APIStatusError as error:
            text = _without_key(error.response.text)[:200]
            raise StudyError(
                f"{where}: status {error.status_code} ({text}); correct the request or try later"
            ) from None
        except (openai.OpenAIError, ValueError):
            answer = None
        if not getattr(answer, "choices", None):
            raise StudyError(f"{where}: the reply is no chat completion; is the address OpenAI-compatible?")
        choice = answer.choices[0]
        declined = getattr(choice.message, "refusal", None)
        refused = bool(declined) or choice.finish_reason == "content_filter"
        text = (choice.message.content or declined or "").strip()
        reply = asdict(Reply(text, choice.finish_reason == "length", refused))
        write_jsonl(place, [{"base_url": self.base_url, **request, "reply": reply}])


def _without_key(text: str) -> str:
    key = os.environ.get(KEY)
    return text.replace(key, "***") if key else text
