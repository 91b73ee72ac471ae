"""An LLM behind an address: requests, their cache, and the key, which is never written."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.inference.continuations import write_elsewhere
from blsp_core.inference.endpoint import Endpoint
from blsp_core.inference.llm import Answer

KEY = "sk-very-secret-0123456789"


class Server(BaseHTTPRequestHandler):
    """Replies with the prompt in capitals; `trouble` is a list of (status, body) to answer with first."""

    def do_POST(self):
        server, request = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.seen.append((self.path, self.headers["Authorization"], request))
        said = request["messages"][-1]["content"]
        status, body = server.trouble.pop(0) if server.trouble else (200, None)
        if body is None:
            refused = {"content": None, "refusal": "I will not."}
            message = {"role": "assistant", **(refused if "forbidden" in said else {"content": said.upper()})}
            choice = {"index": 0, "message": message, "finish_reason": "length" if "long" in said else "stop"}
            body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(status)
        for header in (("Content-Type", "application/json"), ("retry-after-ms", "1")):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_): ...


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.seen, server.trouble, server.url = [], [], f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def endpoint(server, tmp_path):
    return partial(Endpoint, server.url, "some-llm", tmp_path / "replies")


def ask(*texts):
    return [[{"role": "system", "content": "be kind"}, {"role": "user", "content": text}] for text in texts]


def test_replies_come_in_order_greedily_with_refusals_and_cut_replies_marked(server, endpoint):
    texts = [f"text {n}" for n in range(20)]
    refused, cut, *others = endpoint().replies(ask("a forbidden thing", "a long thing", *texts))
    assert refused == Answer("I will not.", refused=True)
    assert cut == Answer("A LONG THING", early_stop=True) and others == [Answer(text.upper()) for text in texts]
    path, authorization, request = server.seen[0]
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("some-llm", 0, 512)


def test_the_same_question_is_sent_once_another_is_not_the_same_and_a_failure_loses_no_reply(server, endpoint):
    server.trouble = [(200, None), (200, None), (400, "{}")]
    with pytest.raises(StudyError):
        endpoint(workers=1).chat(ask("a", "a", "b", "c", "d"))
    assert endpoint().chat(ask("a", "b", "c", "d", "c")) == ["A", "B", "C", "D", "C"]
    endpoint(max_tokens=5).chat(ask("a"))
    sent = [request["messages"][-1]["content"] for *_, request in server.seen]
    assert [sent.count(text) for text in "abc"] == [2, 1, 2]
    server.shutdown()
    assert endpoint().chat(ask("b", "a")) == ["B", "A"] and len(server.seen) == len(sent)  # offline


def test_the_key_is_written_nowhere(server, endpoint, tmp_path):
    endpoint().chat(ask("a"))
    (kept,) = (path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in kept and "Bearer" not in kept
    for status, message, told in (
        (401, f"Incorrect API key provided: {KEY}", "set the environment variable OPENAI_API_KEY"),
        (400, f"strange request by {KEY}", r"status 400 .*strange request by \*\*\*"),
    ):
        server.trouble = [(status, json.dumps({"error": {"message": message}}))]
        with pytest.raises(StudyError, match=told) as error:
            endpoint().chat(ask("b"))
        assert KEY not in str(error.getrepr())


def test_a_busy_server_is_asked_again_and_a_broken_one_not_for_ever(server, endpoint):
    server.trouble = [(429, "{}"), (503, "{}")]
    assert endpoint().chat(ask("a")) == ["A"] and len(server.seen) == 3
    server.trouble = [(500, "{}")] * 9
    with pytest.raises(StudyError, match="some-llm: status 500"):
        endpoint(retries=2).chat(ask("b"))
    assert len(server.seen) == 6


def test_an_address_that_is_none_or_answers_otherwise_is_told(server, endpoint, tmp_path):
    server.trouble = [(200, "[1]"), (200, "no JSON")]
    for text in ("a", "b"):
        with pytest.raises(StudyError, match="is no chat completion"):
            endpoint().chat(ask(text))
    for address, told in (
        ("http://127.0.0.1:1/v1", "cannot be reached"),
        ("localhost", "'localhost': wanted is an address like https://host/v1"),
        ("https://me:secret@host/v1?key=secret", "'host/v1': wanted is .*, and the key in OPENAI_API_KEY"),
    ):
        with pytest.raises(StudyError, match=told) as error:
            Endpoint(address, "m", tmp_path, retries=0).chat(ask("a"))
        assert "secret" not in str(error.value)


def test_it_writes_continuations_as_the_llm_does(server, tmp_path):
    said = Utterance("a.flac", "we saw the dog", "sad", "a-1", "m1", "en", 2.0, "acted", "train")
    other = {"base_url": server.url, "model": "some-llm"}
    (row,) = write_elsewhere(other, [said], root=tmp_path, cache=tmp_path, max_new_tokens=7, batch_size=2)
    asked = prompts.CONTINUE_EMOTION.format(emotion="sad")
    assert row["output"] == (asked + said.text).upper().strip() and row["instruction"] == asked
    assert (row["writer"], row["early_stop"], row["refused"]) == ("some-llm", False, False)
    assert server.seen[0][2]["max_tokens"] == 7
