"""Label Studio's JSON export, as far as it holds ratings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.errors import InputError

# Where a task says what its video is called, the first that is there.
NAMES = ("id", "name", "video")


def read_label_studio(path: Path, question: str | None = None) -> tuple[list[str], list[str], Floats, list[str]]:
    """Ratings of annotations that were not cancelled.

    Args:
        path: of the export (JSON, not JSON-MIN).
        question: name of the Rating tag to take, where annotations have several.

    Returns:
        Of each rating the video, the rater and the stars, and the task's number to call it by.

    Raises:
        InputError: it is no such export, or has no such rating.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{path}: expected Label Studio's JSON export, a list of tasks.")
    videos, raters, stars, where = [], [], [], []
    asked: set[str] = set()
    for number, task in enumerate(tasks, 1):
        place = str(task.get("id", number))
        for annotation in _annotations(task, path, place):
            for name, value in _ratings(annotation, path, place):
                asked.add(name)
                if question not in (None, name):
                    continue
                videos.append(_video(task, path, place))
                raters.append(_rater(annotation, path, place))
                stars.append(value)
                where.append(place)
    if question is None and len(asked) > 1:
        raise InputError(f"{path}: holds ratings {', '.join(sorted(asked))}; say which to take with --question.")
    if not stars:
        said = f" called {question!r}; found {', '.join(sorted(asked))}" if question and asked else ""
        raise InputError(f"{path}: holds no result of type rating{said}.")
    return videos, raters, np.array(stars, np.float64), where


def _annotations(task: Mapping[str, Any], path: Path, place: str) -> Iterator[Mapping[str, Any]]:
    # Exports before version 1.0 called them completions.
    found = task.get("annotations", task.get("completions"))
    if not isinstance(found, list):
        raise InputError(f"{path}, task {place}: has no annotations; export as JSON, not as JSON-MIN.")
    yield from (each for each in found if isinstance(each, dict) and not each.get("was_cancelled"))


def _ratings(annotation: Mapping[str, Any], path: Path, place: str) -> Iterator[tuple[str, float]]:
    results: Sequence[Any] = annotation.get("result") or []
    for result in results:
        if not isinstance(result, dict) or result.get("type") != "rating":
            continue
        value = result.get("value")
        stars = value.get("rating") if isinstance(value, dict) else None
        if isinstance(stars, bool) or not isinstance(stars, int | float):
            raise InputError(f"{path}, task {place}: found the rating {stars!r}, expected a number of stars.")
        yield str(result.get("from_name", "")), float(stars)


def _video(task: Mapping[str, Any], path: Path, place: str) -> str:
    data = task.get("data")
    found = data if isinstance(data, dict) else {}
    name = next((found[key] for key in NAMES if isinstance(found.get(key), str | int)), None)
    if name is None:
        texts = [value for value in found.values() if isinstance(value, str)]
        name = texts[0] if len(texts) == 1 else None
    if name is None:
        raise InputError(
            f"{path}, task {place}: its data have none of {', '.join(NAMES)}; found {', '.join(found) or 'nothing'}. "
            "Name the video in one of them."
        )
    return str(name)


def _rater(annotation: Mapping[str, Any], path: Path, place: str) -> str:
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("id", by.get("email"))
    if by is None or isinstance(by, list | dict):
        raise InputError(f"{path}, task {place}: an annotation does not say who made it (completed_by).")
    return str(by)
