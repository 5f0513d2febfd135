"""What a rating study shows: each file with its part in the study, and where the study keeps its things."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import json_text

Role = Literal["video", "reference", "trap", "anchor", "training"]
PREPARED = "prepared.json"


@dataclass(frozen=True)
class Stimulus:
    """A clip that raters may see.

    Attributes:
        id: of the video; unique among those of one role.
        role: what it is for.
        file: that is sent to browsers.
        width, height: of the picture on display, in pixels.
        frames: how many.
        duration: in seconds.
        bytes: of the file.
        content: that it shows; ids of videos where nothing else is known.
        reference: id of the reference that it is compared with; empty without.
        expected: of a trap or an anchor the known answer; of a training clip its level, where known.
        treatment: "untouched", or what was done to make it playable.
        psnr: of luma in dB, of the copy against what it was made from; None for an untouched file.
        tone_mapped: "PQ" or "HLG" where the copy shows that in SDR, else empty.
    """

    id: str
    role: Role
    file: Path
    width: int
    height: int
    frames: int
    duration: float
    bytes: int
    content: str
    reference: str = ""
    expected: float | None = None
    treatment: str = "untouched"
    psnr: float | None = None
    tone_mapped: str = ""


@dataclass(frozen=True)
class Prepared:
    """What `mdsvqa label prepare` made.

    Attributes:
        stimuli: that can be shown.
        left_out: why a video cannot be, by id.
        pairs: name, first and second id of each pair that is to be judged; empty where the study chooses pairs.
        notes: on what is not as the settings want it.
        made_of: what it all comes from, as a fingerprint.
    """

    stimuli: Sequence[Stimulus]
    left_out: dict[str, str]
    pairs: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    made_of: str = ""

    def tone_mapped(self) -> dict[str, str]:
        """PQ or HLG of each video, by id, whose copy shows that in SDR."""
        return {each.id: each.tone_mapped for each in self.of("video", "reference") if each.tone_mapped}

    def of(self, *roles: Role) -> list[Stimulus]:
        """The stimuli of some roles."""
        return [each for each in self.stimuli if each.role in roles]


def write_prepared(folder: Path, prepared: Prepared) -> None:
    """Writes what there is to show, at once and whole."""
    rows = [{**asdict(each), "file": _beside(each.file, folder)} for each in prepared.stimuli]
    found = {
        "stimuli": rows,
        "left_out": prepared.left_out,
        "pairs": [list(pair) for pair in prepared.pairs],
        "notes": list(prepared.notes),
        "made_of": prepared.made_of,
    }
    write_atomically(folder / PREPARED, (json_text(found, 1) + "\n").encode())


def read_prepared(folder: Path) -> Prepared:
    """Reads what `write_prepared` wrote.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = folder / PREPARED
    if not path.is_file():
        raise InputError(f"{path}: is not there; make the videos playable first: mdsvqa label prepare STUDY")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(Stimulus)}
        rows = [{name: value for name, value in row.items() if name in names} for row in found["stimuli"]]
        stimuli = [Stimulus(**{**row, "file": folder / row["file"]}) for row in rows]
        pairs = [(str(name), str(first), str(second)) for name, first, second in found["pairs"]]
        return Prepared(stimuli, dict(found["left_out"]), pairs, list(found["notes"]), str(found["made_of"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({error}); make it anew: mdsvqa label prepare STUDY") from None


def prepared_before(folder: Path, made_of: str) -> Prepared | None:
    """What was prepared of the same before, where all of its files are as they were; None where not."""
    if not (folder / PREPARED).is_file():
        return None
    try:
        found = read_prepared(folder)
        same = found.made_of == made_of and all(each.file.stat().st_size == each.bytes for each in found.stimuli)
    except (InputError, OSError):
        return None
    return found if same else None


def _beside(file: Path, folder: Path) -> str:
    absolute = file.absolute()
    inside = absolute.is_relative_to(folder.absolute())
    return absolute.relative_to(folder.absolute()).as_posix() if inside else str(absolute)
