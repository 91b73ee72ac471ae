import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from blsp_core.report import style


def test_a_system_looks_the_same_in_every_figure_and_markers_differ():
    few, many = style.looks(["blsp", "blsp-emo"]), style.looks([*style.NAMES, "no-lora", "share-25"])
    assert few == {system: many[system] for system in few}
    assert len({look["marker"] for look in many.values()}) == len(many)
    assert many["blsp-emo"]["color"] not in {look["color"] for name, look in many.items() if name != "blsp-emo"}


def test_nothing_to_draw_or_to_show_is_said_and_nothing_written(tmp_path, capsys):
    assert style.save_figure(None, tmp_path / "layers") is None
    assert capsys.readouterr().out.startswith("layers: not drawn")
    for empty in (pd.DataFrame(), pd.DataFrame(columns=["system"])):
        assert style.save_table(empty, tmp_path / "heads") == "heads: no rows at this level.\n"
    assert not list(tmp_path.iterdir())


def test_a_table_is_written_three_times_with_numbers_to_the_right(tmp_path):
    frame = pd.DataFrame({"system": ["A & B", "C"], "share, %": ["12.5 [1.0, 20.0]", None]})
    markdown = style.save_table(frame, tmp_path / "table", "Shares in %.")
    assert markdown == (tmp_path / "table.md").read_text()
    assert markdown.startswith("Shares in %.\n\n| system") and "None" not in markdown
    assert "-:|" in markdown.splitlines()[3] and "|:-" in markdown.splitlines()[3]
    assert pd.read_csv(tmp_path / "table.csv")["share, %"].isna().tolist() == [False, True]
    latex = (tmp_path / "table.tex").read_text()
    assert r"A \& B" in latex and r"\caption{Shares in \%.}" in latex and "{lr}" in latex


def test_the_best_of_each_column_is_bold_and_bounds_are_not(tmp_path):
    cells = {"system": ["BLSP", "BLSP-Emo", "gold+llm"], "acted": ["44.5 [1, 2]", "91.0 [3, 4]", "100.0 [5, 6]"]}
    frame = pd.DataFrame(cells | {"WER": ["acted 0.6", "", ""], "one": ["", "3.0", ""]})
    markdown = style.save_table(frame, tmp_path / "table", "Table 1. Best.", best=True)
    assert markdown.count("**") == 2 and "**91.0 [3, 4]**" in markdown
    latex = (tmp_path / "table.tex").read_text()
    assert r"\textbf{91.0 [3, 4]}" in latex and r"\caption{Best.}" in latex and "**" not in latex
    assert "**" not in (tmp_path / "table.csv").read_text()


def test_subfigures_are_placed_at_rounded_positions_too(tmp_path):
    fig = plt.figure()
    for part in fig.subfigures(2, 1, height_ratios=[2.75, 1 / 3]):
        part.subplots()
    style.save_figure(fig, tmp_path / "figure")
    corners = np.concatenate([part.bbox_relative.get_points().ravel() for part in fig.subfigs])
    assert np.array_equal(corners, corners.round(6)) and not np.signbit(corners).any()
