"""Notebooks as files: without outputs for the pipeline, and with outputs for readers."""

import re
from html import escape as html_text
from pathlib import Path

from blsp_core.params import LEVELS, read_params

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def clean(root: Path, in_place: bool = False) -> None:
    """Write data/notebooks/ from notebooks/: no outputs, no counts, default parameters.

    A stage depends on the clean copy of its notebook, so that running or saving a notebook makes nothing stale. The
    values of the parameters cell are reset to the defaults that follow `# default:`, which every line there has.
    """
    import nbformat

    read_params(root)  # names of runs are checked before anything else is run
    target = root / ("notebooks" if in_place else "data/notebooks")
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted((root / "notebooks").glob("*.ipynb"))
    names = {source: source.name if in_place else _without_number(source.name) for source in sources}
    for stale in {path.name for path in target.glob("*.ipynb")} - set(names.values()):
        (target / stale).unlink()
    for source, name in names.items():
        notebook = nbformat.read(source, as_version=4)
        cells = [cell for cell in notebook.cells if cell.source.strip()]
        for number, cell in enumerate(cells, start=1):
            tags = cell.metadata.get("tags", [])
            cell.id, cell.metadata = f"cell-{number:02d}", {"tags": tags} if tags else {}
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in tags:
                cell.source = re.sub(r"(?ms)^(\w+ = ).*?(  # default: (\S+))", r"\1\3\2", cell.source)
        notebook.cells, notebook.metadata = cells, {"kernelspec": KERNEL}
        text = nbformat.writes(notebook) + "\n"
        if not (target / name).is_file() or (target / name).read_text(encoding="utf-8") != text:
            (target / name).write_text(text, encoding="utf-8")


def _without_number(name: str) -> str:
    return re.sub(r"^\d\d_", "", name)


STYLE = """<style>
body .jp-Notebook {max-width: 1100px; margin: auto}
.jp-RenderedHTMLCommon table {display: block; overflow: auto; max-height: 85vh; font-variant-numeric: tabular-nums}
.jp-RenderedHTMLCommon thead th {position: sticky; top: 0; background: #fff; box-shadow: 0 1px #999}
.jp-RenderedHTMLCommon summary {cursor: pointer; color: #0b57a4; margin: .6em 0}
.jp-RenderedImage img, .jp-RenderedSVG img, details img {max-width: 100%; height: auto}
.jp-RenderedSVG img {zoom: 1.5}
</style></head>"""
MISSING = "No description has been provided for this image"  # what nbconvert writes


def write_page(executed: Path, page: Path) -> None:
    """Write an executed notebook as an HTML page, without its code and without links to the network. The alternative
    text of a picture is the text below it."""
    import nbformat
    from nbconvert import HTMLExporter

    offline = dict.fromkeys(("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url"), "")
    options = {"exclude_input": True, "exclude_input_prompt": True, "exclude_output_prompt": True}
    exporter = HTMLExporter(exclude_anchor_links=True, **options, **offline)
    notebook = nbformat.read(executed, as_version=4)
    html, _ = exporter.from_notebook_node(notebook)
    vector = 'src="data:image/svg+xml'  # nbconvert gives it no alternative text
    html = html.replace(f"<img {vector}", f'<img alt="{MISSING}" {vector}')
    for text in _texts_below_pictures(notebook.cells):
        html = html.replace(MISSING, text, 1)
    title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
    html = re.sub(r"<title>.*?</title>", f"<title>{title}</title>", html, count=1, flags=re.DOTALL)
    html = html.replace("</head>", STYLE, 1).replace(' tabindex="0"', "")
    page.write_text(html, encoding="utf-8")


def _texts_below_pictures(cells: list) -> list[str]:
    """For every picture in the outputs, the text of the next cell of text, without markup."""
    found = []
    for place, cell in enumerate(cells):
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        pictures = sum("image/png" in data or "image/svg+xml" in data for data in outputs)
        below = next((other.source for other in cells[place + 1 :] if other.cell_type == "markdown"), "")
        found += [html_text(re.sub(r"[*`#]", "", " ".join(below.split())), quote=True)] * pictures
    return found


def publish(root: Path, executed: Path, target: Path) -> None:
    """Copy executed notebooks to `target`, as they can be read where notebooks are shown: those of the stages that
    `dvc repro` runs, without untrained systems and the reports, which have pages. Sound is left out for its size."""
    import nbformat

    params = read_params(root)
    runs = params["runs"][LEVELS[0]].items()
    names = {f"{stage}-{run}" for run, entry in runs for stage in (entry["stage"], "evaluation")}
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        stage = _without_number(source.stem)
        for path in sorted(executed.glob(f"{stage}*.ipynb")):
            if path.stem not in (*names, stage) or stage in ("ablations", "report"):
                continue
            notebook = nbformat.read(path, as_version=4)
            notebook.metadata = {"kernelspec": KERNEL}
            for cell in notebook.cells:
                cell.metadata = {}
                for output in cell.get("outputs", []):
                    if "<audio" in str(output.get("data", {}).get("text/html", "")):
                        output["data"] = {"text/plain": "(sound: run the notebook to play it)"}
            number = source.stem.removesuffix(stage)
            (target / f"{number}{path.name}").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
