"""Charts as files, for papers and slides: PNG, SVG or PDF."""

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.evaluation.logistic import map_to_mos
from mdsvqa.evaluation.study_size import StudySize
from mdsvqa.report.page.data import BudgetPoint, PoolPoint, ReportData, RoundResult
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.words import counted, listed

# Of the charts of a study's page.
NAMES = ("target", "source", "gain", "rounds", "budgets", "map", "scatter-before", "scatter-after", "half-widths")
ENDINGS = (".png", ".svg", ".pdf")
# Colours that people with any colour vision tell apart (Okabe and Ito, 2008).
INK, MARK, ACCENT, WARM = "#1c1b19", "#6b675f", "#0072b2", "#d55e00"
COLOURS = (ACCENT, WARM, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def check_plot(path: Path) -> None:
    """Raises an InputError where a chart cannot be written in the format that a file's name asks for."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--plot {path}: expected a file ending in {listed(ENDINGS, 'or')}, found {path.suffix!r}.")


def write_plot(figure: Figure, path: Path) -> None:
    """Writes a chart in the format that the file's name ends in; the same bytes for the same figures."""
    sink, kind = io.BytesIO(), path.suffix.lower().removeprefix(".")
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    with rc_context({"svg.hashsalt": "mdsvqa"}):
        figure.savefig(sink, format=kind, dpi=200, metadata=dated[kind])
    write_atomically(path, sink.getvalue())


def _axes(title: str, across: str, upwards: str, size: tuple[float, float] = (5.2, 4.0)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.set_xlabel(across, parse_math=False)
    axes.set_ylabel(upwards, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def scatter(score: Floats, mos: Floats, title: str, dataset: Sequence[str] = ()) -> Figure:
    """MOS against scores, with the fit that precedes PLCC, in each data set.

    Args:
        score, mos: shape (n,).
        title: of the chart.
        dataset: of each video, length n; empty for one.
    """
    figure, axes = _axes(title, "score", "mean opinion score")
    names = np.array(dataset if len(dataset) else [""] * len(score), object)
    for colour, name in zip(cycle(COLOURS), dict.fromkeys(names.tolist()), strict=False):
        own = names == name
        axes.scatter(score[own], mos[own], s=14, color=colour, alpha=0.5, linewidths=0)
        order = np.argsort(score[own])
        mapped, kind = map_to_mos(score[own], mos[own])
        label = f"{name + ', ' if name else ''}{kind} fit"
        axes.plot(score[own][order], mapped[order], color=colour, label=label)
    axes.legend(frameon=False, fontsize=8)
    return figure


def forest(rows: Mapping[str, Interval], title: str, across: str, reference: float | None = None) -> Figure:
    """Estimates with their intervals, one below the other.

    Args:
        rows: by name, the first on top.
        title: of the chart.
        across: what the figures are.
        reference: a value to compare with, such as 0 for differences.
    """
    figure, axes = _axes(title, across, "", (6.0, 1.1 + 0.32 * len(rows)))
    for place, interval in enumerate(rows.values()):
        ends = [end for end in (interval.low, interval.high) if np.isfinite(end)]
        axes.plot(ends, [place] * len(ends), color=MARK, linewidth=2)
        axes.plot([interval.value], [place], "o", color=ACCENT)
    if reference is not None:
        axes.axvline(reference, color=MARK, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [name.replace("$", r"\$") for name in rows])
    axes.invert_yaxis()
    return figure


def learning_curve(rounds: Sequence[RoundResult]) -> Figure:
    """SRCC against labels spent."""
    figure, axes = _axes("Learning curve", "labels spent", "SRCC on the target test set")
    measured = [(turn.labels, turn.target_srcc) for turn in rounds if turn.target_srcc is not None]
    x, y = [labels for labels, _ in measured], [srcc for _, srcc in measured]
    axes.vlines(x, [srcc.low for srcc in y], [srcc.high for srcc in y], color=MARK)
    axes.plot(x, [srcc.value for srcc in y], "o-", color=ACCENT)
    return figure


def budget_curve(points: Sequence[BudgetPoint]) -> Figure:
    """What more labels would buy, in the rehearsal."""
    figure, axes = _axes("What more labels would buy (rehearsal)", "labels spent", "target SRCC")
    colours = cycle(COLOURS)
    for label in dict.fromkeys(point.label for point in points):
        own = [point for point in points if point.label == label]
        if own[0].kind in ("base", "everything"):
            axes.axhline(own[0].srcc, color=MARK, linestyle=":", label=label)
        else:
            axes.plot([p.labels for p in own], [p.srcc for p in own], "o-", color=next(colours), label=label)
    axes.legend(frameon=False, fontsize=8)
    return figure


def content_map(pool: Sequence[PoolPoint]) -> Figure:
    """The pool by content, coloured by difficulty, with the selected videos ringed and numbered."""
    figure, axes = _axes("The pool by content", "", "", (6.5, 4.6))
    x, y, difficulty = np.array([(p.x, p.y, p.difficulty) for p in pool]).T
    drawn = axes.scatter(x, y, c=difficulty, cmap="cividis", vmin=0, vmax=100)
    chosen = [p for p in pool if p.rank is not None]
    axes.scatter([p.x for p in chosen], [p.y for p in chosen], s=70, facecolors="none", edgecolors=INK)
    for point in chosen[:60]:
        axes.annotate(str(point.rank), (point.x, point.y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(drawn, ax=axes, label="difficulty, percentile in the pool")
    return figure


def half_widths(values: Sequence[float]) -> Figure:
    """How sure the labels are."""
    figure, axes = _axes("How sure the labels are", "half-width of the 95% interval of MOS", "videos")
    axes.hist(values, 24, color=MARK)
    return figure


def study_size(found: StudySize) -> Figure:
    """How precise an SRCC is, by videos and raters."""
    figure, axes = _axes(f"SRCC {found.srcc:.2f} with true quality", "videos", "expected width of the 95% interval")
    for colour, raters in zip(cycle(COLOURS), sorted({design.raters for design in found.designs}), strict=False):
        own = sorted((design.videos, design.width) for design in found.designs if design.raters == raters)
        label = counted(raters, "rater")
        axes.plot([videos for videos, _ in own], [width for _, width in own], "o-", color=colour, label=label)
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=8)
    return figure


def attacks(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """The pairs of a competition: how far attacker and defender see them apart.

    Args:
        pairs: by duel, the difference of the defender's and of the attacker's scores of each pair.
    """
    figure, axes = _axes("Pairs found", "difference by the defender", "difference by the attacker")
    for colour, (duel, found) in zip(cycle(COLOURS), pairs.items(), strict=False):
        x, y = zip(*found, strict=True)
        axes.scatter(x, y, s=18, color=colour, label=duel.replace("$", r"\$"))
    axes.axvline(0, color=MARK, linestyle=":", linewidth=1)
    axes.legend(frameon=False, fontsize=8)
    return figure


def study_figures(data: ReportData) -> dict[str, Figure]:
    """The charts of a study's page, by name."""
    found: dict[str, Figure] = {}
    named = {
        "target": ("SRCC on the target test set", "SRCC", {r.label: r.target.get("srcc") for r in data.rules}),
        "source": ("SRCC on the source test set", "SRCC", {r.label: r.source_srcc for r in data.rules}),
        "gain": ("Gain over random selection", "SRCC", {r.label: r.gain_over_random for r in data.rules}),
    }
    for name, (title, across, rows) in named.items():
        known = {label: interval for label, interval in rows.items() if interval is not None}
        if known:
            found[name] = forest(known, title, across, 0.0 if name == "gain" else None)
    if sum(turn.target_srcc is not None for turn in data.rounds) > 1:
        found["rounds"] = learning_curve(data.rounds)
    if data.budgets:
        found["budgets"] = budget_curve(data.budgets)
    if data.pool:
        found["map"] = content_map(data.pool)
    if data.scatter:
        mos = np.array([point.mos for point in data.scatter])
        for name, score in (("before", [p.before for p in data.scatter]), ("after", [p.after for p in data.scatter])):
            found[f"scatter-{name}"] = scatter(np.array(score), mos, f"f against MOS, {name} fine-tuning")
    if data.half_widths:
        found["half-widths"] = half_widths(data.half_widths)
    return found


def write_figures(folder: Path, data: ReportData) -> None:
    """Writes the charts of a study's page as PNG and SVG, and removes those that there is nothing for any more."""
    folder.mkdir(exist_ok=True)
    figures = study_figures(data)
    for name, figure in figures.items():
        for ending in (".png", ".svg"):
            write_plot(figure, folder / f"{name}{ending}")
    for path in folder.glob("*.*"):
        if path.suffix in (".png", ".svg") and path.stem in NAMES and path.stem not in figures:
            path.unlink()
