"""From the database of a study to the table of votes that all statistics start from."""

from collections.abc import Sequence
from sqlite3 import Row

import numpy as np

from mdsvqa.labeling.assignment import UnderWay
from mdsvqa.labeling.collecting.catalogue import stimuli_of
from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.collecting.raters import excluded_raters, name_of
from mdsvqa.labeling.votes import TRAINING, VIDEO, PairVotes, Votes
from mdsvqa.runtime.arrays import Ints
from mdsvqa.study.labeling import LabelingSettings

CORRECTED = "corrected"
_VOTES = """
SELECT votes.*, slots.rater, slots.kind, slots.first, slots.second, slots.pair, shown.id AS video, shown.expected,
  other.id AS before, votes.number = (SELECT max(number) FROM votes AS later WHERE later.slot = votes.slot) AS last
FROM votes JOIN slots ON slots.id = votes.slot
JOIN stimuli AS shown ON shown.number = coalesce(slots.second, slots.first)
LEFT JOIN stimuli AS other ON other.number = slots.first AND slots.second IS NOT NULL ORDER BY votes.number
"""


def raters_of(connection: Connection) -> list[int]:
    """Numbers of the raters who consented."""
    rows = connection.execute("SELECT DISTINCT rater FROM events WHERE kind = 'consent' ORDER BY rater")
    return [int(row["rater"]) for row in rows]


def video_ids(connection: Connection, settings: LabelingSettings) -> list[str]:
    """Ids of the videos of a study, with hidden references behind them."""
    roles = ("video", "reference") if settings.method == "acr-hr" else ("video",)
    return [row["id"] for role in roles for row in stimuli_of(connection, role)]


def votes_of(connection: Connection, settings: LabelingSettings) -> Votes:
    """Every vote on single videos or with a reference; corrected ones and those of excluded raters say so."""
    rows = connection.execute(_VOTES).fetchall()
    return Votes.of(
        [row["video"] for row in rows],
        [name_of(row["rater"]) for row in rows],
        [row["value"] for row in rows],
        kind=[row["kind"] for row in rows] or VIDEO,
        expected=[np.nan if row["expected"] is None else row["expected"] for row in rows] or np.nan,
        disturbed=[bool(row["disturbed"]) for row in rows] or False,
        excluded=_reasons(connection, rows) or "",
        method=settings.method,
        videos=video_ids(connection, settings),
        raters=[name_of(rater) for rater in raters_of(connection)],
    )


def pair_votes_of(connection: Connection, settings: LabelingSettings) -> PairVotes:
    """Every answer of a study of pairs, without practice."""
    rows = [row for row in connection.execute(_VOTES) if row["kind"] != TRAINING]
    return PairVotes.of(
        [row["before"] for row in rows],
        [row["video"] for row in rows],
        [name_of(row["rater"]) for row in rows],
        [row["value"] for row in rows],
        kind=[row["kind"] for row in rows] or VIDEO,
        expected=[np.nan if row["expected"] is None else row["expected"] for row in rows] or np.nan,
        disturbed=[bool(row["disturbed"]) for row in rows] or False,
        excluded=_reasons(connection, rows) or "",
        videos=video_ids(connection, settings),
        raters=[name_of(rater) for rater in raters_of(connection)],
    )


def table_of(connection: Connection, settings: LabelingSettings) -> Votes | PairVotes:
    """The table of votes of a study, of the kind that its method gives."""
    return pair_votes_of(connection, settings) if settings.method == "pairs" else votes_of(connection, settings)


def _reasons(connection: Connection, rows: Sequence[Row]) -> list[str]:
    out = excluded_raters(connection)
    return [
        CORRECTED if not row["last"] else f"rater excluded: {out[row['rater']]}" if row["rater"] in out else ""
        for row in rows
    ]


def pairs_under_way(connection: Connection, votes: PairVotes, at: float, seconds: float) -> tuple[Ints, Ints]:
    """Places of the pairs in open slots of sessions that began no longer than so many seconds ago."""
    rows = connection.execute(
        "SELECT one.id AS first, other.id AS second FROM slots JOIN sessions ON sessions.number = session JOIN stimuli "
        "AS one ON one.number = first JOIN stimuli AS other ON other.number = second WHERE kind = 'video' AND pair IS "
        "NOT NULL AND closed IS NULL AND sessions.created > ?",
        (at - seconds,),
    ).fetchall()
    place = {name: number for number, name in enumerate(votes.videos)}
    known = [(place[row["first"]], place[row["second"]]) for row in rows if {row["first"], row["second"]} <= set(place)]
    both = np.array(known, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def under_way(connection: Connection, votes: Votes, at: float, seconds: float) -> UnderWay:
    """Open slots of sessions that began no longer than so many seconds ago."""
    rows = connection.execute(
        "SELECT stimuli.id, slots.rater FROM slots JOIN sessions ON sessions.number = session JOIN stimuli ON "
        "stimuli.number = coalesce(second, first) WHERE kind = 'video' AND closed IS NULL AND sessions.created > ?",
        (at - seconds,),
    ).fetchall()
    video_at = {name: place for place, name in enumerate(votes.videos)}
    rater_at = {name: place for place, name in enumerate(votes.raters)}
    known = [row for row in rows if row["id"] in video_at]
    raters = [rater_at.setdefault(name_of(row["rater"]), len(rater_at)) for row in known]
    return UnderWay(np.array([video_at[row["id"]] for row in known], np.int64), np.array(raters, np.int64))
