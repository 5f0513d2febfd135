"""Each step of the loop alone, on the files that the step before it wrote."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdsvqa.difficulty.base import Videos
from mdsvqa.difficulty.cross_fitting import Predict
from mdsvqa.difficulty.held_out import Labeled, external_source
from mdsvqa.difficulty.prediction import (
    difficulty_rows,
    predict_difficulty,
    refitted_source,
    usual_predictor,
    write_choice,
)
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.models.plugin import load_class, score_videos
from mdsvqa.models.settings import FinetuningSettings
from mdsvqa.models.statistical.extraction import extract_features
from mdsvqa.models.statistical.finetune import finetune, train
from mdsvqa.models.statistical.kernel_model import KernelModel, LabeledFeatures, fit_statistical
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import (
    DIFFICULTY,
    SCORES,
    ResultTable,
    computed,
    fingerprint,
    read_meta,
    read_table,
)
from mdsvqa.videos.labels import Labels
from mdsvqa.videos.manifest import Video
from mdsvqa.videos.roles import in_role

Floats = NDArray[np.float64]


def score(
    videos: Sequence[Video], out: Path, model: str, frames: int, workers: int, show: Show, *, seed: int, overwrite: bool
) -> pa.Table:
    """f: scores videos by the statistical model (trained on those with MOS and split train), a saved one, or a class.

    Returns:
        The scores table, in `out`; the statistical model's features go to `out`/features, the model that was trained
        to `out`/model.safetensors.
    """
    if ":" in model:
        maker = {"step": "scores", "model": model, "frames": frames}
        return score_videos(videos, out, load_class(model), maker, frames, workers, show, overwrite=overwrite)
    saved = None if model == "statistical" else KernelModel.load(Path(model))
    features = extract_features(videos, out / "features", frames, workers, show, overwrite=overwrite)
    kernel_model = saved or _trained(videos, features, show, seed)
    maker = {
        "step": "scores",
        "model": fingerprint({name: np.asarray(value).tolist() for name, value in vars(kernel_model).items()}),
        "features": fingerprint(read_meta(out / "features")["maker"]),
    }
    with ResultTable(out, SCORES, maker, overwrite=overwrite) as table:
        if saved is None:
            # Not before the folder turned out to be this model's: scores of one model beside another would mislead.
            kernel_model.save(out / "model.safetensors")
        wanted = {video.id for video in videos} - table.ids
        failed = table.ids_with("undecodable")
        table.append([_score_row(kernel_model, row) for row in features.to_pylist() if row["id"] in wanted])
        mended = [row for row in features.to_pylist() if row["id"] in failed and row["status"] == "ok"]
        table.replace([_score_row(kernel_model, row) for row in mended])
    return read_table(out)


def _trained(videos: Sequence[Video], features: pa.Table, show: Show, seed: int) -> KernelModel:
    data = labeled_features(in_role(videos, "source"), features)
    if len(data) == 0:
        raise InputError(
            "the statistical model learns from labeled videos (split train, with MOS), and there are none. Add some, "
            "or name a saved model by --model FILE."
        )
    with show.working(f"Training the statistical model on {len(data)} labeled videos"):
        return fit_statistical(data, seed=seed)


def _score_row(model: KernelModel, row: dict[str, Any]) -> dict[str, Any]:
    if row["status"] != "ok":
        return {"id": row["id"], "status": row["status"], "text": row["text"]}
    predicted = model.predict(np.array([row["features"]], np.float64))[0]
    return {"id": row["id"], "score": float(np.clip(predicted, 1, 5)), "status": "ok"}


def labeled_features(videos: Sequence[Video], features: pa.Table) -> LabeledFeatures:
    """The videos that have MOS and features; their data sets are sources (codes 0 and below)."""
    rows = _by_id(features, "features")
    usable = [video for video in videos if video.mos is not None and video.id in rows]
    codes = {name: -i for i, name in enumerate(dict.fromkeys(video.dataset for video in usable))}
    dims = len(next(iter(rows.values()), ()))
    return LabeledFeatures(
        np.array([rows[video.id] for video in usable], np.float64).reshape(len(usable), dims),
        np.array([video.mos for video in usable], np.float64),
        np.array([codes[video.dataset] for video in usable], np.int64),
    )


def _by_id(table: pa.Table, column: str) -> dict[str, Any]:
    rows = zip(table["id"].to_pylist(), table[column].to_pylist(), table["status"].to_pylist(), strict=True)
    return {video: value for video, value, status in rows if status == "ok"}


def difficulty(
    videos: Sequence[Video],
    scores: Path,
    features: Path,
    out: Path,
    settings: DifficultySettings,
    model: KernelModel | None,
    show: Show,
    *,
    rule: str | None = None,
    seed: int,
    overwrite: bool,
) -> pa.Table:
    """g: trained on f's errors on the labeled videos, applied to the others.

    Args:
        videos: those with MOS (and not split pool or test) are learned from; split pool, or no MOS, is predicted for.
            Where f cannot be refitted, and there are enough of split test of the same data sets, these are learned
            from.
        scores: table of f's scores of all of them.
        features: table of features of all of them.
        out: folder for the difficulty table.
        settings: of g.
        model: f where it is a statistical model, so that its errors can be cross-fitted; None for any other f.
        rule: one of `mdsvqa.difficulty.catalogue.RULES` in place of g.
    """
    found = read_table(scores)
    table = read_table(features)
    ready = _by_id(found, "score").keys() & _by_id(table, "features").keys()
    source, test, pool = _roles([video for video in videos if video.id in ready], settings)
    settings = usual_predictor(settings, refitted=model is not None)
    maker = {"step": "difficulty", "scores": fingerprint(read_meta(scores)["maker"]), "cross_fitted": model is not None}
    maker |= {
        "features": fingerprint(read_meta(features)["maker"]),
        "settings": settings.record(whole=True),
        "seed": seed,
    }
    maker |= {"videos": fingerprint([[(v.id, v.mos) for v in [*source, *test]], [v.id for v in pool]]), "rule": rule}

    def computed_rows() -> list[dict[str, Any]]:
        labeled, unlabeled = labeled_features(source, table), _seen(pool, found, table)
        if model is None:
            train, rest = (
                Labeled(_seen(some, found, table), data.mos, data.dataset)
                for some, data in ((source, labeled), (test, labeled_features(test, table)))
            )
            learned, sentence, _ = external_source(train, rest, settings, seed)
            show.note(sentence)
        else:
            refit = partial(_refit, model=model, seed=seed)
            with show.working(f"Measuring the errors of f on {len(labeled)} labeled videos"):
                learned, unlabeled = refitted_source(
                    labeled, unlabeled.features, unlabeled.score, refit, settings, seed
                )
        with show.working("Training the failure predictor"):
            prediction = predict_difficulty(learned, unlabeled, settings, seed, rule)
        show.note(str(prediction))
        write_choice(out, prediction)
        return difficulty_rows([video.id for video in pool], prediction)

    return computed(out, DIFFICULTY, maker, computed_rows, overwrite=overwrite)[0]


def _roles(
    known: Sequence[Video], settings: DifficultySettings
) -> tuple[Sequence[Video], Sequence[Video], Sequence[Video]]:
    """The source's videos of split train, those of split test, and the pool."""
    source, test, pool = in_role(known, "source"), in_role(known, "source test"), in_role(known, "pool")
    if len(source) < 2 * settings.folds or not pool:
        raise InputError(
            f"the failure predictor needs at least {2 * settings.folds} labeled videos (split train) with scores and "
            f"features, and a pool; found {len(source)} and {len(pool)}."
        )
    return source, test, pool


def _seen(videos: Sequence[Video], scores: pa.Table, features: pa.Table) -> Videos:
    """What a failure predictor sees of videos that have scores and features."""
    score, spread, rows = _by_id(scores, "score"), _by_id(scores, "spread"), _by_id(features, "features")
    dims = len(next(iter(rows.values())))
    return Videos.of(
        np.array([rows[video.id] for video in videos], np.float64).reshape(len(videos), dims),
        np.array([score[video.id] for video in videos], np.float64),
        readings=np.array([spread[video.id] for video in videos], np.float64),
    )


def _refit(data: LabeledFeatures, model: KernelModel, seed: int) -> Predict:
    return train(data, model.cost, model.gamma, FinetuningSettings(), seed).predict


def fine_tune(
    videos: Sequence[Video],
    features: Path,
    model: Path,
    labels: Labels,
    out: Path,
    settings: FinetuningSettings,
    seed: int,
) -> tuple[int, int]:
    """f': fine-tunes a saved statistical model on source labels and new ones, and saves it.

    Args:
        videos: those with MOS (split train) are the source; those in `labels` are new.
        features: table of features of all of them.
        model: to start from.
        labels: new MOS.
        out: file for the fine-tuned model.

    Returns:
        How many source videos and how many new ones it learned from.
    """
    base = KernelModel.load(model)
    table = read_table(features)
    source = labeled_features(in_role(videos, "source"), table)
    rows = _by_id(table, "features")
    new = [video for video in videos if video.id in labels.mos and video.id in rows]
    unknown = sorted(labels.mos.keys() - {video.id for video in new})
    if unknown:
        raise InputError(
            f"labels: {unknown[0]!r} and {len(unknown) - 1} more are not in the manifest, or have no features."
        )
    if not new or len(source) == 0:
        raise InputError(f"fine-tuning needs labeled source videos and new labels; found {len(source)} and {len(new)}.")
    codes = {name: 1 + i for i, name in enumerate(dict.fromkeys(video.dataset for video in new))}
    added = LabeledFeatures(
        np.array([rows[video.id] for video in new], np.float64),
        np.array([labels.mos[video.id] for video in new]),
        np.array([codes[video.dataset] for video in new], np.int64),
    )
    finetune(base, source.join(added), settings, seed).save(out)
    return len(source), len(new)
