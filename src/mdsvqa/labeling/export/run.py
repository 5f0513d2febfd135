"""Writes what leaves a study, from a study that may be running."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdsvqa.labeling.collecting.course import ENDED
from mdsvqa.labeling.collecting.database import FILE, Connection, fact, now, reading
from mdsvqa.labeling.export.findings import Findings, findings, unplayable_everywhere, videos_of
from mdsvqa.labeling.export.report import report_page, study_report
from mdsvqa.labeling.export.tables import (
    DIFFERENCES,
    PREFERENCES,
    RATERS,
    VIDEOS,
    VOTES,
    differences_table,
    preferences_table,
    raters_table,
    videos_table,
    votes_table,
)
from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.labeling.votes import PairVotes
from mdsvqa.labeling.web.texts import Texts
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import json_text
from mdsvqa.study.labeling import LabelingSettings

REPORT_PAGE, REPORT_JSON = "study-report.html", "study-report.json"


def exported(
    connection: Connection, settings: LabelingSettings, prepared: Prepared, texts: Texts, at: float
) -> dict[str, bytes]:
    """Everything that leaves a study, by the name of its file."""
    found = findings(connection, settings)
    report = study_report(connection, settings, found, prepared, texts, at)
    files = {
        VIDEOS: videos_table(connection, settings, found, prepared.tone_mapped()),
        VOTES: votes_table(connection, settings, found),
        RATERS: raters_table(connection, settings, found, at),
        REPORT_PAGE: report_page(report).encode(),
        REPORT_JSON: (json_text(report, 1) + "\n").encode(),
    }
    if settings.method == "acr-hr" and (differences := differences_table(connection, found)) is not None:
        files[DIFFERENCES] = differences
    if isinstance(found.votes, PairVotes):
        files[PREFERENCES] = preferences_table(connection, found)
    return files


def export(
    folder: Path, out: Path, settings: LabelingSettings, prepared: Prepared, texts: Texts, labels: Path | None = None
) -> Mapping[str, Any]:
    """Writes everything that leaves a study.

    Args:
        folder: of the rating study.
        out: for the files.
        settings: of it.
        prepared: what was shown.
        texts: of its pages.
        labels: where a loop waits for the labels of a study that has ended.

    Returns:
        For people and programs: the files, counts, and whether the loop got its labels.
    """
    out.mkdir(parents=True, exist_ok=True)
    with reading(folder / FILE) as connection:
        files = exported(connection, settings, prepared, texts, now())
        found = findings(connection, settings)
        ended = bool(fact(connection, ENDED))
        handed = None
        if labels is not None and ended and settings.method != "pairs" and found.estimate is not None:
            handed = labels_of(connection, settings, found, prepared)
    for name, content in files.items():
        write_atomically(out / name, content)
    if handed is not None and labels is not None:
        write_atomically(labels, handed)
    return {
        "out": str(out),
        "files": sorted(files),
        "votes": len(found.votes),
        "counted": len(found.kept.counted()),
        "raters": len(found.votes.raters),
        "ended": ended,
        "labels": str(labels) if handed is not None else None,
    }


def labels_of(connection: Connection, settings: LabelingSettings, found: Findings, prepared: Prepared) -> bytes:
    """The labels of a study as a loop reads them: id, mos, mos_std; an empty mos where nobody could rate a video."""
    assert found.estimate is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    mapped = prepared.tone_mapped()

    def how(name: str) -> list[str]:
        return [mapped.get(name, "")] if mapped else []

    writer.writerow(["id", "mos", "mos_low", "mos_high", "votes", *(["tone_mapped"] if mapped else [])])
    place = {name: j for j, name in enumerate(found.votes.videos)}
    gone = unplayable_everywhere(connection)
    references = {each.id for each in prepared.of("reference")}
    for name in videos_of(connection, settings):
        j, estimate = place[name], found.estimate
        if name in references:
            continue
        if not estimate.votes[j]:
            # One that only was never shown is asked for again.
            if name in gone:
                writer.writerow([name, "", "", "", 0, *how(name)])
            continue
        mos, low, high = (min(5.0, max(1.0, float(v[j]))) for v in (estimate.mos, estimate.low, estimate.high))
        writer.writerow([name, repr(mos), repr(low), repr(high), int(estimate.votes[j]), *how(name)])
    for name in prepared.left_out:
        writer.writerow([name, "", "", "", 0, *how(name)])
    return text.getvalue().encode()
