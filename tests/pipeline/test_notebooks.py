"""Executed notebooks as pages."""

import nbformat
from nbformat import v4

from blsp_core import notebooks

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_pictures_of_a_page_have_the_text_below_them_and_the_page_its_title(tmp_path):
    cells = [v4.new_markdown_cell("# Results\n\nText.")]
    kinds = {"image/png": PIXEL, "image/svg+xml": "<svg></svg>"}
    for (kind, data), text in zip(kinds.items(), ("The *first* picture.", 'The second, "quoted".'), strict=True):
        output = v4.new_output("display_data", data={kind: data, "text/plain": "<Figure>"})
        cells += [v4.new_code_cell("plot()", outputs=[output]), v4.new_markdown_cell(text)]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "executed.ipynb")
    notebooks.write_page(tmp_path / "executed.ipynb", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'alt="The first picture."' in html and 'alt="The second, &quot;quoted&quot;."' in html
    assert notebooks.MISSING not in html and "plot()" not in html and "<title>Results</title>" in html
    assert "position: sticky" in html and 'tabindex="0"' not in html
