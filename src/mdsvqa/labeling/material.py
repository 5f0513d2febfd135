"""What a rating study is about: the videos of a study.yaml, of a table or of a folder, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mdsvqa.evaluation.gmad.folder import PAIRS, TO_RATE
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import Place, Remote, place_of
from mdsvqa.runtime.settings import read_settings
from mdsvqa.runtime.user_tables import read_columns
from mdsvqa.study.labeling import LabelingSettings, RatedStudy
from mdsvqa.videos.labels import REQUEST, ROUND_LABELS
from mdsvqa.videos.manifest import load_videos, parse_scale, read_manifest, read_videos
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video

RATING = "rating"


@dataclass(frozen=True)
class Material:
    """The videos of a rating study.

    Attributes:
        source: file or folder that names them.
        folder: of the rating study.
        settings: of it.
        videos: to be rated.
        references: that they are compared with, or that are hidden among them.
        reference_of: id of the reference, by id.
        contents: by id; where there is none, the id itself stands for it.
        anchors: videos with known MOS on the 1-5 scale.
        pairs: name, first and second id of pairs that are to be judged.
        labels: where the labels of the study belong, for a loop that waits for them; None for none.
        notes: on what is not as the settings want it.
    """

    source: Path
    folder: Path
    settings: LabelingSettings
    videos: Sequence[Video]
    references: Sequence[Video] = ()
    reference_of: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    anchors: Sequence[tuple[Video, float]] = ()
    pairs: Sequence[tuple[str, str, str]] = ()
    labels: Path | None = None
    notes: Sequence[str] = ()

    def content_of(self, video: str) -> str:
        """What a video shows, as far as anyone said: its content, else its reference, else itself."""
        return self.contents.get(video) or self.reference_of.get(video) or video

    def unused_anchors(self, used: Sequence[tuple[Video, float]]) -> list[tuple[str, float]]:
        """Anchors that are neither used nor rated, as ids and MOS."""
        kept = {video.id for video, _ in used} | {video.id for video in (*self.videos, *self.references)}
        return [(video.id, mos) for video, mos in self.anchors if video.id not in kept]


def read_material(source: Path, out: Path | None = None, settings: LabelingSettings | None = None) -> Material:
    """What a rating study is about.

    Args:
        source: a study.yaml, a table or a folder of videos, or the folder of `mdsvqa gmad pairs`.
        out: folder of the rating study; by default within the round of a study, or beside the table or folder.
        settings: for a table or a folder; those of the study.yaml are in it.

    Raises:
        InputError: it cannot be used; the message says what to change.
    """
    if source.suffix.lower() in (".yaml", ".yml"):
        found = _of_study(source, out)
    elif (source / PAIRS).is_file() and (source / TO_RATE).is_file():
        found = _of_competition(source, out, settings or LabelingSettings())
    else:
        videos = load_videos(source)
        folder = out or source.absolute().parent / f"{source.stem if source.is_file() else source.name}-{RATING}"
        found = Material(source, folder, settings or LabelingSettings(), videos)
        if source.is_file():
            found = _with_columns(found, source, videos)
    if found.settings.anchors is not None:
        scale = parse_scale(found.settings.anchors_scale)
        labeled = read_manifest(found.settings.anchors, scale=scale)
        found = replace(found, anchors=[(video, video.mos) for video in labeled if video.mos is not None])
    if found.settings.method == "dcr" and not found.references:
        raise InputError(
            f"{source}: method dcr compares each video with its reference, and no column {found.settings.reference!r} "
            "names one; add it, or set `reference:` to the column that does."
        )
    return found


def _of_study(path: Path, out: Path | None) -> Material:
    config = read_settings(path, RatedStudy)
    settings = config.labeling
    rounds = sorted(config.out.glob("round-*"), key=lambda place: int(place.name.rpartition("-")[2]))
    current = next((place for place in reversed(rounds) if (place / REQUEST).is_file()), None)
    if current is None:
        raise InputError(f"{config.out}: no videos wait for labels. Let the study choose some first: mdsvqa run {path}")
    everything = read_videos(config.videos, config.mos_scale, config.manifest)
    known = {video.id: video for video in everything}
    asked = [id for id in read_columns(current / REQUEST).ids() if id in known]
    videos = [known[id] for id in asked]
    anchors = [(v, v.mos) for v in in_role(everything, "source") if v.mos is not None and v.path is not None]
    found = Material(path, out or current / RATING, settings, videos, anchors=anchors, labels=current / ROUND_LABELS)
    listed = isinstance(config.videos, Remote) or config.videos.is_file()
    return _with_columns(found, config.videos, everything) if listed else found


def _with_columns(found: Material, table: Place, everything: Sequence[Video]) -> Material:
    """Contents and references as the columns of a table name them."""
    settings = found.settings
    if table.suffix.lower() not in (".csv", ".tsv", ".jsonl", ".parquet"):
        return found
    columns = read_columns(table)
    ids = [video.id for video in everything]

    def said(name: str) -> dict[str, str]:
        cells = columns.column(name)
        return {id: str(cell).strip() for id, cell in zip(ids, cells, strict=True) if cell not in (None, "")}

    contents = said(settings.content) if settings.content else {}
    wants_references = settings.method in ("acr-hr", "dcr")
    if not wants_references or (settings.reference not in columns.cells and settings.method == "acr-hr"):
        notes = [f"No column {settings.reference!r} names hidden references."] if wants_references else []
        return replace(found, contents=contents, notes=notes)
    named = {id: name for id, name in said(settings.reference).items() if name != id}
    rated = {video.id for video in found.videos}
    known = {video.id: video for video in everything}
    strange = next((name for id, name in named.items() if id in rated and name not in known), None)
    if strange is not None:
        raise InputError(f"{table}: column {settings.reference} names {strange!r}, which is no id of the table.")
    references = {name for id, name in named.items() if id in rated}
    return replace(
        found,
        videos=[video for video in found.videos if video.id not in references],
        references=[known[name] for name in sorted(references)],
        reference_of={id: name for id, name in named.items() if id in rated},
        contents=contents,
    )


def _of_competition(folder: Path, out: Path | None, settings: LabelingSettings) -> Material:
    table = read_columns(folder / TO_RATE)
    columns = (table.column(name) for name in ("pair", "left", "right", "left_path", "right_path"))
    videos: dict[str, Video] = {}
    pairs = {}
    for name, left, right, left_path, right_path in zip(*columns, strict=True):
        for id, path in ((str(left), left_path), (str(right), right_path)):
            if path in (None, ""):
                raise InputError(
                    f"{folder / TO_RATE}, pair {name!r}: has no path of {id!r}, so it cannot be shown; make the pairs "
                    "from a table with a column path."
                )
            videos.setdefault(id, Video(id, place_of(str(path))))
        pairs[str(name)] = (str(name), str(left), str(right))
    return Material(
        folder,
        out or folder / RATING,
        settings.model_copy(update={"method": "pairs"}),
        list(videos.values()),
        pairs=list(pairs.values()),
    )
