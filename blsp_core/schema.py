"""The types and ranges of the settings in params.yaml, section by section; what they mean stands there."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model


def _unique(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("a list of different entries")
    return values


def _from_to(values: list) -> list:
    if values and (len(values) != 2 or values[0] > values[1]):
        raise ValueError("[] or two numbers, the lower first")
    return values


def _not_one(folds: int) -> int:
    if folds == 1:
        raise ValueError("0 for none, or 2 and more")
    return folds


Count = Annotated[int, Field(ge=1)]
From0 = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[list[Text], AfterValidator(_unique)]
# Of a run, a corpus or a scale: a file name and a DVC key; DVC reads a dot as a path.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9+_-]*$")]
# See blsp_core/data/conditions.py.
Condition = Annotated[str, StringConstraints(pattern=r"^(level[+-]?\d+|noise-?\d+|speed[1-9]\d*|telephone)$")]
Split = Literal["train", "validation", "test"]
Splits = Annotated[list[Split], Field(min_length=1), AfterValidator(_unique)]
Target = Literal["continuation", "other", "label", "repeat"]
Counts = Annotated[list[Count], Field(min_length=1)]
Frozen = Annotated[list[Literal["encoder", "teacher"]], AfterValidator(_unique)]


class Section(BaseModel):
    """Settings, all of which must be there, and no others."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def settings(base: type[BaseModel] = Section, **kinds) -> type[BaseModel]:
    """Settings that must be there, each of its kind."""
    return create_model("settings", __base__=base, **{name: (kind, ...) for name, kind in kinds.items()})


class ImportOptions(Section):
    """An entry of data.corpora: how to read a corpus in the folder that it comes in."""

    folder: str = ""  # relative to the study's folder; "": data/corpora/<name>
    parts: Annotated[list[Text], Field(min_length=1)] | None = None  # of the corpus, by its own names; None: all
    split: Split | None = None  # for everything; None: the corpus's own
    splits: Splits = list(get_args(Split))  # those that are wanted
    folds: Annotated[From0, AfterValidator(_not_one)] | None = None  # by speaker, 0 for none; None: the corpus's own
    plain: bool = False  # small letters, without punctuation
    trim_below: NotNegative | None = None  # dB below a clip's loud parts; quieter starts and ends are cut; None: kept
    speeds: list[Annotated[float, Field(ge=0.5, le=2)]] = []  # speed perturbation of training clips (Ko et al. 2015)
    copy_sound: bool = Field(True, alias="copy")  # False: sound stays in place; manifests hold paths of this machine
    incomplete: bool = False  # True: a faulty folder is used as far as possible


class Synthesised(Section):
    """An entry of data.synthesise: utterances by split."""

    train: From0 = 0
    validation: From0 = 0
    test: From0 = 0
    sentences: Text | None = None


class Custom(Section):
    """An entry of data.custom, or its splits alone."""

    splits: Splits
    incomplete: bool = False  # True: faulty rows are left out


class Open(Section):
    """Settings of which others are checked where they are used."""

    model_config = ConfigDict(extra="allow")


class Run(Open):
    """One trained model; what else it has are settings of its section that it changes."""

    stage: Literal["stage1", "stage2", "classifier"]
    source: Text = Field(alias="from")
    seed: From0
    system: Name | None = None
    fold: Count | None = None


class System(Section):
    """A system that is not trained here."""

    kind: Text = Field(alias="class")
    reads: Text


class WithWeights(Section):
    """Stage 2: a setting that is not listed is the weight of a loss of one's own, `<name>_weight`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+_weight$")], NotNegative]


def _or_empty(kind):
    """A mapping of which nothing is written after its name."""
    return Annotated[kind, BeforeValidator(lambda value: {} if value is None else value)]


Runs = _or_empty(dict[Name, Run])
Size = {"width": Count, "layers": Count, "heads": Count, "ffn": Count}
Training = {"steps": Count, "batch_size": Count, "learning_rate": Rate}
Schedule = Training | {
    "gradient_accumulation": Count, "optimizer": Literal["adamw", "muon"], "warmup_share": Share, "workers": From0,
    "schedule": Literal["cosine", "linear"], "save_steps": From0,
}  # fmt: skip
Adapter = settings(Open, type=Text)
Validation = {"requests": str, "max_new_tokens": Count, "losses": From0}
Architecture = Literal["wav2vec2", "hubert", "wavlm"]

Llm = settings(
    source=Text | None, revision=Text, test_size=Count, min_accuracy=Share, size=settings(**Size), save_steps=From0,
    training=settings(**Training, noise=NotNegative, lengthened=Share, blended=NotNegative),
    second=settings(source=Text | None, width=Count, steps=Count) | None,
)  # fmt: skip
Whisper = settings(
    source=Text | None, revision=Text, test_size=Count, max_wer=NotNegative, size=settings(**Size),
    training=settings(utterances=Count, **Training), save_steps=From0,
)  # fmt: skip
Data = settings(
    altered=dict[Name, Annotated[list[Condition], AfterValidator(_unique)]],
    synthesise=dict[Name, Synthesised],
    corpora=dict[Name, _or_empty(ImportOptions)],
    custom=dict[
        Name, Annotated[Custom, BeforeValidator(lambda one: one if isinstance(one, dict) else {"splits": one})]
    ],
)
Continuations = settings(
    stage1_corpora=Texts, stage2_corpora=Texts, repeat_share=settings(stage1=Share, stage2=Share),
    sampling=settings(temperature=Positive, draws=Count, different=Count) | None,
    other_writer=create_model("writer", __base__=Section, model=(Text, ...), base_url=(str, "")) | None,
    max_new_tokens=Count, batch_size=Count,
)  # fmt: skip
Transcripts = settings(corpora=Texts, batch_size=Count, max_wer=NotNegative)
Stage1 = settings(
    **Schedule, adapter=Adapter, encoder_layers=Literal["last", "mix", "last+mix"], real_frames=bool,
    temperature=Positive, released_kl=bool, cache_states=Frozen, teacher_top=From0,
    validation=settings(**Validation),
)  # fmt: skip
Stage2 = settings(
    WithWeights, **Schedule, targets=Annotated[list[Target], Field(min_length=1), AfterValidator(_unique)],
    semantic_clips=bool, shuffle_labels=bool, corpora=Texts, data_share=Rate,
    adapter=Adapter | None, from_stage1=bool, train_encoder=bool, lora_rank=From0, lora_alpha=Positive,
    lora_dropout=Share, lora_scope=Literal["speech", "everywhere"], emotion_weight=NotNegative, cache_features=bool,
    augmentation=settings(
        level=NotNegative, noise=Annotated[list[float], AfterValidator(_from_to)], band=bool, masks=From0,
    ) | None,
    head=settings(init=list[Text], norm=NotNegative, train=bool), steps_factor=Positive,
    learning_rates=settings(emotion_head=Rate, lora=Rate, layer_mix=Rate, encoder=Rate),
    validation=settings(**Validation, ser=str),
)  # fmt: skip
Classifier = settings(
    **Training, architecture=Architecture, hub=dict[Architecture, Text], hub_revision=Text, train_front=bool,
    corpora=Texts, validation=Texts, cache_features=bool, warmup_share=Share, validations=Count, save_steps=From0,
    size=settings(**Size, conv_widths=Counts, conv_kernels=Counts, conv_strides=Counts),
)  # fmt: skip
Probe = settings(
    train_corpora=Texts, validation=Texts, test_corpora=Texts,
    penalties=Annotated[list[Positive], Field(min_length=1)],
)  # fmt: skip
Evaluation = settings(
    ser=Texts, altered=Texts, requests=str, dialogues=str, judge=settings(model=str, base_url=str), batch_size=Count,
    max_new_tokens=settings(ser=Count, reply=Count),
)  # fmt: skip
SECTIONS = {
    "llm": Llm, "whisper": Whisper, "data": Data, "continuations": Continuations, "transcripts": Transcripts,
    "stage1": Stage1, "stage2": Stage2, "classifier": Classifier, "probe": Probe, "evaluation": Evaluation,
    "report": settings(acoustics_corpus=str),
}  # fmt: skip
PARAMS = settings(
    scale=Name, seed=From0, folds=From0, runs=settings(core=Runs, full=Runs, extra=Runs),
    systems=_or_empty(dict[Name, System]), **SECTIONS,
)  # fmt: skip
