"""The commands `blsp-generate`, `blsp-convert` and `blsp-export`. Torch is imported when one runs: --help is fast."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from blsp_core.data.prompts import IDENTIFY
from blsp_core.errors import StudyError, refused
from blsp_core.params import default_model, find_root, read_params

LIMITS = (
    "This model was trained on a speech synthesiser's voices and knows about a hundred words. It does not understand "
    "human speech."
)
WARNING = f"warning: {LIMITS[0].lower()}{LIMITS[1:]} Name another one with --model."
FEW = 5000  # tokens of a vocabulary, below which the LLM is a toy of this study
_IDENTIFY = IDENTIFY.replace("\n", "\\n")
EXAMPLES = f"""Examples:

\b
blsp-generate a.wav b.flac
blsp-generate --model MODEL --instruction "Repeat the following sentence: " a.wav

Emotion recognition on a corpus, then empathetic replies:

\b
blsp-generate --model MODEL --input iemocap.jsonl --output ser.jsonl --reference-field emotion \\
    --instruction $'{_IDENTIFY}'
blsp-generate --model MODEL --input alpaca.jsonl --output replies.jsonl --max-new-tokens 256 --empathy
"""
STYLE = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
generate_app, convert_app, export_app, chat_app, bench_app = (typer.Typer(**STYLE) for _ in range(5))


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"blsp_core {version('blsp_core')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")]
NewFolder = Annotated[Path, typer.Argument(metavar="TARGET", help="A folder that does not exist yet.")]


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """A user's error is one sentence on stderr and exit status 1."""
    try:
        yield
    except (StudyError, OSError) as error:
        named = isinstance(error, OSError) and error.filename and error.strerror
        typer.echo(f"{error.filename}: {error.strerror}" if named else str(error), err=True)
        raise typer.Exit(1) from None


@generate_app.command(epilog=EXAMPLES)
def generate(
    clips: Annotated[
        list[str] | None, typer.Argument(help="Sound files: wav, flac, mp3, ogg; any sample rate.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; default: models/mini.")] = None,
    input: Annotated[Path | None, typer.Option(help="JSONL, one object a line, in place of clips.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSONL to write; a partial one is continued.")] = None,
    instruction: Annotated[str, typer.Option(help="Text before the speech; default: each line's `instruction`.")] = "",
    audio_field: Annotated[str, typer.Option(help="Field of the input that names the sound file.")] = "audio",
    reference_field: Annotated[str, typer.Option(help="Field copied to the output as `reference`.")] = "",
    audio_root: Annotated[Path, typer.Option(help="Folder that relative sound files start from.")] = Path("."),
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 128,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips a batch.")] = 8,
    empathy: Annotated[bool | None, typer.Option(help="System prompt; default: empathetic for clips only.")] = None,
    version: Version = False,
) -> None:
    """Reply to speech, greedily.

    Of clips, a line each is printed: the file, the most probable emotion with its probability, and the reply.
    With --input, --output gets a row for each line: `line` (from 1), `audio`, `prompt`, `empathy`, `model`,
    `max_new_tokens`, `response`, `early_stop` (cut by --max-new-tokens), `emotion` (probabilities) and `reference`; or
    `error` in place of a response, and such lines are tried again by the next run. The exit status is 1 if any failed.
    """
    with errors_as_sentences():
        if bool(clips) == bool(input or output) or bool(input) != bool(output):
            raise StudyError("blsp-generate: wanted are sound files, or both --input and --output; see --help")
        from blsp_core.inference import answers

        model = model or str(default_model())
        settings = {"empathy": bool(clips) if empathy is None else empathy, "model": model}
        settings["max_new_tokens"] = max_new_tokens
        if clips:
            rows = [{"line": n, "audio": clip, "prompt": instruction, **settings} for n, clip in enumerate(clips)]
            loaded = answers.load_model(model)
            if knows_few_words(loaded[1].tokenizer):
                typer.echo(WARNING, err=True)
            for row in answers.answer_rows(loaded, rows, audio_root, batch_size):
                typer.echo(_on_screen(row), err="error" in row)
        else:
            questions = answers.read_questions(input, audio_field, instruction, reference_field, settings)
            output = output.resolve()  # the file that a link leads to
            if output.exists() and (output.samefile(input) or not output.is_file()):
                what = "the input as well" if output.samefile(input) else "not a file"
                raise StudyError(f"{output}: is {what}; name another --output")
            rows = answers.answer_file(questions, output, audio_root, batch_size)
        failed = sum("error" in row for row in rows)
        if output or failed:
            wrong = [row["error"] for row in rows if "error" in row and not clips]  # of clips, each is on the screen
            first = f"; the first: {wrong[0]} (field error in {output})" if wrong else ""
            typer.echo(f"{len(rows) - failed} of {len(rows)} answered, {failed} failed{first}", err=True)
        if failed:
            raise typer.Exit(1)


@convert_app.command(epilog="Example:\n\n\b\nblsp-convert blsp-emo-released models/blsp-emo --dtype bfloat16")
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The released folder: config.json, weights, ...")],
    target: NewFolder,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, typer.Option(help="Of the backbones; default: the source's.")
    ] = None,
    version: Version = False,
) -> None:
    """Convert a checkpoint of the authors' code, with about 2 GB in memory at a time.

    SOURCE is a BLSP-Emo checkpoint (either stage) or Qwen-7B-Chat, with pytorch_model*.bin or model*.safetensors.
    TARGET is read by BlspEmoForConditionalGeneration.from_pretrained and BlspEmoProcessor.from_pretrained; of a plain
    Qwen, by AutoModelForCausalLM and AutoTokenizer. TARGET/conversion.json says what became of every key.
    """
    with errors_as_sentences():
        import torch

        from blsp_core.convert.released import convert as convert_checkpoint

        report = convert_checkpoint(source, target, getattr(torch, dtype) if dtype else None)
        typer.echo(f"{target}: {len(report.used)} tensors converted, {len(report.left_out)} left out")
        typer.echo("".join(f"note: {note}\n" for note in report.notes), nl=False)


@export_app.command(epilog="Example:\n\n\b\nblsp-export data/mini/models/blsp-emo my-model")
def export(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder or hub name.")],
    target: NewFolder,
    version: Version = False,
) -> None:
    """Write a self-contained model folder: both backbones are copied into it, with a model card.

    TARGET needs no other file: it can be moved, uploaded, and given to `blsp-generate --model`.
    """
    with errors_as_sentences():
        if target.exists():
            raise StudyError(f"{target}: exists already; name a new folder, or remove it")
        from blsp_core.inference.answers import load_model

        model, processor = load_model(source, as_saved=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            unfinished = Path(folder) / target.name
            model.export(unfinished)
            processor.save_pretrained(unfinished)
            unfinished.replace(target)
        typer.echo(f"{target}: written")


@chat_app.command(epilog="Example:\n\n\b\nblsp-chat\nblsp-chat --study\nblsp-chat data/mini/models/blsp models/mini")
def chat(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model folders or hub names, side by side; default: models/mini, beside Whisper+LLM."),
    ] = None,
    study: Annotated[bool, typer.Option(help="Whisper+LLM, BLSP and BLSP-Emo of the study, side by side.")] = False,
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0: other machines can reach the page.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: the first that is free.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    version: Version = False,
) -> None:
    """Talk to a model in the browser: by microphone, sound file or text, several turns.

    Replies appear as they are generated, the emotion that the model recognises beside them. Needs Gradio: pip install
    -e ".[chat]".
    """
    with errors_as_sentences():
        try:
            from blsp_core import chat as page
        except ImportError as error:
            raise StudyError(f'blsp-chat: {error}; run pip install -e ".[chat]"') from None
        if study and models:
            raise StudyError("blsp-chat: --study and models are both given; leave one of them out")
        if study:
            data = find_root() / "data" / read_params(find_root())["scale"]
            parts = "whisper", "llm", "models/blsp", "models/blsp-emo"
            if missing := [name for name in parts if not (data / name).is_dir()]:
                raise StudyError(f"{data / missing[0]} does not exist yet; `dvc repro` makes it, or leave out --study")
            systems = [page.Cascade(data / "whisper", data / "llm")]
            systems += [page.SpeechModel(data / "models" / name, name) for name in ("blsp", "blsp-emo")]
        elif models:
            systems = [page.SpeechModel(model) for model in models]
        else:
            parts, systems = find_root() / "models/backbones", [page.SpeechModel(default_model(), "BLSP-Emo")]
            if (parts / "whisper/config.json").is_file():
                systems.insert(0, page.Cascade(parts / "whisper", parts / "llm"))
        toy = any(knows_few_words(one.tokenizer) for one in systems)
        clips = sorted((find_root() / "models/mini/clips").glob("*.flac")) if toy else []
        blocks = page.page(systems, clips, LIMITS if toy else "")
        page.launch(blocks, host=host, port=port, browser=browser)


@bench_app.command(epilog="Example:\n\n\b\nblsp-bench --output figures/bench/results.json")
def bench(
    output: Annotated[Path | None, typer.Option(help="JSON to write; a figure is written beside it.")] = None,
    llm: Annotated[
        str | None, typer.Option(help="Chat LLM that continues sentences, folder or hub name; default: of models/mini.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Of every function, in turn; the median counts.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of the processor.")] = 1,
    growth: Annotated[bool, typer.Option(help="Also with growing clip length, batch and vocabulary.")] = True,
    tiny: Annotated[bool, typer.Option(help="Tiny sizes, to see that it works.")] = False,
    version: Version = False,
) -> None:
    """Time this package against a plain reference that computes as the released code does, with the same weights.

    Steps of both stages, continuations, log-mels, the time to the first token, with their peak memory. Where the change
    is exact, loss and gradients are compared first. Seconds are those of the processor; on a GPU, of the clock.
    """
    with errors_as_sentences():
        import json
        import os

        import torch
        from transformers.utils import logging

        from blsp_core.bench.run import measure

        torch.set_num_threads(threads)
        os.environ["TQDM_DISABLE"] = "1"
        logging.disable_progress_bar()
        if output:  # before minutes of measuring
            with refused(f"{output.parent}: results cannot be written there; name another --output"):
                output.parent.mkdir(parents=True, exist_ok=True)
        found = measure(llm or default_model(), llm is None, runs, growth, tiny)
        if output:
            from blsp_core.bench.picture import picture
            from blsp_core.report.style import save_figure

            output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            save_figure(picture(found), output.with_suffix(""))


def knows_few_words(tokenizer) -> bool:
    """Whether a model's tokenizer is that of a toy LLM, so that it understands the miniature's speech only."""
    return len(tokenizer) < FEW


def _on_screen(row: dict) -> str:
    name = " ".join(row["audio"].encode(errors="replace").decode().split())
    if "error" in row:
        return f"{name}  [error]  {row['error']}"
    best, reply = max(row["emotion"], key=row["emotion"].get), " ".join(row["response"].split())
    return f"{name}  [{best} {row['emotion'][best]:.2f}]  {reply}{' ...' if row['early_stop'] else ''}"
