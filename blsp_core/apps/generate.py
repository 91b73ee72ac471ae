"""`blsp-generate`: replies of a model to the speech named in a JSONL file."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from blsp_core.data.prompts import IDENTIFY, SYSTEM, SYSTEM_EMPATHY
from blsp_core.errors import StudyError

SHORTEST = 0.1  # seconds
_IDENTIFY = IDENTIFY.replace("\n", "\\n")
EXAMPLES = f"""Emotion recognition:

\b
blsp-generate --model MODEL --input test_iemocap.jsonl --output ser.jsonl --reference-field emotion \\
    --instruction $'{_IDENTIFY}'

Empathetic replies to SpeechAlpaca:

\b
blsp-generate --model MODEL --input test_alpaca.jsonl --output replies.jsonl --max-new-tokens 256 --empathy
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def generate(
    model: Annotated[Path, typer.Option(help="Checkpoint folder: trained here, exported, or by blsp-convert")],
    input: Annotated[Path, typer.Option(help="JSONL, one object a line")],
    output: Annotated[Path, typer.Option(help="JSONL to write; where it is half finished, it is gone on with")],
    instruction: Annotated[
        str, typer.Option(help="Words before the speech; empty: each line's `instruction`, if any")
    ] = "",
    audio_field: Annotated[str, typer.Option(help="Names the sound: wav, flac, mp3 or ogg, any rate")] = "audio",
    reference_field: Annotated[str, typer.Option(help="Copied to the output as `reference`")] = "",
    audio_root: Annotated[Path, typer.Option(help="Where relative paths of sounds begin")] = Path("."),
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 128,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    empathy: Annotated[bool, typer.Option(help="The empathetic system prompt, or the plain one")] = False,
) -> None:
    """Answer speech, greedily, in batches of like length, each written as soon as it is done.

    An output line has `line` (of the input, from 1), `audio`, `prompt`, `empathy`, `model`, `response`, `early_stop`
    (cut by --max-new-tokens) and `reference`. What cannot be answered (no such field, unreadable, longer than the
    encoder hears, shorter than 0.1 s) has `error` in place of `response`; such lines are tried again by the next run.
    """
    try:
        counts = run(
            model,
            input,
            output,
            instruction=instruction,
            audio_field=audio_field,
            reference_field=reference_field,
            audio_root=audio_root,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            empathy=empathy,
        )
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{output}: {counts['answered']} answered, {counts['before']} of them before, {counts['errors']} errors")


def main() -> None:
    app()


def run(
    model_folder: Path,
    input_path: Path,
    output_path: Path,
    *,
    instruction: str,
    audio_field: str,
    reference_field: str,
    audio_root: Path,
    max_new_tokens: int,
    batch_size: int,
    empathy: bool,
) -> Counter:
    """What the command does; returns how many lines were `answered`, how many of these `before`, and the `errors`."""
    from blsp_core.inference.llm import precision, ready
    from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor

    questions = _questions(input_path, audio_field, instruction, reference_field, str(model_folder), empathy)
    answers = _answers_so_far(output_path, questions)
    before = len(answers)
    model = ready(BlspEmoForConditionalGeneration.from_pretrained(model_folder, dtype=precision()))
    processor = BlspEmoProcessor.from_pretrained(model_folder)
    seconds = {}
    for number, row in questions.items():
        if number not in answers and "error" not in row:
            try:
                seconds[number] = _seconds(row["audio"], audio_root, processor.feature_extractor.chunk_length)
            except StudyError as error:
                row["error"] = str(error)
    order = sorted(seconds, key=seconds.get)
    output_path.parent.mkdir(parents=True, exist_ok=True)
    _write(output_path, answers.values())
    with open(output_path, "a") as file, tqdm(total=len(order), unit="clip") as bar:
        for start in range(0, len(order), batch_size):
            batch = {number: questions[number] for number in order[start : start + batch_size]}
            rows = list(batch.values())
            _answer(model, processor, rows, SYSTEM_EMPATHY if empathy else SYSTEM, audio_root, max_new_tokens)
            answers |= batch
            file.writelines(map(_line, rows))
            file.flush()
            bar.update(len(batch))
    _write(output_path, [answers.get(number, row) for number, row in questions.items()])  # in the order of the input
    return Counter(answered=len(answers), before=before, errors=len(questions) - len(answers))


def _questions(path: Path, audio_field: str, instruction: str, reference_field: str, model: str, empathy: bool) -> dict:
    """Line number -> what is asked there, with an `error` where nothing can be."""
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file; wanted is JSONL, one object a line")
    questions = {}
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        if not text.strip():
            continue
        row = {"line": number, "audio": None, "prompt": instruction, "empathy": empathy, "model": model}
        questions[number] = row
        try:
            line = json.loads(text)
        except ValueError:
            row["error"] = "not a line of JSON"
            continue
        if not isinstance(line, dict):
            row["error"] = "not a JSON object"
            continue
        missing = [name for name in (audio_field, reference_field) if name and name not in line]
        if missing:
            row["error"] = f"has no field {missing[0]}"
            continue
        row["audio"] = line[audio_field]
        row["prompt"] = instruction or line.get("instruction", "")
        if reference_field:
            row["reference"] = line[reference_field]
    return questions


def _answers_so_far(path: Path, questions: dict[int, dict]) -> dict[int, dict]:
    """Line number -> the answer that an earlier run wrote; StudyError when that run asked something else."""
    answers = {}
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            row = json.loads(text)
        except ValueError:
            continue  # the line that was being written when the run ended
        if "response" not in row:
            continue
        asked = questions.get(row.get("line"), {})
        for name in ("audio", "prompt", "empathy", "model"):
            if asked.get(name) != row.get(name):
                raise StudyError(
                    f"{path}: {name} of line {row.get('line')} is {row.get(name)!r} there and {asked.get(name)!r} now, "
                    "so it belongs to another run; remove it or name another --output"
                )
        answers[row["line"]] = row
    return answers


def _seconds(audio: str, root: Path, longest: float) -> float:
    """The length of a sound that can be heard; StudyError for any other."""
    from blsp_core.data.audio import SAMPLE_RATE, load_audio

    seconds = len(load_audio(audio, root)) / SAMPLE_RATE
    if not SHORTEST <= seconds <= longest:
        raise StudyError(f"{audio}: {seconds:.2f} s long, wanted are {SHORTEST} to {longest} s")
    return seconds


def _answer(model, processor, rows: list[dict], system: str, root: Path, max_new_tokens: int) -> None:
    """Give every row its response."""
    from blsp_core.data.audio import load_audio
    from blsp_core.data.dataset import spoken_chat
    from blsp_core.inference.llm import decode

    chats = [spoken_chat(system, row["prompt"], load_audio(row["audio"], root)) for row in rows]
    batch = processor(chats).to(model.device)
    ids = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
    for row, new in zip(rows, ids[:, batch["input_ids"].shape[1] :], strict=True):
        answer = decode(processor.tokenizer, new)
        row |= {"response": answer.text, "early_stop": answer.early_stop}


def _line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _write(path: Path, rows) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text("".join(map(_line, rows)))
    unfinished.replace(path)
