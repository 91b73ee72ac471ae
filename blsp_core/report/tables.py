"""Results as frames: the tables of the paper with our measurements, and what the plots show.

A cell reads `82.1 [76.4, 87.0] ±1.3 (76.0)`: the mean over training runs in per cent, its 95 % interval, the standard
deviation over runs where there are several, and the paper's number; `?`: its source is uncertain. What was not
evaluated has no row; without any rows the frame is empty.
"""

import math
from collections.abc import Collection, Mapping

import pandas as pd

from blsp_core.data.emotions import EMOTIONS
from blsp_core.evaluation.claims import MIRRORS
from blsp_core.evaluation.metrics import is_right
from blsp_core.evaluation.results import CONTROL, DIALOGUE, Metrics
from blsp_core.report.style import MAIN, NAMES, in_order, name_of

KEY = (
    "Per cent, with 95 % intervals in brackets, after ± the standard deviation over training runs where there are "
    "several, and the paper's numbers in parentheses (quality and empathy: of 10)"
)
TITLES = {
    "iemocap": "IEMOCAP", "meld": "MELD", "ravdess": "RAVDESS", "aesdd": "AESDD", "cafe": "CaFE", "resd": "RESD",
    "speechalpaca": "SpeechAlpaca", "mer-test1": "MerBench 1", "mer-test2": "MerBench 2",
    "cremad": "CREMA-D", "esd": "ESD", "emodb": "EmoDB", "nemo": "nEMO",
}  # fmt: skip
REAL = {mirror: real for real, mirror in MIRRORS.items()}
TITLES |= {mirror: f"{mirror} ({TITLES[real]})" for mirror, real in REAL.items()}
UNKNOWN = {"value": None, "uncertain": False, "words": None}
REPORTED = ("table1", "table2", "table3", "table4-5")  # of published.json
REPLIES = ("quality", "empathy")
WER = "WER of its transcripts, %"  # column of cascades with Whisper
SYSTEMS = tuple(NAMES)  # the paper's Tables 1 to 3, with our bounds
VARIANTS = (MAIN, "no-semantic-stage", "no-emotion-loss", "other-writer", "multitask", "blsp-ser")
SUMMARY = ("text+llm", "whisper+llm", "probe", "wavlm+llm", "salmonn", "blsp", MAIN, "gold+llm")  # of the README
PAPER = {  # table -> its columns and rows
    "table1": (("iemocap", "meld", "ravdess", "mer-test1", "mer-test2"), SYSTEMS),
    "table2": (("speechalpaca", *REPLIES), SYSTEMS),
    "table3": (("aesdd", "cafe", "resd"), SYSTEMS),
    "table4": (("iemocap", "ravdess"), VARIANTS),
    "table5": (("speechalpaca", *REPLIES), VARIANTS),
}
UNSEEN = ("emodb", "nemo")  # corpora in other languages that the paper has not; in Table 3 where they are measured


def long(metrics: Metrics) -> pd.DataFrame:
    """Every figure that has an interval: system, task, metric, value, low, high, sd (over training runs), runs, n."""
    rows = [
        (system, task, metric, found[metric], *interval, found.get("sd", {}).get(metric), found["seeds"], found["n"])
        for system, tasks in metrics.items()
        for task, found in tasks.items()
        for metric, interval in found["intervals"].items()
    ]
    return pd.DataFrame(rows, columns=["system", "task", "metric", "value", "low", "high", "sd", "runs", "n"])


def cell(row: Mapping) -> str:
    """A row of `long` as a cell, without the paper's number; empty where the value is not a number."""
    if not math.isfinite(row["value"]):
        return ""
    spread = f" ±{100 * row['sd']:.1f}" if pd.notna(row.get("sd")) else ""
    return f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]{spread}"


def one_system(tasks: dict[str, dict]) -> pd.DataFrame:
    """Every figure of one system, a row for each task."""
    rows: dict[str, dict] = {}
    for row in long({"": tasks}).to_dict("records"):
        counts = {"task": row["task"], "n": row["n"], "clusters": tasks[row["task"]]["clusters"]}
        rows.setdefault(row["task"], counts)[row["metric"]] = cell(row)
    return pd.DataFrame(rows.values()).fillna("")


def main_systems(metrics: Metrics) -> pd.DataFrame:
    """The table of the README: the main systems, with recognition on three corpora of the miniature, or on all where
    none of these was measured, and quality and empathy of their replies."""
    main, corpora = {name: metrics[name] for name in SUMMARY if name in metrics}, ("acted", "statements", "requests")
    measured = any(f"ser.{corpus}" in tasks for tasks in main.values() for corpus in corpora)
    return overview(main, {}, (*corpora, *REPLIES) if measured else None)


def answered(metrics: Metrics, published: dict, metric: str = "wa") -> pd.DataFrame:
    """Rows of `long` of recognition by this metric, with quality and empathy of replies to requests; `column`: the
    corpus, quality or empathy; `paper`: what the paper reports there of a system, or of its own set for a mirror."""
    frame = long(metrics)
    recognised = frame["task"].str.startswith("ser.") & (frame["metric"] == metric)
    frame["column"] = frame["task"].str.removeprefix("ser.").where(recognised, frame["metric"])
    frame = frame[recognised | (frame["task"] == "requests") & frame["metric"].isin(REPLIES)]
    keys = frame["column"].replace(REAL).str.replace("speechalpaca", "ser") + "." + frame["system"]
    found = [[published.get(f"{table}.{key}", UNKNOWN) for table in REPORTED] for key in keys]
    return frame.assign(paper=[next((e for e in some if e["value"] is not None), UNKNOWN) for some in found])


def _paper(entry: dict, form: str = "{}") -> str:
    """A published number as it is shown: empty where unknown, with ? where its source is uncertain."""
    text = entry["words"] or "" if entry["value"] is None else f"{entry['value']:.1f}"
    return form.format(text + "?" * entry["uncertain"]) if text else ""


def recognition(metrics: Metrics) -> pd.DataFrame:
    """Rows of `long` on all corpora but the control, with the corpus."""
    frame = answered(metrics, {}).rename(columns={"column": "corpus"})
    return frame[~frame["corpus"].isin((CONTROL, *REPLIES))]


def overview(metrics: Metrics, published: dict, columns: Collection[str] | None = None, metric="wa") -> pd.DataFrame:
    """Systems by corpora, then quality and empathy of their replies to requests, as cells.

    columns: which corpora, "quality" and "empathy"; None: all but the control. metric: wa, or ua of corpora alone.
    Cascades have the word error rates of their transcripts of these corpora beside them, where metrics has `wer`.
    """
    rows: dict[str, dict] = {}
    errors: dict[str, dict[str, float]] = {}
    frame = answered(metrics, published if metric == "wa" else {}, metric)
    kept = frame["column"] != CONTROL if columns is None else frame["column"].isin(columns)
    for row in frame[kept & ((metric == "wa") | ~frame["column"].isin(REPLIES))].to_dict("records"):
        cells = rows.setdefault(row["system"], {"system": name_of(row["system"])})
        cells[TITLES.get(row["column"], row["column"])] = cell(row) + _paper(row["paper"], " ({})")
        errors.setdefault(row["system"], {}).update(metrics[row["system"]][row["task"]].get("wer", {}))
    table = pd.DataFrame(cells | word_errors(errors[system]) for system, cells in rows.items()).fillna("")
    order = ["system", *(TITLES.get(column, column) for column in columns or table), WER]
    return table[[column for column in dict.fromkeys(order) if column in table]]


def word_errors(rates: Mapping[str, float]) -> dict[str, str]:
    """The column of word error rates by corpus; none without any."""
    return {WER: ", ".join(f"{corpus} {100 * rate:.1f}" for corpus, rate in rates.items())} if rates else {}


def paper_table(table: str, metrics: Metrics, published: dict) -> pd.DataFrame:
    """One table of the paper: each column is measured on the paper's own set where a system answered it, else on the
    corpus that mirrors it. Systems of the study's user are rows of Tables 1 to 3."""
    columns, rows = PAPER[table]
    columns += UNSEEN if table == "table3" else ()
    known = {*SYSTEMS, *VARIANTS}
    shown = {name: metrics[name] for name in metrics if name in rows or (rows is SYSTEMS and name not in known)}
    return overview(shown, published, [found for column in columns if (found := _measured(shown, column))])


def _measured(metrics: Metrics, column: str) -> str | None:
    """The corpus (or quality, empathy) that was measured for a column of the paper, None if there is none."""
    tasks = {task for of_system in metrics.values() for task in of_system}
    if column in REPLIES:
        return column if "requests" in tasks else None
    return next((name for name in (column, MIRRORS.get(column)) if f"ser.{name}" in tasks), None)


def judging(metrics: Metrics, model: str) -> str:
    """One sentence on the judge of replies, with the share of replies to which it gave no mark. model: its name, or
    empty."""
    if not model:
        return (
            "There is no judge (`evaluation.judge.model` is empty): columns and figures that need one are absent, and "
            "claims on replies are not measured."
        )
    shares = [(s, task, found.get("unjudged")) for s, tasks in metrics.items() for task, found in tasks.items()]
    missing = [f"{name_of(system)} {100 * share:.1f} % ({task})" for system, task, share in shares if share]
    return (
        f"The judge is `{model}`; replies without a mark, because its verdict was a refusal or could not be parsed: "
        f"{', '.join(missing) or 'none'}."
    )


def absences(metrics: Metrics) -> str:
    """One sentence on the rows and columns of the paper's Tables 1 to 5 that were not evaluated."""
    rows = [name_of(system) for system in dict.fromkeys((*SYSTEMS, *VARIANTS)) if system not in metrics]
    columns = dict.fromkeys(column for columns, _ in PAPER.values() for column in columns)
    sets = [TITLES.get(column, column) for column in columns if _measured(metrics, column) is None]
    parts = [", ".join(names) for names in (rows, sets) if names]
    return f"Not evaluated at this level: {'; '.join(parts) or 'nothing'}."


def random_weights(classifier: Mapping, systems: Collection[str]) -> str:
    """One sentence on the speech classifiers that were not pretrained, which the paper's are; empty without any.
    classifier: the section of params.yaml; systems: what was evaluated."""
    names = [name_of(f"{name}+llm") for name in ("wav2vec2", "hubert", "wavlm")
             if f"{name}+llm" in systems and name not in classifier["hub"]]  # fmt: skip
    return f"Trained from random weights, not from pretrained ones as in the paper: {', '.join(names)}." * bool(names)


def most_frequent(metrics: Metrics) -> dict[str, float]:
    """corpus -> the share of its most frequent emotion: the accuracy of a constant answer."""
    counts = {corpus: pd.DataFrame(next(iter(found.values()))).sum() for corpus, found in confusions(metrics).items()}
    return {corpus: float(of_emotion.max() / of_emotion.sum()) for corpus, of_emotion in counts.items()}


def confusions(metrics: Metrics) -> dict[str, dict[str, dict]]:
    """corpus -> system -> confusion matrix."""
    found: dict[str, dict] = {}
    for system, tasks in metrics.items():
        for task, figures in tasks.items():
            if "confusion" in figures:
                found.setdefault(task.removeprefix("ser."), {})[system] = figures["confusion"]
    return found


def requests(metrics: Metrics) -> pd.DataFrame:
    """Quality and empathy of replies, a row for each system: columns (value, low, high) under each metric."""
    frame = answered(metrics, {})
    frame = frame[frame["column"].isin(REPLIES)].dropna(subset=["value"])
    return frame.pivot(index="system", columns="metric", values=["value", "low", "high"]).swaplevel(axis=1)


def dialogue_table(dialogues: dict[str, dict], published: dict, metrics: Metrics) -> pd.DataFrame:
    """Pairwise preferences of `results.against_all`: shares in per cent, wins minus losses with its interval, and the
    word error rate of the transcripts that the other system reads."""
    rows = []
    for pair, found in dialogues.items():
        baseline = pair.split(".vs.")[1]
        row = {"against": name_of(baseline)}
        row |= {share: f"{100 * found[share]:.1f}" for share in ("win", "tie", "loss", "flips", "unjudged")}
        row["win - loss"] = points(found["preference"], *found["interval"])
        row["paper"] = _paper(published.get(f"figure3.dialogue.{pair}", UNKNOWN))
        rows.append(row | word_errors(metrics[baseline].get(DIALOGUE, {}).get("wer", {})))
    return pd.DataFrame(rows).fillna("")


def examples(rows: list[dict], count: int = 3) -> pd.DataFrame:
    """The first right and the first wrong answers, in the order of the manifest."""
    frame = pd.DataFrame(rows).assign(right=[is_right(row) for row in rows])
    frame["response"] = frame["response"].str.split().str.join(" ")
    frame = pd.concat([frame[frame["right"]][:count], frame[~frame["right"]][:count]], ignore_index=True)
    columns = {"text": "transcript", "reference": "emotion", "response": "answer", "right": "right"}
    return frame[[*columns]].rename(columns=columns)


def replies_table(predictions: Mapping[str, Mapping[str, list[dict]]], text: str) -> pd.DataFrame:
    """The paper's Table 7: replies to one sentence, a row for each emotion of the speaker, a column for each system.

    predictions: system -> task -> rows, of one run of each system.
    """
    found: dict[str, dict] = {}
    for system in in_order(predictions):
        for row in predictions[system].get("showcase", []):
            if row["text"] == text:
                found.setdefault(name_of(system), {})[row["reference"]] = " ".join(row["response"].split())
    table = pd.DataFrame(found).reindex(EMOTIONS).dropna(how="all")
    return table.fillna("").rename_axis("emotion").reset_index()


def differences_table(frame: pd.DataFrame, seed: str = "all") -> pd.DataFrame:
    """Differences of `results.differences` at one seed or pooled: a row for each variant, a column for each measure.

    A cell reads `-3.4 [-6.0, -0.8] p .012`, in percentage points; `*` marks an adjusted p below 0.05.
    """
    rows: dict[str, dict] = {}
    for row in frame[frame["seed"] == seed].itertuples():
        p = "<.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}".replace("0.", ".", 1)
        cells = rows.setdefault(row.variant, {"variant": name_of(row.variant)})
        cells[row.measure] = f"{points(row.difference, row.low, row.high)} p {p}{'*' * (row.p_holm < 0.05)}"
    return pd.DataFrame([rows[variant] for variant in in_order(rows)]).fillna("")


def points(value: float, low: float, high: float) -> str:
    """A difference with its interval, in percentage points."""
    return f"{100 * value:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def summary(metrics: Metrics, records: list[dict], llm: Mapping, whisper: Mapping) -> dict[str, float]:
    """The flat numbers that `dvc metrics show` prints: of the backbones and of BLSP-Emo, shares in 0..1; and minutes.

    llm, whisper: their results.json. What was not measured is left out.
    """
    worst = [llm[name] for name in ("object", "emotion") if name in llm]
    tasks, flat = metrics.get(MAIN, {}), {"wer": whisper.get("wer"), "llm": min(worst, default=None)}
    for column in ("iemocap", "ravdess", "speechalpaca"):
        corpus = _measured({MAIN: tasks}, column)
        flat |= {corpus: tasks[f"ser.{corpus}"]["wa"]} if corpus else {}
    flat |= {metric: tasks.get("requests", {}).get(metric) for metric in REPLIES}
    flat["minutes"] = sum(run["seconds"] for run in records) / 60
    return {name: round(value, 4) for name, value in flat.items() if value is not None and math.isfinite(value)}
