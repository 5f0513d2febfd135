"""What made two results, and in what they differ, in words."""

import re
from collections.abc import Mapping
from typing import Any

# Groups of settings within a maker whose names say nothing to a reader.
_GROUPS = ("settings", "config", "training")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")
_WORDS = {"material": "features or content", "names": "feature names", "source": "source labels", "pool": "pool videos"}
# Differences that are listed.
MOST = 5


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what two makers differ.

    Args:
        found: what made a result that is there.
        wanted: what would make it now.

    >>> differences({"settings": {"budget": 6, "rule": "mds"}}, {"settings": {"budget": 8, "rule": "mds"}})
    'budget: 6 there, 8 now'
    >>> differences({"scores": "0123456789ab", "seed": 0}, {"scores": "ba9876543210", "seed": 0, "rule": "random"})
    'rule: unknown there, random now; other scores'
    """
    there, now = _flat(found), _flat(wanted)
    said, other = [], []
    for name in sorted({*there, *now}):
        before, after = there.get(name), now.get(name)
        if before == after and (name in there) == (name in now):
            continue
        if any(isinstance(value, str) and _FINGERPRINT.fullmatch(value) for value in (before, after)):
            other.append(f"other {_WORDS.get(name, name.replace('_', ' '))}")
        else:
            words = _word(before) if name in there else "unknown", _word(after) if name in now else "unknown"
            said.append(f"{name}: {words[0]} there, {words[1]} now")
    both = [*said, *other]
    more = len(both) - MOST
    return "; ".join(both[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _flat(maker: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in maker.items():
        if isinstance(value, Mapping):
            found |= _flat(value, within if name in _GROUPS else f"{within}{name}.")
        else:
            found[within + name.strip("_")] = value
    return found


def _word(value: Any) -> str:
    if value is None or value == []:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def lasting(seconds: float) -> str:
    """A time in words.

    >>> lasting(0.2), lasting(59.6), lasting(150), lasting(9000)
    ('1 s', '60 s', '2.5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"
