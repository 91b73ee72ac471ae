"""`blsp-convert SRC DST`: a released BLSP-Emo checkpoint, or Qwen-7B-Chat, as a folder that this package loads."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from blsp_core.errors import StudyError


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


app = typer.Typer(add_completion=False)


@app.command()
def convert_checkpoint(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="The released folder: config.json, weights, qwen.tiktoken")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A folder that is not there yet")],
    dtype: Annotated[Precision | None, typer.Option(help="Of the backbones; without it, the source's own")] = None,
    report: Annotated[bool, typer.Option(help="Print what became of every key, as JSON")] = False,
) -> None:
    """Convert a checkpoint of the authors' code, shard by shard, about 1 GB in memory at a time.

    SRC is a BLSP-Emo checkpoint (either stage) or Qwen-7B-Chat, with pytorch_model*.bin or model*.safetensors.
    DST is read by BlspEmoForConditionalGeneration.from_pretrained and BlspEmoProcessor.from_pretrained; of a plain
    Qwen, by AutoModelForCausalLM and AutoTokenizer. DST/conversion.json names what became of every key.
    """
    import torch

    from blsp_core.convert.released import convert

    try:
        result = convert(source, target, getattr(torch, dtype) if dtype else None)
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if report:
        typer.echo(json.dumps(asdict(result), indent=2))
        return
    typer.echo(f"{target}: {len(result.used)} tensors converted, {len(result.left_out)} left out")
    for note in result.notes:
        typer.echo(f"note: {note}")


def main() -> None:
    app()
