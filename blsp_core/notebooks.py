"""Notebooks as files: without outputs for the pipeline, and with outputs for readers."""

import re
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
    sources = sorted((root / "notebooks").glob("*.ipynb" if in_place else "[0-9][0-9]_*.ipynb"))
    names = {source: source.name if in_place else source.name[3:] for source in sources}
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


def write_page(executed: Path, page: Path) -> None:
    """Write an executed notebook as an HTML page, without its code and without links to the network."""
    from nbconvert import HTMLExporter

    offline = dict.fromkeys(("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url"), "")
    exporter = HTMLExporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True, **offline)
    page.write_text(exporter.from_filename(str(executed))[0], encoding="utf-8")


def publish(root: Path, executed: Path, target: Path) -> None:
    """Copy executed notebooks to `target`, as they can be read where notebooks are shown: those of the stages that
    `dvc repro` runs, without untrained systems and the report, which has its page. Sound is left out for its size."""
    import nbformat

    params = read_params(root)
    runs = params["runs"][LEVELS[0]].items()
    names = {f"{stage}-{run}" for run, entry in runs for stage in (entry["stage"], "evaluation")}
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted((root / "notebooks").glob("0[1-6]_*.ipynb")):
        stage = source.stem[3:]
        for path in sorted(executed.glob(f"{stage}*.ipynb")):
            if path.stem != stage and path.stem not in names:
                continue
            notebook = nbformat.read(path, as_version=4)
            notebook.metadata = {"kernelspec": KERNEL}
            for cell in notebook.cells:
                cell.metadata = {}
                for output in cell.get("outputs", []):
                    if "<audio" in str(output.get("data", {}).get("text/html", "")):
                        output["data"] = {"text/plain": "(sound: run the notebook to play it)"}
            number = source.name[:3]
            (target / f"{number}{path.name}").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
