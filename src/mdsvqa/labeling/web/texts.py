"""The texts of the rater's pages: English in one JSON file, and those of another language over them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mdsvqa.runtime.errors import InputError

LANGUAGE, DIRECTION = "language", "direction"


@dataclass(frozen=True)
class Texts:
    """Texts by name.

    Attributes:
        said: in the language of the study, in English where that has none.
        missing: names that are in English for want of a translation.
    """

    said: Mapping[str, str]
    missing: Sequence[str] = ()


def english() -> dict[str, str]:
    """The texts as they come with the package."""
    found: dict[str, str] = json.loads(files("mdsvqa.labeling.web").joinpath("pages/texts/en.json").read_text("utf-8"))
    return found


def read_texts(path: Path | None) -> Texts:
    """The texts of a study.

    Args:
        path: of a JSON object from names to texts; English without.

    Raises:
        InputError: the file cannot be read, or has names that no page knows.
    """
    known = english()
    if path is None:
        return Texts(known)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise InputError(f'{path}: expected one object of texts such as {{"agree": "..."}}.')
    strange = sorted(found.keys() - known.keys())
    if strange:
        raise InputError(f"{path}: no page has a text called {strange[0]!r}; the names are those of texts/en.json.")
    if found.get(DIRECTION, "ltr") not in ("ltr", "rtl"):
        raise InputError(f"{path}: found {DIRECTION} {found[DIRECTION]!r}; expected ltr or rtl.")
    texts = {name: text for name, text in found.items() if text.strip()}
    missing = [name for name in known if name not in texts and name not in (LANGUAGE, DIRECTION)]
    return Texts({**known, **texts}, missing)
