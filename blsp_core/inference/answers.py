"""Replies of a model to rows that name a sound file, and the JSONL files of such rows."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm
from transformers.utils import logging

from blsp_core.data.prompts import SYSTEM, SYSTEM_EMPATHY, spoken_chat
from blsp_core.errors import StudyError, first_line, refused
from blsp_core.inference import llm
from blsp_core.inference.batches import backbone_precision, ready
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.model.audio import SAMPLE_RATE, load_audio, load_speech
from blsp_core.model.processing import ENCODER_STRIDE


def load_model(source: str | Path, as_saved: bool = False):
    """A model, on the GPU where there is one, and its processor. Precision: as this machine computes best, or
    `as_saved`, to copy it."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what matters of a report about the weights is in a StudyError
    with refused(f"{source}: no BLSP-Emo model can be read there; fetch it again"):
        model = BlspEmoForConditionalGeneration.from_pretrained(
            source, **({"dtype": "auto"} if as_saved else backbone_precision())
        )
    with refused(f"{source}: processor_config.json or the tokenizer's files cannot be read; fetch them again"):
        processor = BlspEmoProcessor.from_pretrained(source)
    extractor, config = processor.feature_extractor, model.config
    words, rows = len(processor.tokenizer) - 1, config.get_text_config().vocab_size
    if words > rows:  # the speech token has no row
        raise StudyError(f"{source}: the tokenizer has {words} tokens, the LLM {rows}; fetch them together")
    for name, found, wanted in (
        ("sampling_rate", extractor.sampling_rate, SAMPLE_RATE),
        ("number of frames", extractor.nb_max_frames // ENCODER_STRIDE, config.encoder_config.max_source_positions),
        ("feature_size", extractor.feature_size, config.encoder_config.num_mel_bins),
        *((name, found, getattr(config, name)) for name, found in processor.model_settings.items()),
    ):
        if found != wanted and (name, wanted) != ("n_fft", None):
            raise StudyError(
                f"{source}: {name} of the processor is {found!r}, the model wants {wanted!r}; fetch it again"
            )
    model.loaded_from = str(source)
    return ready(model), processor


def read_questions(path: Path, audio_field: str, instruction: str, reference_field: str, settings: dict) -> dict:
    """Line number -> a row of the output without its response, with an `error` where the line cannot be used."""
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file, or it is none; wanted is JSONL, one object a line")
    questions, fields = {}, {"audio": audio_field} | ({"reference": reference_field} if reference_field else {})
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not text.strip():
            continue
        row = questions[number] = {"line": number, "audio": None, "prompt": instruction, **settings}
        try:
            line = json.loads(text, parse_constant=_no_number)
            row |= {name: line[field] for name, field in fields.items()}
            row["prompt"] = instruction or line.get("instruction", "")
        except StudyError as error:
            row["error"] = str(error)
        except KeyError as missing:
            row["error"] = f"has no field {missing.args[0]}"
        except (ValueError, RecursionError, TypeError):
            row["error"] = "not a JSON object"
    if not questions:
        raise StudyError(f"{path}: is empty; wanted is JSONL, one object a line")
    return questions


def _no_number(name: str):
    raise StudyError(f"holds {name}, which JSON does not have; write a number or null")


def _read_answers(path: Path, questions: dict[int, dict]) -> dict[int, dict]:
    """Line number -> the row that an earlier run answered. Raises StudyError when that run had other settings, or the
    file is not an output of this command."""
    answers, texts = {}, path.read_bytes().split(b"\n") if path.exists() else [b""]
    cut = texts.pop()  # the row that was being written when the run was stopped, or nothing
    for number, text in enumerate([*texts, *([] if _is_cut(cut) else [cut])], start=1):
        try:
            row = json.loads(text)
            own = {name: row[name] for name in ("audio", "prompt", "empathy", "model")}
            question = questions.get(row["line"], {})
        except (ValueError, TypeError, KeyError, RecursionError):
            raise StudyError(
                f"{path}: line {number} is not an answer of blsp-generate; name another --output"
            ) from None
        if "response" not in row:
            continue
        for name, value in (own | {"max_new_tokens": row.get("max_new_tokens")}).items():
            if question.get(name) != value:
                raise StudyError(
                    f"{path}: {name} of line {row['line']} is {value!r} there and {question.get(name)!r} now; "
                    "remove the file, or name another --output"
                )
        answers[row["line"]] = row | question
    return answers


def _is_cut(text: bytes) -> bool:
    """Whether this is the start of a row of this command, but not all of it."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return b'{"line": '.startswith(text[:9])
    return False


def answer_file(questions: dict[int, dict], output: Path, root: Path, batch_size: int) -> list[dict]:
    """Answer what `output` has no answer to; every batch is written as soon as it is done. Returns all rows."""
    answers = _read_answers(output, questions)
    rest = [row for line, row in questions.items() if line not in answers]
    loaded = load_model(rest[0]["model"]) if rest else None
    output.parent.mkdir(parents=True, exist_ok=True)
    _write(output, answers.values())
    with open(output, "ab") as file, tqdm(total=len(rest), unit="clip", disable=None) as bar:
        for row in answer_rows(loaded, rest, root, batch_size, by_length=True):
            file.write(_line(row))
            file.flush()
            bar.update()
    rows = [answers.get(line, row) for line, row in questions.items()]  # in the order of the input
    _write(output, rows)
    return rows


def answer_rows(loaded, rows: list[dict], root: Path, batch_size: int, by_length: bool = False) -> Iterator[dict]:
    """Each row with `response`, `early_stop` and `emotion`, or with `error`: a failing row fails alone."""
    seconds = {row["line"]: _seconds(row, loaded[1], root) for row in rows}
    if by_length:  # clips of like length share a batch
        rows = sorted(rows, key=lambda row: seconds[row["line"]])
    for start in range(0, len(rows), batch_size):
        batch = [row for row in rows[start : start + batch_size] if "error" not in row]
        for part in [batch, *([row] for row in batch)]:  # the rows one by one where they fail together
            try:
                _generate(*loaded, [row for row in part if not row.keys() & {"response", "error"}], root)
            except Exception as error:  # too long, gone, out of memory, a chat template of the user's that fails
                if len(part) == 1:
                    part[0]["error"] = first_line(error)
        yield from rows[start : start + batch_size]


def _seconds(row: dict, processor, root: Path) -> float:
    """The length of a row's clip; 0, and the row gets its `error`, where it cannot be answered."""
    audio, prompt, longest = row["audio"], row["prompt"], processor.feature_extractor.chunk_length
    control = [token.content for token in processor.tokenizer.added_tokens_decoder.values() if token.special]
    try:
        if "error" in row:
            return 0.0
        for name, value in {"audio": audio, "instruction": prompt}.items():
            if not isinstance(value, str):
                raise StudyError(f"{name} is {value!r}; wanted is a text")
        if found := [token for token in control if token in prompt]:
            raise StudyError(f"instruction contains {found[0]}, a control token of the model; remove it")
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise StudyError("instruction contains a lone surrogate, which is half a character; correct it")
        return len(load_speech(audio, root, longest)) / SAMPLE_RATE
    except Exception as error:
        row["error"] = first_line(error)
        return 0.0


def _generate(model, processor, rows: list[dict], root: Path) -> None:
    """Give all rows `response`, `early_stop` and `emotion`."""
    if not rows:
        return
    system = SYSTEM_EMPATHY if rows[0]["empathy"] else SYSTEM
    batch = processor([spoken_chat(system, row["prompt"], load_audio(row["audio"], root)) for row in rows])
    length, limit = batch["input_ids"].shape[1], model.config.get_text_config().max_position_embeddings
    if length + rows[0]["max_new_tokens"] > limit:
        raise StudyError(
            f"instruction and speech are {length} tokens, the reply may have {rows[0]['max_new_tokens']}; the LLM "
            f"takes {limit} in all"
        )
    batch = batch.to(model.device)
    answers, logits = llm.generate(model, processor.tokenizer, batch, rows[0]["max_new_tokens"])
    probabilities = logits.float().softmax(-1).tolist()
    if not all(0 <= share <= 1 for shares in probabilities for share in shares):
        raise StudyError("the emotion head gives numbers that are not finite; the model's weights are damaged")
    for row, answer, shares in zip(rows, answers, probabilities, strict=True):
        row |= {"response": answer.text, "early_stop": answer.early_stop}
        row["emotion"] = {name: round(share, 4) for name, share in zip(model.config.emotions, shares, strict=True)}


def _line(row: dict) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace")  # surrogates as JSON has them


def _write(path: Path, rows) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(b"".join(map(_line, rows)))
    unfinished.replace(path)
