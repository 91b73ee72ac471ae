"""The page of `blsp-chat`: one talks to one model or to several side by side. Needs Gradio, the extra `chat`.

A turn is {"role": "user", "sound": waveform} or {"role": "user" | "assistant", "text": text}. Every column has its own
turns, since replies differ, and every visitor has columns of their own.
"""

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import matplotlib.pyplot as plt
import numpy as np
import torch

from blsp_core.data.prompts import SYSTEM, SYSTEM_EMPATHY, spoken_chat
from blsp_core.errors import StudyError, first_line, refused
from blsp_core.inference import answers, asr, llm
from blsp_core.model.audio import SAMPLE_RATE, load_speech
from blsp_core.model.templates import render

UPDATE = 0.25  # seconds between updates of a reply that grows
UPLOAD, WAITING, RATE = "25mb", 32, 20  # size of a file; messages that wait; messages a minute of one address
TITLE = """# Talk to BLSP-Emo
A language model that reads speech itself, not a transcript, and so can answer to how something is said."""
CSS = "footer {display: none !important} .gradio-container {max-width: 1280px !important; margin: auto} "
CSS += "#send {background: #9c1525; color: #fff}"


class SpeechModel:
    """A BLSP-Emo of any stage."""

    def __init__(self, folder: str | Path, name: str = ""):
        self.model, self.processor = answers.load_model(folder)
        self.tokenizer = self.processor.tokenizer
        self.name = name or Path(folder).name

    def reply(self, turns: list[dict], system: str, max_new_tokens: int, temperature: float) -> Iterator[str]:
        """The reply to the last turn as it grows."""
        chat = [{"role": "system", "content": system}]
        for turn in turns:
            spoken = "sound" in turn
            chat.append(spoken_chat(system, "", turn["sound"])[1] if spoken else _written(turn))
        inputs = self.processor([chat]).to(self.model.device)
        _check_length(self.model, inputs, max_new_tokens)
        yield from llm.stream(self.model, self.processor.tokenizer, inputs, max_new_tokens, temperature)

    @torch.no_grad()
    def emotions(self, sound: np.ndarray) -> dict[str, float] | None:
        """The probability of every emotion, by the emotion head; None after stage 1, which does not train it."""
        if not self.model.config.lora_rank:
            return None
        batch = self.processor.features([sound]).to(self.model.device)
        speech = self.model.get_speech_embeddings(**batch)
        shares = self.model.get_emotion_logits(*speech).float().softmax(-1)[0].tolist()
        return dict(zip(self.model.config.emotions, shares, strict=True))


class Cascade:
    """Whisper's transcripts, read by the LLM: it knows the words only."""

    name = "Whisper+LLM"

    def __init__(self, whisper: Path, text_llm: Path):
        self.whisper, (self.llm, self.tokenizer) = asr.load_whisper(whisper), llm.load(text_llm)

    def reply(self, turns: list[dict], system: str, max_new_tokens: int, temperature: float) -> Iterator[str]:
        """The transcript of the last turn, then the reply as it grows."""
        chat = [{"role": "system", "content": system}]
        for turn in turns:
            if "sound" in turn and "text" not in turn:
                (turn["text"],) = asr.transcribe(*self.whisper, [turn["sound"]])
            chat.append(_written(turn))
        text = render(self.tokenizer, chat, add_generation_prompt=True)
        inputs = self.tokenizer(text, add_special_tokens=False, return_tensors="pt").to(self.llm.device)
        _check_length(self.llm, inputs, max_new_tokens)
        transcript = f"*“{turns[-1]['text']}”*\n\n" if "sound" in turns[-1] else ""
        for reply in llm.stream(self.llm, self.tokenizer, inputs, max_new_tokens, temperature):
            yield transcript + reply

    def emotions(self, sound: np.ndarray) -> None:
        """None: it has no way to tell."""


def _written(turn: dict) -> dict:
    return {"role": turn["role"], "content": turn["text"]}


def _check_length(model, inputs, max_new_tokens: int) -> None:
    length, limit = inputs["input_ids"].shape[1], model.config.get_text_config().max_position_embeddings
    if length + max_new_tokens > limit:
        raise StudyError(f"The conversation is {length} tokens long, the LLM takes {limit} with the reply; reset it")


def picture(sound: np.ndarray, extractor) -> plt.Figure:
    """The waveform and the log-mel that the encoder reads."""
    mel = asr.log_mel(extractor, sound)
    figure, (wave, log_mel) = plt.subplots(2, 1, figsize=(5, 2.6), sharex=True, layout="constrained")
    seconds = np.arange(len(sound)) / SAMPLE_RATE
    wave.plot(seconds, sound, linewidth=0.4, color="#4c72b0")
    wave.set(ylabel="sound", yticks=[])
    log_mel.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, len(sound) / SAMPLE_RATE, 0, len(mel)))
    wave.set_title("the last clip, and what the encoder reads of it", fontsize=9, loc="left")
    log_mel.set(ylabel="mel", yticks=[], xlabel="seconds")
    plt.close(figure)
    return figure


def bars(shares: dict[str, float]) -> str:
    """Emotions with their shares as lines of text, the most probable first."""
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    lines = [f"{name:<9}{'█' * round(16 * share):<16} {share:4.0%}" for name, share in ordered]
    return "\n".join(["```", *lines, "```"])


def page(systems: list, clips: list[Path] = (), note: str = "") -> gr.Blocks:
    """The page. systems: a column each. clips: to click; note: which voices and words the models know, repeated where
    another clip is answered."""
    ears = next((one.processor.feature_extractor for one in systems if isinstance(one, SpeechModel)), None)
    longest = ears.chunk_length if ears else 30  # seconds
    known, sent = {path.read_bytes() for path in clips}, defaultdict(lambda: deque(maxlen=RATE))

    def limit(address: str) -> None:
        """Raises StudyError for an address that has sent too many messages in the last minute."""
        times, now = sent[address], time.monotonic()
        if len(times) == RATE and times[0] > now - 60:
            raise StudyError(f"{RATE} messages a minute are answered; wait a little.")
        times.append(now)

    def send(path, text, empathy, temperature, length, talks, request: gr.Request):
        text = (text or "").strip()
        try:
            if not path and not text:
                raise StudyError("Record or choose a clip, or write something, then press Send.")
            turn = {"role": "user"} | ({"sound": load_speech(path, ".", longest)} if path else {"text": text})
            limit(request.client.host)
        except StudyError as error:  # a sentence on the page, and everything stays as it is
            gr.Warning(str(error).replace(path or "the clip", "the clip"))
            yield [gr.skip()] * (4 + len(systems))
            return
        warning = f"⚠️ *{note}*\n\n" if path and note and Path(path).read_bytes() not in known else ""
        if path and text:
            gr.Warning("The clip is answered, the text is not; send one of them at a time.")
        said, system = gr.Audio(path) if path else turn["text"], SYSTEM_EMPATHY if empathy else SYSTEM
        for turns, shown in talks:
            turns.append(dict(turn))
            shown.append(dict(role="user", content=said))
        yield None, "", gr.skip(), talks, *(shown for _, shown in talks)
        for one, (turns, shown) in zip(systems, talks, strict=True):
            try:
                if shares := one.emotions(turn["sound"]) if path else None:
                    shown.append(dict(role="user", content=bars(shares)))
                shown.append(dict(role="assistant", content=""))
                next_update = 0.0
                for reply in one.reply(turns, system, int(length), temperature):
                    shown[-1] = dict(role="assistant", content=warning + reply)
                    if time.perf_counter() >= next_update:  # an update sends a column's whole conversation
                        yield *[gr.skip()] * 4, *(shown if other is one else gr.skip() for other in systems)
                        next_update = time.perf_counter() + UPDATE
                turns.append({"role": "assistant", "text": reply})
            except Exception as error:
                turns.pop()  # the conversation goes on without this turn
                if shown[-1]["role"] == "assistant":
                    shown.pop()
                shown.append(dict(role="assistant", content=f"⚠️ {first_line(error)}"))
            yield *[gr.skip()] * 4, *(shown if other is one else gr.skip() for other in systems)  # the last words too
        drawn = picture(turn["sound"], ears) if path and ears else None
        yield gr.skip(), gr.skip(), drawn, talks, *(shown for _, shown in talks)

    def reset():
        return None, "", None, [([], []) for _ in systems], *([] for _ in systems)

    with gr.Blocks(title="Talk to BLSP-Emo", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown(TITLE + (f"\n\n**{note}**" if note else ""))
        talks = gr.State([([], []) for _ in systems])  # of a visitor, by system: turns, and the messages shown
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                clip = gr.Audio(sources=["upload", "microphone"], type="filepath", label="Speech", elem_id="clip")
                if clips:
                    names, paths = [path.stem for path in clips], [[str(path)] for path in clips]
                    gr.Examples(paths, clip, label="One sentence in five emotions", example_labels=names)
                text = gr.Textbox(label="or text", max_length=1000, lines=1, elem_id="text")
                with gr.Row():
                    send_button = gr.Button("Send", variant="primary", elem_id="send", min_width=100)
                    reset_button = gr.Button("Start anew", elem_id="reset", min_width=100)
                with gr.Accordion("Settings", open=False):
                    empathy = gr.Checkbox(True, label="Ask for empathy (system prompt)")
                    temperature = gr.Slider(0, 1.5, 0, step=0.1, label="Temperature (0: the most probable word)")
                    length = gr.Slider(16, 256, 96, step=8, label="Longest reply (tokens)")
                drawn = gr.Plot(show_label=False)
            with gr.Column(scale=5, min_width=320), gr.Row():
                look = {"height": 640, "min_width": 300, "buttons": ["copy"]}
                shown = [gr.Chatbot(label=one.name, **look) for one in systems]
        results = [clip, text, drawn, talks, *shown]
        inputs = [clip, text, empathy, temperature, length, talks]
        for event in (send_button.click, text.submit):
            event(send, inputs, results, api_name="send", show_progress="minimal", concurrency_limit=2)
        for event in (reset_button.click, *(chat.clear for chat in shown)):
            event(reset, None, results, api_name="reset")
    return blocks.queue(max_size=WAITING)


def launch(blocks: gr.Blocks, host: str = "127.0.0.1", port: int = 0, browser: bool = False, wait: bool = True):
    """Serve the page until it is stopped; in a notebook with `wait` false, below the cell. port: 0 for any."""
    how = {"server_name": host, "server_port": port or None, "inbrowser": browser, "max_file_size": UPLOAD, "css": CSS}
    with refused(
        f"{host}:{port}: no page can be served there, mostly since the port is taken; name another, 0 for any"
    ):
        return blocks.launch(**how, prevent_thread_lock=not wait, quiet=not wait)
