"""A made-up study, large enough to fill every part of the page."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mdsvqa.evaluation.intervals import Interval
from mdsvqa.report.page.data import (
    BudgetPoint,
    PairedVideo,
    PoolPoint,
    PredictedInterval,
    ReportData,
    RoundResult,
    RuleResult,
    ScatterPoint,
    Undecoded,
    VideoPair,
)
from mdsvqa.report.page.tables import Column, Row, Table
from mdsvqa.report.page.thumbnails import thumbnail


def around(value: float, half: float = 0.05) -> Interval:
    return Interval(value, value - half, value + half)


def make_pool(count: int, selected: int, pictures: bool = True) -> list[PoolPoint]:
    rng = np.random.default_rng(3)
    places, difficulty = rng.normal(size=(count, 2)), rng.uniform(1, 5, count)
    ranks = {int(index): rank for rank, index in enumerate(np.argsort(-difficulty)[:selected], start=1)}
    frames = rng.integers(0, 256, (selected + 1, 1, 3, 9, 16)).repeat(20, axis=3).repeat(20, axis=4)
    return [
        PoolPoint(
            f"pool/{index:04d}.mp4",
            float(places[index, 0]),
            float(places[index, 1]),
            float(difficulty[index]),
            ranks.get(index),
            thumbnail(frames[ranks[index]].astype(np.uint8)) if pictures and index in ranks else None,
            3.0,
        )
        for index in range(count)
    ]


def make_table(name: str) -> Table:
    columns = (Column("SRCC", "old"), Column("PLCC", "old"), Column("gain", signed=True), Column("videos"))
    rows = (
        Row("base_model", (around(0.5), None, None, 12)),
        Row("MDS & more", (around(0.6), 0.7, around(-0.1, 0.2), 1200), "a note"),
    )
    return Table(name, f"The table of {name}", "Rule", columns, rows)


def make_pairs(count: int) -> list[VideoPair]:
    frame = np.full((1, 3, 90, 160), 128, np.uint8)
    return [
        VideoPair(
            PairedVideo(f"test/better-{place}.mp4", 3.0, 2.0, 4.0, thumbnail(frame)),
            PairedVideo(f"test/worse-{place}.mp4", 3.5, 2.0, 2.5, thumbnail(frame)),
        )
        for place in range(count)
    ]


def make_full_study() -> ReportData:
    """A study with every section."""
    names = ("rules", "datasets", "rounds", "failure", "audit", "reliability", "rehearsal")
    study = make_study()
    pool = [replace(point, audit=point.rank in (1, 2)) for point in study.pool]
    return replace(
        study,
        pool=pool,
        tables={name: make_table(name) for name in names},
        rehearsal=["Use split: it gained.", "It kept its promise."],
        budgets=[
            BudgetPoint("no new labels", "base", 0, 0.50),
            *(BudgetPoint("split <of 2>", "recommended", spent, 0.6 + spent / 1000) for spent in (8, 20, 40)),
            *(BudgetPoint("random", "random", spent, 0.6 + spent / 1010) for spent in (8, 20, 40)),
            BudgetPoint("everything labeled", "everything", 0, 0.8),
        ],
        failure=["f errs more on the chosen videos.", "Errors are distances of ranks."],
        base_sees_none=make_pairs(4),
        tuned_sees_none=make_pairs(1),
        half_widths=[0.1, 0.2, 0.2, 0.4],
        intervals=[PredictedInterval("test/<a>.mp4", 2.0, 3.0, 2.5), PredictedInterval("b", 3.0, 4.0, 4.5)],
        intervals_said="1 of 2 target test videos have a MOS inside.",
    )


def make_study(pool: int = 120, selected: int = 12) -> ReportData:
    rng = np.random.default_rng(4)
    rules = [
        RuleResult("base", "Base model", {"srcc": around(0.65), "plcc": around(0.68)}, around(0.7)),
        RuleResult("random", "Random", {"srcc": around(0.69)}, around(0.75), labels=30),
        RuleResult("core-set", "Core-set", {"srcc": around(0.7)}, around(0.76), Interval(0.01, -0.02, 0.04), labels=30),
        RuleResult("mds", "MDS-VQA", {"srcc": around(0.75)}, around(0.78), Interval(0.06, 0.02, 0.1), labels=30),
    ]
    return ReportData(
        title="A study",
        simulated=True,
        headline=["Thirty labels help.", "Random ones help less."],
        facts={"Pool": f"{pool} videos"},
        rules=rules,
        pool=make_pool(pool, selected),
        scatter=[ScatterPoint(f"test/{index}.mp4", *map(float, rng.uniform(1, 5, 3))) for index in range(50)],
        scatter_before={"srcc": around(0.65)},
        scatter_after={"srcc": around(0.75)},
        failures=[Undecoded("broken.mp4", "moov atom not found")],
        settings={"selection": {"weight": 0.25}},
        notes=["One seed."],
        rounds=[RoundResult(0, 0, around(0.65)), RoundResult(1, 30, around(0.75))],
        commands=["mdsvqa run study.yaml"],
    )


@pytest.fixture
def study() -> ReportData:
    return make_study()


@pytest.fixture
def full_study() -> ReportData:
    return make_full_study()


@pytest.fixture
def pool_of() -> Callable[..., list[PoolPoint]]:
    return make_pool
