"""The loop as functions, for notebooks and scripts; the commands call the same ones.

Results lie in folders as those of the commands do: a folder that is named is kept and reused, another one is temporary
and goes when its result does.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.open import Model, load_model
from mdsvqa.models.settings import HANDCRAFTED, STATISTICAL, ContentSettings, FinetuningSettings, VlmFinetuning
from mdsvqa.models.statistical.kernel_model import KernelModel
from mdsvqa.models.statistical.route import Route
from mdsvqa.models.vlm.load import need_vlm_packages, score_with_vlm
from mdsvqa.runtime.engines import EngineName, EngineSettings
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.frames import Rows
from mdsvqa.runtime.progress import Show, Silent
from mdsvqa.runtime.ray_cluster import joined
from mdsvqa.runtime.results import companion, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.user_tables import Names
from mdsvqa.runtime.workers import cores
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study import steps
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.study.inputs import FEATURES_FOLDER
from mdsvqa.study.rehearsal.run import Rehearsal, rehearse_study
from mdsvqa.study.result import StudyResult
from mdsvqa.study.run import run_study
from mdsvqa.videos.labels import Labels, read_labels
from mdsvqa.videos.mos_scale import MosScale
from mdsvqa.videos.roles import in_role
from mdsvqa.videos.video import Video

Folder = Path | str | None


@dataclass(frozen=True)
class Result(Rows):
    """A table in a folder: one row a video.

    Attributes:
        folder: that it lies in.
        model: that scored, where it is a table of scores.
    """

    folder: Path
    model: Model | None = None
    _kept: Any = field(default=None, repr=False, compare=False)

    @property
    def table(self) -> pa.Table:
        """All of its columns."""
        return read_table(self.folder)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a video."""
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    def by_id(self, column: str) -> dict[str, Any]:
        """The values of a column by video, those that there are."""
        return {row["id"]: row[column] for row in self.rows() if row[column] is not None}


@dataclass(frozen=True)
class Selection(Rows):
    """A choice of videos.

    Attributes:
        chosen: rows of the selection table, best first.
        given: what was to choose from.
        settings: of the choice.
    """

    chosen: Sequence[dict[str, Any]]
    given: steps.Candidates
    settings: SelectionSettings

    @property
    def ids(self) -> list[str]:
        """Of the chosen videos, best first."""
        return [row["id"] for row in self.chosen]

    def rows(self) -> Sequence[dict[str, Any]]:
        """One a chosen video."""
        return self.chosen

    def explain(self, video: str) -> Any:
        """Why a video was chosen, or was not; see `selection.explain`."""
        return steps.explained(self.given, self.settings, self.chosen, video)


def _run(
    out: Folder, show: Show, workers: int, overwrite: bool, engine: EngineSettings | EngineName = "local"
) -> tuple[Run, Any]:
    kept = TemporaryDirectory(prefix="mdsvqa-") if out is None else None
    # A folder that does not exist yet: the maker says whose it is.
    folder = Path(out) if kept is None else Path(kept.name) / "result"  # type: ignore[arg-type]
    where = engine if isinstance(engine, EngineSettings) else EngineSettings(name=engine)
    return Run(folder, show, cores(workers), overwrite, where), kept


def _opened(model: Model | str) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def score(
    videos: Sequence[Video],
    model: Model | str = STATISTICAL,
    *,
    out: Folder = None,
    frames: int | None = None,
    route: Route = "target",
    content: Folder = None,
    encoder: str | None = None,
    seed: int = 0,
    workers: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
    part: str | None = None,
    mirror: str | None = None,
    engine: EngineSettings | EngineName = "local",
) -> Result:
    """Scores of videos by a quality model f.

    Args:
        videos: with paths. The statistical model is trained first, on those of split train with MOS.
        model: as `load_model` returns or takes it.
        out: folder for the table; temporary without.
        frames: sampled from each video, by models that are not vision-language models.
        route: of a fine-tuned statistical model: target reads by it, base by the one before, nearest by whichever
            learned from videos that are more like this one.
        content: table of content features of the videos, for a statistical model that reads them; made by the encoder
            that was recorded with the model without.
        encoder: that encoder, where it lies elsewhere now.
        seed: of everything random.
        workers: processes that decode; 0 is one for each core.
        overwrite: make anew what other settings made.
        show: how it speaks; not at all by default.
        part: such as "3/64": only that part of the videos, by their ids, in a folder of its own below `out`; the
            statistical model is trained on all of split train, and so is the same in each.
        mirror: folder or store, such as s3://bucket/prefix, to which the result is copied while it is made.
        engine: where work is done: processes of this machine, or a Ray cluster.

    Returns:
        A table with id, score on the 1-5 scale, status, text, spread and expected.

    Raises:
        InputError: something handed in cannot be used; the message says what.
    """
    f = _opened(model)
    run, kept = _run(out, show or Silent(), workers, overwrite, engine)
    run = run.parted(part, [video.id for video in videos]).mirrored(mirror)
    with joined(run.engine):
        if f.kind == "served":
            from mdsvqa.models.vlm.served_many import score_served  # noqa: PLC0415

            assert f.server is not None
            score_served(run.share(videos), f.server, f.vlm, run)
        elif f.kind == "checkpoint":
            score_with_vlm(run.share(videos), f.name, f.vlm, run, lambda: f.reader)
        else:
            place = None if content is None else Path(content)
            steps.score(videos, f, frames, run, seed=seed, route=route, content=place, encoder=encoder)
    run.end()
    return Result(run.out, f, kept)


def encode(
    videos: Sequence[Video],
    encoder: str = HANDCRAFTED,
    *,
    out: Folder = None,
    settings: ContentSettings | None = None,
    workers: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
    part: str | None = None,
    mirror: str | None = None,
    engine: EngineSettings | EngineName = "local",
) -> Result:
    """What videos show, for diversity.

    Args:
        videos: with paths.
        encoder: "handcrafted", or a checkpoint of a vision encoder: a folder or a Hub name.
        out, workers, overwrite, show, part, mirror, engine: as in `score`.
        settings: in place of `encoder` and the defaults.

    Returns:
        A table with id, frames (their features) and status.
    """
    run, kept = _run(out, show or Silent(), workers, overwrite, engine)
    run = run.parted(part, [video.id for video in videos]).mirrored(mirror)
    with joined(run.engine):
        encode_content(run.share(videos), settings or ContentSettings(encoder=encoder), run)
    run.end()
    return Result(run.out, None, kept)


def predict_difficulty(
    model: Model | str | None,
    videos: Sequence[Video],
    scores: Result | Path | str,
    *,
    features: Folder = None,
    settings: DifficultySettings | None = None,
    rule: str | None = None,
    out: Folder = None,
    seed: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
) -> Result:
    """Where f will be wrong: g, trained on f's errors on labeled videos, applied to the pool.

    Args:
        model: f; a statistical model is fitted again without the videos whose errors are measured. None for one that is
            not there.
        videos: those with MOS (split train) are learned from; split pool, or no MOS, is predicted for.
        scores: of all of them.
        features: table of their features; by default that beside the scores.
        settings: of g.
        rule: in place of g, for comparison: one of `difficulty.catalogue.BASELINES`.
        out, overwrite, show: as in `score`.
        seed: of everything random.

    Returns:
        A table with id and difficulty; higher is harder.
    """
    folder = scores.folder if isinstance(scores, Result) else Path(scores)
    run, kept = _run(out, show or Silent(), 1, overwrite)
    saved = companion(folder, steps.SAVED_MODEL)
    f = None if model is None else _opened(model)
    known = None if f is None or f.kind != "statistical" else f.saved
    if known is None and saved.exists():
        known = KernelModel.load(saved)
    place = companion(folder, FEATURES_FOLDER) if features is None else Path(features)
    steps.difficulty(videos, folder, place, settings or DifficultySettings(), known, run, rule=rule, seed=seed)
    return Result(run.out, f, kept)


def select(
    difficulty: Result | Mapping[str, float] | Path | str,
    content: Result | Path | str | None = None,
    *,
    budget: int | str | None = None,
    rule: str | None = None,
    column: str = "difficulty",
    names: Names | None = None,
    labeled: Sequence[str] = (),
    limit: int | None = None,
    out: Folder = None,
    seed: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
    **settings: Any,
) -> Selection:
    """The videos to label next.

    Args:
        difficulty: of the pool: a result, values by id, or any table with ids and a column of difficulties.
        content: of the same videos; not needed by rules that do not look at it.
        budget: videos to choose, or a text such as "5%" or "90 min".
        rule: by name; see docs/rules.md.
        column: of the difficulties in a table.
        names: of its column of ids, where it is not one of the usual.
        labeled: ids that are labeled already: not chosen again, and what is chosen differs from them.
        limit: of the table's videos only the first so many.
        out: folder for the selection table; nothing is written without.
        seed: of everything random.
        overwrite, show: as in `score`.
        settings: the rest of `SelectionSettings`, or `settings` with all of them.

    Returns:
        The choice, best first.
    """
    asked = {"budget": None if budget is None else str(budget), "rule": rule}
    said = {name: value for name, value in asked.items() if value is not None}
    wanted = SelectionSettings(**{**dict(settings.pop("settings", {})), **settings, **said})
    features = content.folder if isinstance(content, Result) else None if content is None else Path(content)
    with _table_of(difficulty, column) as table:
        given = steps.candidates(table, column, features, wanted, labeled, limit, names or Names())
    run = None if out is None else Run(Path(out), show or Silent(), overwrite=overwrite)
    return Selection(steps.choose(given, wanted, run, seed=seed), given, wanted)


@contextmanager
def _table_of(values: Result | Mapping[str, float] | Path | str, column: str) -> Iterator[Path]:
    if isinstance(values, Mapping):
        with TemporaryDirectory(prefix="mdsvqa-") as folder:
            path = Path(folder) / "difficulty.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("id", column), *values.items()])
            yield path
    else:
        yield values.folder if isinstance(values, Result) else Path(values)


def finetune(
    model: Model | str,
    videos: Sequence[Video],
    labels: Labels | Mapping[str, float] | Path | str,
    *,
    out: Folder = None,
    scores: Result | Path | str | None = None,
    features: Folder = None,
    labels_scale: str = "1-5",
    audit: Sequence[Video] = (),
    training: VlmFinetuning | None = None,
    seed: int = 0,
    workers: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
) -> "FineTuned":
    """f', which learned to rank source videos and newly labeled ones, compared within a data set only.

    Args:
        model: f.
        videos: all of them; those with MOS (split train) are the source.
        labels: new MOS: a table, or by id.
        out: file (.safetensors) for a statistical model, folder for the adapter of a vision-language model.
        scores: of the videos by f, for a statistical model; made first without.
        features: table of their features, in place of that beside the scores.
        labels_scale: of the new MOS.
        audit: labeled videos that were drawn uniformly from the pool: never learned from, compared on.
        training: of a vision-language model.
        seed, workers, overwrite, show: as in `score`.

    Returns:
        The fine-tuned model, and how its training went.
    """
    f, show = _opened(model), show or Silent()
    new = _labels(labels, labels_scale)
    kept = TemporaryDirectory(prefix="mdsvqa-") if out is None else None
    place = Path(out) if kept is None else Path(kept.name) / "finetuned"  # type: ignore[arg-type]
    if f.kind == "statistical":
        place = place if place.suffix else place / steps.SAVED_MODEL
        if f.saved is None or (features is None and scores is None):
            scores = scores or score(videos, f, seed=seed, workers=workers, show=show)
        folder = scores.folder if isinstance(scores, Result) else Path(scores or ".")
        start = companion(folder, steps.SAVED_MODEL) if f.saved is None else Path(f.name)
        known = companion(folder, FEATURES_FOLDER) if features is None else Path(features)
        counts = steps.fine_tune(videos, known, start, new, place, FinetuningSettings(), seed)
        return FineTuned(load_model(str(place)), place, *counts, _kept=kept)
    if f.kind != "checkpoint":
        raise InputError(f"model {f.name!r}: fine-tunes itself in a study, if it has a method finetune.")
    need_vlm_packages(f"model {f.name!r}")
    from mdsvqa.models.training.finetune import finetune_vlm  # noqa: PLC0415

    apart = new.mos.keys() | {video.id for video in audit}
    source = [video for video in in_role(videos, "source") if video.id not in apart]
    measured = {video.id for video in audit}
    fresh = [video for video in with_labels(videos, new, "labels") if video.id not in measured]
    run = Run(place, show, cores(workers), overwrite)
    settings = f.vlm.below()
    course, compared = finetune_vlm(source, fresh, list(audit), f.name, settings, training or VlmFinetuning(), run)
    better = replace(f, vlm=settings.model_copy(update={"adapter": str(place)}))
    return FineTuned(better, place, len(source), len(fresh), course, compared, kept)


@dataclass(frozen=True)
class FineTuned(Rows):
    """A fine-tuned model.

    Attributes:
        model: f', to score with.
        place: file of a statistical model, folder of an adapter.
        source, new: videos that it learned from.
        course: of the training of a vision-language model, None for others.
        compared: f' and f on held-out and audit videos, for a vision-language model.
    """

    model: Model
    place: Path
    source: int
    new: int
    course: Any = None
    compared: Sequence[Any] = ()
    _kept: Any = field(default=None, repr=False, compare=False)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The training's figures at each evaluation; what it learned from where there are none."""
        return [{"source": self.source, "new": self.new}] if self.course is None else self.course.log


def _labels(labels: Labels | Mapping[str, float] | Path | str, scale: str) -> Labels:
    if isinstance(labels, Labels):
        return labels
    known = MosScale.parse(scale)
    if isinstance(labels, Mapping):
        return Labels({video: known.to_five(float(mos)) for video, mos in labels.items()})
    return read_labels(Path(labels), known)


def with_labels(videos: Sequence[Video], labels: Labels, what: str) -> list[Video]:
    """The videos that a table of labels speaks of, with its MOS.

    Args:
        videos: of the manifest.
        labels: MOS by id.
        what: the labels are, for the message.

    Raises:
        InputError: it names videos that the manifest does not.
    """
    known = {video.id: video for video in videos}
    unknown = sorted(labels.mos.keys() - known.keys())
    if unknown:
        raise InputError(f"{what}: {unknown[0]!r} and {len(unknown) - 1} more are not in the manifest.")
    return [replace(known[video], mos=mos) for video, mos in labels.mos.items()]


def run(study: StudyConfig | Path | str, *, overwrite: bool = False, show: Show | None = None) -> StudyResult:
    """Runs a study, or goes on with it: what is done is reused, what is missing is made.

    Args:
        study: its file, or its settings.
        overwrite, show: as in `score`.
    """
    config = study if isinstance(study, StudyConfig) else read_study(Path(study))
    with joined(config.engine):
        return run_study(config, show or Silent(), overwrite=overwrite)


def rehearse(
    study: StudyConfig | Path | str,
    *,
    overwrite: bool = False,
    show: Show | None = None,
    engine: EngineSettings | EngineName | None = None,
) -> Rehearsal:
    """Finds out on the labeled source which rule to choose by, before labels are paid for.

    Args:
        study: its file, or its settings.
        overwrite, show: as in `score`.
        engine: as in `score`, in place of the study's.
    """
    config = study if isinstance(study, StudyConfig) else read_study(Path(study))
    if engine is not None:
        where = engine if isinstance(engine, EngineSettings) else EngineSettings(name=engine)
        config = config.model_copy(update={"engine": where})
    with joined(config.engine):
        return rehearse_study(config, show or Silent(), overwrite=overwrite)
