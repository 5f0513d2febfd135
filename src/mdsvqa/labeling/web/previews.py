"""Every page of a rater, to be looked at without one."""

from typing import Any

_CLIP = {"source": "/media/check", "width": 1920, "height": 1080, "frames": 250, "duration": 10.0, "bytes": 1}
_SLOT = {
    "page": "slot", "slot": "0" * 16, "clips": [_CLIP], "training": False, "place": 7, "of": 40,
    "next": {"slot": "1" * 16, "clips": [_CLIP]},
}  # fmt: skip
PAGES = (
    "consent", "instructions", "check", "unsuited", "training", "slot", "vote", "again", "unplayable", "break",
    "thanks", "closed", "problem",
)  # fmt: skip


def preview(page: str, sessions: int) -> dict[str, Any] | None:
    """What the server would say of a page; None where there is no such page."""
    said: dict[str, dict[str, Any]] = {
        "instructions": {"page": "instructions", "again": False},
        "unsuited": {"page": "unsuited", "failed": ["screen", "brightness", "playback", "colour"]},
        "training": {**_SLOT, "training": True},
        "slot": _SLOT,
        "break": {"page": "break", "turn": 2, "sessions": max(2, sessions), "seconds": 300.0},
    }
    if page in ("vote", "again", "unplayable"):
        return {"slot": _SLOT}
    return said.get(page, {"page": page}) if page in PAGES else None
