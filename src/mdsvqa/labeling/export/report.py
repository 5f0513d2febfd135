"""The report of a study: all that ITU-T P.910 wants said of how its MOS came about, as JSON and as a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

import mdsvqa
from mdsvqa.labeling.agreement import sos
from mdsvqa.labeling.collecting.database import Connection
from mdsvqa.labeling.export.findings import Findings, number, overview, videos_of
from mdsvqa.labeling.export.tables import utc
from mdsvqa.labeling.models import MODELS
from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.labeling.votes import Votes
from mdsvqa.labeling.web.texts import Texts
from mdsvqa.study.labeling import LabelingSettings

METHODS = {
    "acr": "Absolute category rating (ACR, ITU-T P.910)",
    "acr-hr": "Absolute category rating with hidden reference (ACR-HR, ITU-T P.910)",
    "dcr": "Degradation category rating (DCR, ITU-T P.910)",
    "pairs": "Pair comparison (PC, ITU-T P.910), with a third answer",
}
UNKNOWN = (
    "viewing distance", "ambient light", "calibration and peak luminance of the screens", "eyesight of the raters",
    "colour vision, unless plates were shown", "age and gender of the raters",
)  # fmt: skip


def study_report(
    connection: Connection, settings: LabelingSettings, found: Findings, prepared: Prepared, texts: Texts, at: float
) -> dict[str, Any]:
    """Everything about a study that a reviewer asks for, JSON-able."""
    known = overview(connection, settings, at)
    return {
        "title": settings.title,
        "made_by": f"mdsvqa {mdsvqa.__version__}",
        "made_at": utc(at),
        "method": METHODS[settings.method],
        "levels": _levels(settings, texts),
        "instructions": [text for name, text in texts.said.items() if name.startswith("instructions_")],
        "language": texts.said["language"],
        "texts_in_english": list(texts.missing),
        "training": {"clips": settings.training, "counted": False, "said": list(prepared.notes)},
        "order": "random per rater from a stored seed; a content does not follow itself where that can be avoided; no "
        "video twice but repeats",
        "seed": settings.seed,
        "sessions": _sessions(connection, settings),
        "repeats": {"per_session": settings.repeats, "slots_apart": settings.repeat_gap},
        "traps": {"one_in": settings.trap_every, "right": known["agreement"].get("traps_right")},
        "anchors": {"one_in": settings.anchor_every, "right": known["agreement"].get("anchors_right")},
        "presentation": {
            "size": settings.size,
            "background": "mid-grey (128 of 255)",
            "sound": settings.audio,
            "replays": settings.replays,
            "disturbed_when": {
                "stall_seconds_over": settings.most_stall,
                "dropped_share_over": settings.most_dropped,
                "watching_over_duration_over": settings.most_watching,
            },
        },
        "stimuli": _stimuli(prepared),
        "raters": {key: known[key] for key in ("invited", "opened")} | {"voted": len(found.votes.raters)},
        "checks": known["checks"],
        "devices": known["devices"],
        "unknown": list(UNKNOWN),
        "votes": _votes(found),
        "screening": _screening(found, settings, known["raters"]),
        "model": _model(found, settings),
        "agreement": known["agreement"],
        "sos": _sos(found),
        "mos": _mos(connection, found, settings, prepared.tone_mapped()),
        "ended": known["ended"],
        "enough": known["enough"],
        "unplayable": known["unplayable"],
    }


def report_page(report: dict[str, Any]) -> str:
    """The report as a page that needs nothing beside it."""
    source = files("mdsvqa.labeling.export").joinpath("study_report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.2f}"
    environment.filters["percent"] = lambda value: "–" if value is None else f"{value:.0%}"
    return environment.from_string(source).render(r=report, points=_points(report))


def _points(report: dict[str, Any]) -> list[tuple[float, float]]:
    """MOS and standard deviations as places in a picture of 400 by 200."""
    sos_ = report["sos"]
    if not sos_:
        return []
    return [
        (round(100 * (mos - 1), 1), round(200 - 100 * std, 1))
        for mos, std in zip(sos_["mos"], sos_["std"], strict=True)
    ]


def _levels(settings: LabelingSettings, texts: Texts) -> list[str]:
    if settings.method == "pairs":
        return [texts.said[name] for name in ("pair_first", "pair_second", "pair_equal")]
    scale = "dcr" if settings.method == "dcr" else "acr"
    return [f"{level} {texts.said[f'{scale}_{level}']}" for level in (5, 4, 3, 2, 1)]


def _sessions(connection: Connection, settings: LabelingSettings) -> dict[str, Any]:
    rows = connection.execute(
        "SELECT sessions.number, count(*) AS slots, sum(duration) AS seconds, max(closed) - min(issued) AS took FROM "
        "sessions JOIN slots ON session = sessions.number JOIN stimuli ON stimuli.number = coalesce(second, "
        "first) WHERE "
        "turn > 0 GROUP BY sessions.number HAVING sum(closed IS NULL) = 0"
    ).fetchall()
    seconds, took = [row["seconds"] for row in rows], [row["took"] or 0.0 for row in rows]
    return {
        "most_minutes_of_watching": settings.session_minutes,
        "per_rater": settings.sessions,
        "least_pause_minutes": settings.pause_minutes,
        "finished": len(rows),
        "mean_minutes_of_watching": float(np.mean(seconds)) / 60 if seconds else None,
        "median_minutes_from_first_to_last": float(np.median(took)) / 60 if took else None,
    }


def _stimuli(prepared: Prepared) -> dict[str, Any]:
    shown = prepared.of("video", "reference")
    copies = [each for each in shown if each.treatment != "untouched"]
    psnr = [each.psnr for each in copies if each.psnr is not None]
    return {
        "videos": len(prepared.of("video")),
        "references": len(prepared.of("reference")),
        "untouched": len(shown) - len(copies),
        "copies": [{"id": each.id, "why": each.treatment, "psnr": each.psnr} for each in copies],
        "lowest_psnr": min(psnr, default=None),
        "sizes": dict(Counter(f"{each.width} x {each.height}" for each in shown)),
        "seconds": [min((e.duration for e in shown), default=None), max((e.duration for e in shown), default=None)],
        "not_ratable": dict(prepared.left_out),
    }


def _votes(found: Findings) -> dict[str, Any]:
    counted = found.estimate.votes if found.estimate is not None else np.zeros(0, np.int64)
    counted = counted[counted > 0]
    corrected = int((found.votes.excluded == "corrected").sum()) if len(found.votes) else 0
    return {
        "given": len(found.votes),
        "counted": len(found.kept.counted()),
        "corrected": corrected,
        "disturbed": int(found.votes.disturbed.sum()),
        "per_video": {
            "least": int(counted.min()) if len(counted) else 0,
            "median": float(np.median(counted)) if len(counted) else 0.0,
            "most": int(counted.max()) if len(counted) else 0,
        },
    }


def _screening(found: Findings, settings: LabelingSettings, raters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    flagged = {rater["rater"]: rater["flags"] for rater in raters if rater["flags"]}
    both = None
    if found.every is not None and found.without_flagged is not None and flagged:
        shift = np.abs(found.every.mos - found.without_flagged.mos)
        both = number(float(np.nanmax(shift))) if np.isfinite(shift).any() else None
    return {
        "rules": settings.screening.model_dump(),
        "flagged": flagged,
        "by_rule": dict(Counter(flag.rule for flag in found.flags)),
        "flagged_count": settings.flagged_count,
        "largest_shift_of_a_mos_without_flagged": both,
        "excluded_by_the_organiser": {r["rater"]: r["excluded"] for r in raters if r["excluded"] is not None},
    }


def _model(found: Findings, settings: LabelingSettings) -> dict[str, Any]:
    name = "pairs" if settings.method == "pairs" else settings.model
    about = MODELS[name].about if name in MODELS else "Thurstone, case V, ties half, with a weak prior; no levels."
    if found.estimate is None:
        return {"name": name, "about": about, "settings": {}, "mean_half_width": None, "parts": 0}
    half = (found.estimate.high - found.estimate.low)[found.estimate.votes > 0] / 2
    return {
        "name": name,
        "about": about,
        "settings": {key: float(value) for key, value in found.estimate.settings.items()},
        "mean_half_width": number(float(half.mean())) if len(half) else None,
        "parts": found.estimate.parts,
    }


def _sos(found: Findings) -> dict[str, Any] | None:
    if not isinstance(found.kept, Votes) or not len(found.kept.counted()):
        return None
    spread = sos(found.kept.counted())
    known = np.isfinite(spread.std)
    return {"a": number(spread.a), "mos": spread.mos[known].tolist(), "std": spread.std[known].tolist()}


def _mos(
    connection: Connection, found: Findings, settings: LabelingSettings, tone_mapped: Mapping[str, str]
) -> list[dict[str, Any]]:
    if found.estimate is None:
        return []
    place = {name: j for j, name in enumerate(found.votes.videos)}
    columns = {"mos": found.estimate, "all_raters": found.every, "without_flagged": found.without_flagged}
    rows = []
    for name in videos_of(connection, settings):
        j = place[name]
        row: dict[str, Any] = {key: None if e is None else number(float(e.mos[j])) for key, e in columns.items()}
        row |= {end: number(float(getattr(found.estimate, end)[j])) for end in ("low", "high")}
        mapped = {"tone_mapped": tone_mapped.get(name)} if tone_mapped else {}
        rows.append({"id": name, "votes": int(found.estimate.votes[j]), **row, **mapped})
    return rows
