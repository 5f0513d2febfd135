"""Evaluations and comparisons as rows of numbers (CSV) and as a table for a paper (LaTeX)."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mdsvqa.evaluation.compare import COMPARED, Comparison
from mdsvqa.evaluation.datasets import DatasetEvaluation
from mdsvqa.evaluation.metrics import METRICS

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "’": "'",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def evaluation_rows(models: Mapping[str, DatasetEvaluation]) -> list[dict[str, Any]]:
    """One row for each model and data set: score, dataset, videos, fit, and each metric with its interval."""
    return [{"score": name} | row for name, found in models.items() for row in found.rows()]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as CSV; numbers in full precision, those that are undefined as `nan`.

    >>> csv_text([{"score": "a, b", "srcc": 0.5}])
    'score,srcc\\n"a, b",0.5\\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def evaluation_latex(models: Mapping[str, DatasetEvaluation]) -> str:
    """Each model and data set with its metrics and intervals, for the package booktabs."""
    rows = [
        [name, dataset, str(result.n), *(f"{result.metrics[metric]:.3f}" for metric in METRICS)]
        for name, found in models.items()
        for dataset, result in found.parts().items()
    ]
    return latex_text(["Model", "Data set", "Videos", *(metric.label for metric in METRICS.values())], rows)


def comparison_latex(found: Comparison) -> str:
    """Differences with intervals, and Meng, Rosenthal and Rubin's p on SRCC, adjusted, for the package booktabs."""
    rows = [
        [
            *(pair.first, pair.second, pair.dataset, str(pair.n)),
            *(f"{pair.differences[metric]:+.3f}" for metric in COMPARED),
            probability(pair.tests["meng_srcc"].holm),
        ]
        for pair in found.pairs
    ]
    head = [
        "First",
        "Second",
        "Data set",
        "Videos",
        *(f"{METRICS[metric].label} difference" for metric in COMPARED),
        "p (Holm)",
    ]
    return latex_text(head, rows)


def latex_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A tabular for the package booktabs; a column that is empty in every row is left out.

    >>> print(latex_text(["Model", "Set", "SRCC"], [["my_f", "", "0.5"]]), end="")
    \\begin{tabular}{ll}
    \\toprule
    Model & SRCC \\\\
    \\midrule
    my\\_f & 0.5 \\\\
    \\bottomrule
    \\end{tabular}
    """
    used = [place for place in range(len(head)) if any(row[place] for row in rows)]
    first, *rest = (" & ".join(latex_escape(cells[place]) for place in used) + r" \\" for cells in (head, *rows))
    frame = [rf"\begin{{tabular}}{{{'l' * len(used)}}}", r"\toprule", first, r"\midrule", *rest, r"\bottomrule"]
    return "\n".join([*frame, r"\end{tabular}", ""])


def latex_escape(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(latex_escape("YT_SFV & 5% −0.2"))
    YT\_SFV \& 5\% $-$0.2
    """
    return "".join(SPECIAL.get(character, character) for character in text)


def probability(p: float) -> str:
    """A p-value in three digits.

    >>> probability(0.00004), probability(0.0412)
    ('< 0.001', '0.041')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
