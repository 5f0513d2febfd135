"""Every page of a rater, to be looked at without one."""

from typing import Any

_CLIP = {"source": "/media/check", "width": 1920, "height": 1080, "frames": 250, "duration": 10.0, "bytes": 1}
_SLOT = {
    "page": "slot", "slot": "0" * 16, "clips": [_CLIP], "training": False, "place": 7, "of": 40,
    "next": {"slot": "1" * 16, "clips": [_CLIP]},
}  # fmt: skip
PAGES = (
    "consent", "instructions", "instructions_again", "check", "check_dark", "check_bright", "check_colour",
    "check_clip", "unsuited", "training", "slot", "scaled", "loading", "vote", "again", "unplayable", "offline",
    "break", "break_over", "thanks", "closed", "link_unknown", "link_expired", "link_elsewhere", "not_opened",
    "too_many", "problem",
)  # fmt: skip


def preview(page: str, sessions: int) -> dict[str, Any] | None:
    """What the server would say of a page; None where there is no such page."""
    said: dict[str, dict[str, Any]] = {
        "instructions": {"page": "instructions", "again": False},
        "instructions_again": {"page": "instructions", "again": True},
        "unsuited": {"page": "unsuited", "failed": ["screen", "brightness", "playback", "colour"]},
        "training": {**_SLOT, "training": True},
        "slot": _SLOT,
        "scaled": {**_SLOT, "clips": [{**_CLIP, "width": 7680, "height": 4320}]},
        "break": {"page": "break", "turn": 2, "sessions": max(2, sessions), "seconds": 300.0},
        "break_over": {"page": "break", "turn": 2, "sessions": max(2, sessions), "seconds": 0.0},
    }
    return said.get(page, {"page": page, "slot": _SLOT}) if page in PAGES else None
