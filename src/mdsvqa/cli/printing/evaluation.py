"""What a person sees of evaluations, comparisons and study designs."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdsvqa.evaluation.compare import COMPARED, Comparison
from mdsvqa.evaluation.datasets import OVERALL, DatasetEvaluation
from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.metrics import METRICS
from mdsvqa.evaluation.paper_tables import probability
from mdsvqa.evaluation.study_size import Design, StudySize, ratings_for
from mdsvqa.runtime.words import counted

MEAN = "mean of data sets"


def print_evaluation(score: str, found: DatasetEvaluation, left_out: int, cautions: Sequence[str] = ()) -> None:
    """The metrics of one column of scores, in each data set and on average, behind what to know before them."""
    console = Console()
    for caution in cautions:
        console.print(f"Caution: {caution}", highlight=False, markup=False, soft_wrap=True)
    for dataset, result in found.parts().items():
        where = {"": "", OVERALL: f", {MEAN}"}.get(dataset, f", {dataset}")
        table = Table(title=escape(f"{score}{where}, {result.n} videos"), title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("metric", "value", "95% interval"):
            table.add_column(heading)
        for name, metric in METRICS.items():
            interval: Interval = getattr(result, name)
            table.add_row(metric.label, f"{interval.value:.4f}", f"[{interval.low:.4f}, {interval.high:.4f}]")
        console.print(table)
    unfitted = [name for name, result in found.each.items() if result.fit != "logistic"]
    if unfitted:
        where = f" on {', '.join(unfitted)}" if any(unfitted) else ""
        sentence = f"No logistic fits better than a straight line{where}; PLCC and RMSE there are after a linear fit."
        console.print(sentence, highlight=False, markup=False)
    _print_left_out(console, left_out)


def print_comparison(found: Comparison, left_out: int) -> None:
    """Every model, then every two of them, in each data set and on average."""
    console = Console()
    console.print(_models_table(found))
    for dataset in dict.fromkeys(pair.dataset for pair in found.pairs):
        console.print(_pairs_table(found, dataset))
    if found.video_pairs is not None:
        console.print(_areas_table(found))
    for name, model in found.models.items():
        if model.agreement.overall.srcc.value < 0:
            sentence = f"SRCC of {name} is negative: if its high scores mean low quality, hand in their negative."
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        if model.agreement.overall.fit != "logistic":
            sentence = f"No logistic fits {name} better than a straight line; its PLCC and RMSE are after a linear fit."
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    _print_left_out(console, left_out)
    console.print("The tests of ITU-T P.1401 and all statistics: --json or --csv FILE.", highlight=False)


def _models_table(found: Comparison) -> Table:
    outliers = any(model.outlier_ratio for model in found.models.values())
    headings = ["model", "data set", "videos", *(metric.label for metric in METRICS.values()), *["outliers"] * outliers]
    rows = []
    for name, model in found.models.items():
        for dataset, result in model.agreement.parts().items():
            metrics = [f"{result.metrics[metric]:.3f}" for metric in METRICS]
            ratio = [f"{model.outlier_ratio[dataset]:.3f}"] if dataset in model.outlier_ratio else [""] * outliers
            rows.append([name, MEAN if dataset == OVERALL else dataset, str(result.n), *metrics, *ratio])
    return _table("Models [95% interval]", headings, rows)


def _pairs_table(found: Comparison, dataset: str) -> Table:
    pairs = [pair for pair in found.pairs if pair.dataset == dataset]
    where = {"": "", OVERALL: f", {MEAN}"}.get(dataset, f", {dataset}")
    headings = [
        "first - second",
        *(METRICS[metric].label for metric in COMPARED),
        "p (SRCC)",
        "Holm",
        "p (PLCC)",
        "Holm",
    ]
    rows = [
        [
            f"{pair.first} - {pair.second}",
            *(f"{pair.differences[metric]:+.3f}" for metric in COMPARED),
            *(
                probability(p)
                for name in ("meng_srcc", "meng_plcc")
                for p in (pair.tests[name].p, pair.tests[name].holm)
            ),
        ]
        for pair in pairs
    ]
    title = f"Differences{where}, {pairs[0].n} videos [95% paired bootstrap]; p by Meng, Rosenthal and Rubin"
    return _table(title, headings, rows)


def _areas_table(found: Comparison) -> Table:
    total, different = found.video_pairs or (0, 0)
    rows = [
        [name, f"{model.different_similar:.3f}", f"{model.better_worse:.3f}", f"{model.correct:.3f}"]
        for name, model in found.models.items()
    ]
    for pair in found.pairs:
        tests = [pair.tests.get(name) for name in ("different_similar", "better_worse")]
        p_values = ["" if test is None else f"p {probability(test.p)}, Holm {probability(test.holm)}" for test in tests]
        if any(p_values):
            rows.append([f"{pair.first} - {pair.second}", *p_values, ""])
    title = f"Pairs of videos: {different} of {total} differ in MOS (Krasula et al.: areas under the curves)"
    return _table(title, ["model", "different or similar", "better or worse", "in order"], rows)


def print_study_size(found: StudySize, wanted: float | None, half_width: float) -> None:
    """The table of designs, the smallest that is precise enough, and what a MOS of a wanted interval takes."""
    console = Console()
    raters = sorted({design.raters for design in found.designs})
    by_size: dict[int, list[Design]] = {}
    for design in sorted(found.designs, key=lambda design: (design.videos, design.raters)):
        by_size.setdefault(design.videos, []).append(design)
    headings = ["videos", *(counted(count, "rater") for count in raters)]
    rows = [[str(videos), *(f"{design.width:.3f}" for design in row)] for videos, row in by_size.items()]
    console.print(_table("Width of the 95% interval of SRCC", headings, rows))
    expected = {design.raters: design.attenuation for design in found.designs}
    lost = ", ".join(f"{expected[count]:.3f} with {count}" for count in raters)
    console.print(f"SRCC with MOS over SRCC with true quality ({found.srcc:.3f}): {lost}.", highlight=False)
    ratings = ratings_for(half_width, found.noise)
    console.print(f"A MOS within +-{half_width:g} takes {ratings} ratings of the video.", highlight=False)
    if wanted is None:
        return
    best = found.smallest(wanted)
    if best is None:
        console.print(f"No design here reaches {wanted:g}: name more videos or raters, or a wider interval.")
    else:
        console.print(
            f"Smallest for {wanted:g}: {counted(best.videos, 'video')} x {counted(best.raters, 'rater')}, "
            f"{best.videos * best.raters} "
            f"ratings; expected width {best.width:.3f}.",
            highlight=False,
        )


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A column that is empty in every row is left out."""
    used = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place in used:
        table.add_column(headings[place])
    for row in rows:
        table.add_row(*(escape(row[place]) for place in used))
    return table


def _print_left_out(console: Console, left_out: int) -> None:
    if left_out:
        console.print(f"{counted(left_out, 'row')} left out: something asked for is missing, or not asked for.")
