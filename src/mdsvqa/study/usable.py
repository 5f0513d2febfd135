"""Which videos of a study can be used and have a score by f, and whether they are enough for what comes next."""

import json
from collections.abc import Sequence

import numpy as np

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.results import is_table, json_text, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.words import counted
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import Refittable, StudyModel
from mdsvqa.study.data import StudyData

NO_SCORE = "the quality model gave no score"
SCORED_LATER = "had no score when the videos of round 1 were chosen"
DECODED_LATER = "could not be decoded when the videos of round 1 were chosen"
# Beside the choice of the first round: the ids that had no score then, and those that could not be decoded.
LEFT_OUT, UNDECODED = "left_out.json", "undecoded.json"
# Test videos below which there is no figure.
FEWEST = 5


def as_chosen(data: StudyData, run: Run) -> StudyData:
    """The videos that could be decoded when those of round 1 were chosen; all of them where no choice was made yet.

    A choice that was made stays as it is, people may be rating it: files that were mended since are left out, unless
    everything is to be made anew (`run.overwrite`).
    """
    ids = np.array(data.ids(np.arange(len(data.videos))), object)
    late = np.isin(ids, sorted(_recorded(run, UNDECODED)))
    _say_late(run, ids[late].tolist(), DECODED_LATER)
    return data.only(~late, DECODED_LATER)


def scored(config: StudyConfig, data: StudyData, f: StudyModel, run: Run) -> StudyData:
    """The videos that f gave a score, with why the others are not there.

    Videos that f scored only after a choice was made are left out, as in `as_chosen`.

    Raises:
        ConfigError: a role has too few of them for the next step; the message has the counts.
    """
    known = np.isfinite(f.scores(data).score)
    ids = np.array(data.ids(np.arange(len(data.videos))), object)
    late = known & np.isin(ids, sorted(_recorded(run, LEFT_OUT)))
    found = data.only(known, NO_SCORE).only(~late[known], SCORED_LATER)
    reasons = _reasons(run)
    without = [video for video in ids[~known] if reasons.get(video)]
    found = found.because({video: f"{NO_SCORE}: {reasons[video]}" for video in without})
    if not known.all():
        why = f" ({reasons[without[0]]})" if without else ""
        example = without[0] if without else ids[~known][0]
        run.show.note(f"{(~known).sum()} of {counted(len(ids), 'video')} without a score, such as {example}{why}")
    _say_late(run, ids[late].tolist(), SCORED_LATER)
    _check_roles(config, data, found, f, why=reasons[without[0]] if without else "")
    if not _is_chosen(run):
        folder = run.out / "round-1"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / LEFT_OUT, json_text([*ids[~known]]).encode())
        write_atomically(folder / UNDECODED, json_text(sorted(data.failures)).encode())
    return found


def _is_chosen(run: Run) -> bool:
    """Whether a choice was made, and is to stay."""
    return is_table(run.out / "round-1" / "difficulty") and not run.overwrite


def _recorded(run: Run, name: str) -> set[str]:
    """The ids in a record that lies beside the choice; none where there is no choice."""
    record = run.out / "round-1" / name
    return set(json.loads(record.read_text())) if _is_chosen(run) and record.exists() else set()


def _say_late(run: Run, ids: Sequence[str], why: str) -> None:
    if ids:
        run.show.note(
            f"{counted(len(ids), 'video')} {why}, such as {ids[0]}; that choice stays. To choose anew with all: "
            "--overwrite"
        )


def _reasons(run: Run) -> dict[str, str]:
    """Why f gave no score, by id, as its table has it."""
    if not is_table(run.out / "scores"):
        return {}
    table = read_table(run.out / "scores").select(["id", "status", "text"])
    return {
        row["id"]: " ".join(row["text"].split()) for row in table.to_pylist() if row["status"] != "ok" and row["text"]
    }


def _check_roles(config: StudyConfig, before: StudyData, after: StudyData, f: StudyModel, why: str) -> None:
    """Says which role has too few videos with a score, before the step that would fail for it."""
    settings = config.difficulty
    held_out = not isinstance(f, Refittable) and len(after.source_test) >= settings.held_out
    labeled = ("held-out", after.source_test) if held_out else ("source", after.source)
    needs = {
        labeled[0]: (len(labeled[1]), 2 * settings.folds, "the failure predictor"),
        "pool": (len(after.pool), 1, "the choice"),
    }
    if config.comparison.rules:
        needs["test"] = (len(after.target_test), FEWEST, "the comparison")
    counts = {
        "source": (after.source, before.source),
        "held-out": (after.source_test, before.source_test),
        "pool": (after.pool, before.pool),
        "test": (after.target_test, before.target_test),
    }
    told = ", ".join(f"{len(now)} of {len(then)} {role}" for role, (now, then) in counts.items() if len(then))
    for role, (found, least, step) in needs.items():
        if found < least:
            raise ConfigError(
                f"{config.videos}: {step} needs at least {least} {role} videos with a score by {f.name}; of those that "
                f"can be used, {told} videos have one."
                + (f" The first without: {why}." if why else "")
                + " Mend the model or add videos, and run the same command again."
            )
