"""`mdsvqa label prepare`: everything playable, and what is not, with the reason."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from mdsvqa.labeling.material import Material
from mdsvqa.labeling.prepare.browsers import Look, look_at
from mdsvqa.labeling.prepare.clips import DEGRADED, write_check_clip, write_degraded, write_trap
from mdsvqa.labeling.prepare.copies import write_copy
from mdsvqa.labeling.stimuli import Prepared, Role, Stimulus, prepared_before, write_prepared
from mdsvqa.labeling.web.texts import read_texts
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import json_text
from mdsvqa.runtime.workers import map_in_workers
from mdsvqa.study.labeling import LabelingSettings
from mdsvqa.videos.about import NOTHING, About, about_file
from mdsvqa.videos.local_files import about_places, local_file
from mdsvqa.videos.probing import DECODING_ERRORS, Undecodable
from mdsvqa.videos.video import Video

FOLDER, CHECK = "playable", "check.mp4"
_MOST_EXTRAS = 24
_HDR = "browsers show it differently on every screen; hdr: tonemap rates a copy in SDR"
# Made anew where what makes copies changes.
_VERSION = 1
# Settings that no file depends on.
_OF_NO_FILE = {
    "title", "contact", "screening", "stopping", "model", "flagged_count", "link_days", "excluding", "pause_minutes",
    "number_keys", "colour_plates", "assign", "most_stall", "most_dropped", "most_watching", "size", "replays",
}  # fmt: skip


class Source(NamedTuple):
    """What a file is made of: a file or an object, and which state of it."""

    place: Place
    about: About

    @classmethod
    def of(cls, file: Path) -> Self:
        """A file as it is now."""
        return cls(file, about_file(file))


@dataclass(frozen=True)
class Playable:
    """A file that browsers play.

    Attributes:
        file: that is sent.
        width, height, frames, duration: of it.
        treatment: "untouched", or what stood against that.
        psnr: of the copy in dB; None where nothing was lost.
        tone_mapped: "PQ" or "HLG" where the copy shows that in SDR.
    """

    file: Path
    width: int
    height: int
    frames: int
    duration: float
    treatment: str
    psnr: float | None
    tone_mapped: str = ""

    def stimulus(
        self, id: str, role: Role, content: str, reference: str = "", expected: float | None = None
    ) -> Stimulus:
        """The file in a part of the study."""
        size = self.file.stat().st_size
        shape = (self.width, self.height, self.frames, self.duration, size)
        return Stimulus(
            id, role, self.file, *shape, content, reference, expected, self.treatment, self.psnr, self.tone_mapped
        )


def prepare(material: Material, show: Show, workers: int = 1) -> Prepared:
    """Makes every video of a rating study playable, and its traps, practice clips and anchors.

    Args:
        material: of the study.
        show: how it speaks.
        workers: processes.

    Returns:
        What can be shown; it is also written to the study's folder, where a second run finds it.

    Raises:
        InputError: not one video can be shown.
    """
    folder = material.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    settings = material.settings
    made_of = _made_of(material)
    if (there := prepared_before(material.folder, made_of)) is not None:
        return there
    wanted = {video.id: video for video in (*material.videos, *material.references, *(v for v, _ in material.anchors))}
    extras = _chosen_anchors(material)
    needed = [video for id, video in wanted.items() if id not in dict(material.unused_anchors(extras))]
    found = _all_playable(needed, folder, settings, show, workers)
    left_out = {video.id: found[video.id] for video in material.videos if isinstance(found[video.id], str)}
    playable = {id: each for id, each in found.items() if isinstance(each, Playable)}
    stimuli = _of_videos(material, playable, left_out)
    if not any(each.role == "video" for each in stimuli):
        reason = next(iter(left_out.items()), ("", "there are no videos"))
        raise InputError(f"{material.source}: not one of its videos can be shown: {reason[0]}: {reason[1]}.")
    notes = list(material.notes)
    anchors = [(video, mos) for video, mos in extras if video.id in playable]
    practice, gold = _practice_and_anchors(anchors, settings)
    if settings.method in ("acr", "acr-hr") and len(practice) >= settings.training:
        stimuli += [playable[v.id].stimulus(v.id, "training", v.id, expected=mos) for v, mos in practice]
        stimuli += [playable[v.id].stimulus(v.id, "anchor", v.id, expected=float(round(mos))) for v, mos in gold]
    else:
        stimuli += _made_practice(stimuli, folder, settings, show)
        notes.append("Practice clips were made of the study's own videos: there are too few videos with known MOS.")
    if settings.anchor_every and settings.method in ("acr", "acr-hr") and not gold:
        notes.append("There are no anchors: no videos with known MOS.")
    if settings.trap_every:
        stimuli += _traps(stimuli, folder, settings, show)
    _check_clip(folder)
    reasons = {id: str(reason) for id, reason in left_out.items()}
    prepared = Prepared(stimuli, reasons, material.pairs, notes, made_of)
    write_prepared(material.folder, prepared)
    return prepared


def _made_of(material: Material) -> str:
    """What all that is prepared comes from: the same again, and nothing has to be looked at."""
    videos = (*material.videos, *material.references, *(video for video, _ in material.anchors))
    stamps = about_places({video.id: video.path for video in videos if video.path is not None})
    files = [(video.id, str(video.path), _stamp(stamps.get(video.id, NOTHING))) for video in videos]
    settings = {name: value for name, value in material.settings.record().items() if name not in _OF_NO_FILE}
    texts = [_stamp(about_file(path)) for path in (material.settings.texts, material.settings.font)]
    known = [mos for _, mos in material.anchors]
    said = [_VERSION, settings, files, texts, known, dict(material.reference_of), dict(material.contents)]
    return hashlib.sha256(json_text([*said, list(material.pairs)]).encode()).hexdigest()


def _stamp(file: About) -> list[int | str | None]:
    return [] if file == NOTHING else [file.size, file.etag or file.mtime]


def check_clip(study: Path) -> Stimulus:
    """The clip that a device has to play before the study."""
    return _check_clip(study / FOLDER)


def _check_clip(folder: Path) -> Stimulus:
    path = folder / CHECK
    if not path.is_file():
        write_check_clip(path)
    look = look_at(path)
    return _untouched(look).stimulus("check", "training", "check")


def _all_playable(
    videos: Sequence[Video], folder: Path, settings: LabelingSettings, show: Show, workers: int
) -> dict[str, Playable | str]:
    """Each video's playable file, or why there is none, by id."""
    make = partial(make_playable, folder=folder, audio=settings.audio, tone_map=settings.hdr == "tonemap")
    found: dict[str, Playable | str] = {}
    results = map_in_workers(make, videos, workers, crashed=_crashed)
    show.progress("Making videos playable", 0, len(videos))
    for number, (video, result) in enumerate(zip(videos, results, strict=True), 1):
        found[video.id] = result
        show.progress("Making videos playable", number, len(videos))
    return found


def _crashed(video: Video) -> Playable | str:
    return "the decoder crashed"


def make_playable(video: Video, folder: Path, audio: bool, tone_map: bool = False) -> Playable | str:
    """The file of a video that browsers play: itself, or a copy in a folder; or why there is none."""
    if video.path is None:
        return "the manifest gives no path"
    try:
        with local_file(video.path, video.id) as file:
            look = look_at(file.path, audio=audio)
            if look.hdr and not tone_map:
                return f"HDR ({look.hdr}): {_HDR}"
            source = Source(video.path, file.about)
            if look.against or look.hdr:
                return _copy(look, source, folder, audio)
            return _untouched(look) if isinstance(video.path, Path) else _kept(look, source, folder)
    except Undecodable as error:
        return error.reason
    except InputError:
        # A ValueError too, and of no single video.
        raise
    except DECODING_ERRORS as error:
        return f"cannot be copied: {error}"


def _untouched(look: Look) -> Playable:
    return Playable(look.path, look.width, look.height, look.frames, look.duration, "untouched", None)


def _kept(look: Look, source: Source, folder: Path) -> Playable:
    """An object as it is: raters are sent what lies in the folder of their study."""

    def write(target: Path) -> dict[str, Any]:
        shutil.copyfile(look.path, target)
        return {"frames": look.frames}

    target, _ = _made(folder, "original", look.path.suffix, source, {}, write)
    return replace(_untouched(look), file=target)


def _copy(look: Look, source: Source, folder: Path, audio: bool) -> Playable:
    why = [*([f"{look.hdr} tone-mapped to SDR"] if look.hdr else []), *look.against]
    treatment = f"H.264 copy: {', '.join(why)}"

    def write(target: Path) -> dict[str, Any]:
        quality, frames = write_copy(look, target, audio=audio)
        return {"psnr": quality, "frames": frames}

    target, facts = _made(folder, "copy", ".mp4", source, {"audio": audio}, write)
    copied = look_at(target)
    return replace(_untouched(copied), treatment=treatment, psnr=facts["psnr"], tone_mapped=look.hdr)


def _made(
    folder: Path,
    kind: str,
    suffix: str,
    source: Source,
    said: Mapping[str, Any],
    write: Callable[[Path], dict[str, Any]],
) -> tuple[Path, dict[str, Any]]:
    """A file made from another one, or found as it was made before from the same bytes."""
    place, about = source
    what: dict[str, Any] = {"kind": kind, "source": str(place.absolute()) if isinstance(place, Path) else str(place)}
    what |= {"bytes": about.size, "changed": about.etag or about.mtime, "version": _VERSION, **said}
    name = hashlib.sha256(json_text(what).encode()).hexdigest()[:24]
    # No word in the name says what the file is for.
    target, beside = folder / f"{name}{suffix}", folder / f"{name}.json"
    if target.is_file() and beside.is_file():
        return target, json.loads(beside.read_text(encoding="utf-8"))["made"]
    made = write(target)
    write_atomically(beside, json_text({**what, "made": made}).encode())
    return target, made


def _of_videos(material: Material, playable: Mapping[str, Playable], left_out: dict[str, Any]) -> list[Stimulus]:
    stimuli = []
    references = {video.id for video in material.references}
    for video in material.references:
        if video.id in playable:
            stimuli.append(playable[video.id].stimulus(video.id, "reference", material.content_of(video.id)))
    for video in material.videos:
        reference = material.reference_of.get(video.id, "")
        if video.id not in playable or video.id in references:
            continue
        if reference not in playable and material.settings.method == "dcr":
            left_out[video.id] = f"its reference {reference!r} cannot be shown" if reference else "it has no reference"
            continue
        stimuli.append(playable[video.id].stimulus(video.id, "video", material.content_of(video.id), reference))
    return stimuli


def _chosen_anchors(material: Material) -> list[tuple[Video, float]]:
    """Labeled videos over the whole range of MOS, as many as the study can use."""
    settings = material.settings
    if settings.method not in ("acr", "acr-hr"):
        return []
    taken = {video.id for video in (*material.videos, *material.references)}
    known = sorted(((v, mos) for v, mos in material.anchors if v.id not in taken), key=lambda pair: pair[1])
    count = settings.training + (_MOST_EXTRAS if settings.anchor_every else 0)
    if len(known) <= count:
        return known
    return [known[round(place * (len(known) - 1) / (count - 1))] for place in range(count)]


def _practice_and_anchors(
    known: Sequence[tuple[Video, float]], settings: LabelingSettings
) -> tuple[list[tuple[Video, float]], list[tuple[Video, float]]]:
    """Practice clips nearest to levels from the worst to the best, and the others."""
    if len(known) < settings.training:
        return [], list(known) if settings.anchor_every else []
    low, high = known[0][1], known[-1][1]
    left, practice = list(known), []
    for step in range(settings.training):
        level = low + (high - low) * step / max(settings.training - 1, 1)
        nearest = min(left, key=lambda pair: abs(pair[1] - level))
        left.remove(nearest)
        practice.append(nearest)
    return practice, left if settings.anchor_every else []


def _made_practice(stimuli: Sequence[Stimulus], folder: Path, settings: LabelingSettings, show: Show) -> list[Stimulus]:
    sources = [each for each in stimuli if each.role == ("reference" if settings.method == "dcr" else "video")]
    sources = sources or [each for each in stimuli if each.role == "video"]
    made = []
    levels = [5, 1, 3, 2, 4]
    for number in range(settings.training):
        level = levels[number % 5]
        source = sources[number * len(sources) // settings.training]
        if level == 5:
            file = source.file
        else:
            look = look_at(source.file)
            write = partial(_write_degraded, look=look, level=level, audio=settings.audio)
            said = {"level": level, "how": DEGRADED[level], "audio": settings.audio}
            file, _ = _made(folder, "practice", ".mp4", Source.of(source.file), said, write)
        shown = _untouched(look_at(file))
        paired = "" if settings.method in ("acr", "acr-hr") else source.id
        made.append(shown.stimulus(f"(practice {number + 1})", "training", source.content, paired, float(level)))
        show.progress("Making practice clips", number + 1, settings.training)
    return made


def _write_degraded(target: Path, look: Look, level: int, audio: bool) -> dict[str, Any]:
    look = replace(look, kind="mp4")
    return {"frames": write_degraded(look, target, level, audio=audio)}


def _traps(stimuli: Sequence[Stimulus], folder: Path, settings: LabelingSettings, show: Show) -> list[Stimulus]:
    """Traps of videos of the study, all answers alike often; one of two clips comes behind what it is compared with."""
    videos = [each for each in stimuli if each.role == "video"]
    said_ = read_texts(settings.texts).said
    pairs, two = settings.method == "pairs", settings.method in ("dcr", "pairs")
    asking = [(said_["trap"].replace("{answer}", str(level)), float(level)) for level in range(1, 6)]
    if pairs:
        names = {"pair_first": 1.0, "pair_second": 0.0, "pair_equal": 0.5}
        asking = [(said_["trap_pairs"].replace("{answer}", said_[name]), value) for name, value in names.items()]
    seconds = sum(each.duration for each in videos) / len(videos) * (2 if two else 1)
    slots = min(settings.sessions * settings.session_minutes * 60 / seconds, 1.3 * len(videos))
    count = min(max(1, round(slots / settings.trap_every) + 1), len(videos), _MOST_EXTRAS)
    traps = []
    for number in range(count):
        source = videos[number * len(videos) // count]
        text, answer = asking[number % len(asking)]
        look = look_at(source.file)
        write = partial(_write_trap, look=look, sentence=text, font=settings.font, audio=settings.audio)
        said = {"sentence": text, "font": str(settings.font or ""), "audio": settings.audio}
        file, _ = _made(folder, "trap", source.file.suffix.lower(), Source.of(source.file), said, write)
        shown = _untouched(look_at(file))
        before = source.id if pairs else source.reference if two else ""
        traps.append(shown.stimulus(f"(trap {number + 1})", "trap", source.content, before, answer))
        show.progress("Making traps", number + 1, count)
    return traps


def _write_trap(target: Path, look: Look, sentence: str, font: Path | None, audio: bool) -> dict[str, Any]:
    return {"frames": write_trap(look, target, sentence, font, audio=audio)}
