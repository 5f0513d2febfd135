import csv
import io

import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.paper_tables import latex_escape
from mdsvqa.report.page.export import cell_text, csv_text, latex_text
from mdsvqa.report.page.tables import Column, Row, Table


@pytest.fixture
def table() -> Table:
    columns = (Column("SRCC", "YT_SFV"), Column("PLCC", "YT_SFV"), Column("gain", signed=True), Column("videos"))
    rows = (
        Row("base", (Interval(0.5, 0.25, 0.75), 0.125, None, 1200)),
        Row('MDS, "new"', (None, float("nan"), Interval(-0.25, -0.5, float("nan")), 3)),
    )
    return Table("rules", "Gain & loss, 95%", "Rule", columns, rows)


def test_csv_reads_back_with_an_interval_in_three_columns(table):
    rows = list(csv.reader(io.StringIO(csv_text(table))))
    ends = ["gain", "gain low", "gain high"]
    assert rows == [
        ["Rule", "YT_SFV: SRCC", "YT_SFV: SRCC low", "YT_SFV: SRCC high", "YT_SFV: PLCC", *ends, "videos"],
        ["base", "0.5", "0.25", "0.75", "0.125", "", "", "", "1200"],
        ['MDS, "new"', "", "", "", "", "-0.25", "-0.5", "", "3"],
    ]


def test_latex_has_a_cell_for_each_column_and_rules_below_groups(table):
    lines = latex_text(table).splitlines()
    assert r"\begin{tabular}{lrrrr}" in lines
    assert r" & \multicolumn{2}{c}{YT\_SFV} & \multicolumn{2}{c}{} \\" in lines
    assert r"\cmidrule(lr){2-3}" in lines
    assert r"base & 0.500 {\scriptsize [0.250, 0.750]} & 0.125 & -- & 1,200 \\" in lines
    # An interval with an unknown end is the value alone.
    assert r'MDS, "new" & -- & -- & $-$0.250 & 3 \\' in lines
    assert r"\caption{Gain \& loss, 95\%}" in lines


def test_latex_escapes_each_character_once():
    assert latex_escape(r"a\b{c}~^") == r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}"
    assert latex_escape("÷ pool’s") == r"$\div$ pool's"


def test_groups_are_spans_of_neighbours(table):
    assert table.groups == [("YT_SFV", 2), ("", 2)]


def test_cells_for_a_reader():
    assert cell_text("as it is", Column("x")) == ("as it is", "")
    assert cell_text(0.126, Column("x", decimals=2)) == ("0.13", "")
    assert cell_text(float("nan"), Column("x")) == ("–", "")
