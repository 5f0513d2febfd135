"""Difficulty of videos by a vision-language model: by its failure predictor, or by how unstable its score is."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.difficulty.vlm.instability import Unstable
from mdsvqa.models.settings import VlmSettings
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import Checkpoint, load_checkpoint, with_adapter
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.table_scoring import ClipReader, reading, score_with_model
from mdsvqa.runtime.results import DIFFICULTY
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.windows import Work
from mdsvqa.videos.sweep import Row
from mdsvqa.videos.video import Video


def predict_with_vlm(videos: Sequence[Video], model: str, adapter: str, settings: VlmSettings, run: Run) -> pa.Table:
    """Difficulty by a failure predictor: the expected value of its answer, continuous and without ties.

    Args:
        videos: with paths.
        model: f's checkpoint: a folder or a Hub name.
        adapter: g's, a folder or a Hub name such as hollow404/MDS-VQA-Failure-Predictor.
        settings: what f sees; its own adapter, if it has one, is `base_adapter`, and g's comes on top.

    Returns:
        The difficulty table; status as in a scores table.
    """
    frozen = settings.model_copy(update={"merge": True, "reading": "expected", "samples": 1})
    return _difficulty_table(
        videos, partial(_predictor, model, adapter, frozen), f"Loading {model} and {adapter}", frozen, run
    )


def _predictor(model: str, adapter: str, settings: VlmSettings) -> Work[Video, Row]:
    checkpoint = load_checkpoint(settings, model)
    predictor, applied = with_adapter(checkpoint.model, adapter, merge=True)
    reader = VlmReader(Checkpoint(predictor.eval(), checkpoint.processor, {}), settings, prompts.DIFFICULTY)
    maker = {**checkpoint.maker, "predictor": adapter, **{f"predictor_{key}": found for key, found in applied.items()}}
    maker |= {"prompt": prompts.prompt_fingerprint(prompts.DIFFICULTY)}
    return _reading(reader, maker, settings)


def instability_of_vlm(
    rule: str, videos: Sequence[Video], model: str, settings: VlmSettings, difficulty: DifficultySettings, run: Run
) -> pa.Table:
    """Difficulty as the standard deviation of f's expected score over passes that disturb it.

    Args:
        rule: "mc-dropout" turns dropout on: that of its adapter, else of the language model's attention;
            "noise-stability" adds noise to the pixels.
        videos, out, model, settings, workers: as `predict_with_vlm`.
        difficulty: says how many passes.
    """
    frozen = settings.model_copy(update={"reading": "expected", "samples": 1})
    load = partial(_disturbed, rule, model, frozen, difficulty.passes)
    return _difficulty_table(videos, load, f"Loading {model}", frozen, run)


def _disturbed(rule: str, model: str, settings: VlmSettings, passes: int) -> Work[Video, Row]:
    checkpoint = load_checkpoint(settings, model, settings.adapter)
    disturbed = Unstable(VlmReader(checkpoint, settings), rule, passes, settings.seed)
    return _reading(disturbed, {**checkpoint.maker, "rule": rule, "passes": passes}, settings)


def _reading(reader: ClipReader, maker: Mapping[str, Any], settings: VlmSettings) -> Work[Video, Row]:
    return reading(reader, {"step": "difficulty", **maker, "frames": settings.seen()})


def _difficulty_table(
    videos: Sequence[Video], load: Callable[[], Work[Video, Row]], label: str, settings: VlmSettings, run: Run
) -> pa.Table:
    # The readings first, shard by shard: they take hours and survive a kill.
    found, whole = score_with_model(videos, load, label, settings.device, run.within("readings"))
    rows = {row["id"]: row for row in found.select(["id", "score", "status"]).to_pylist()}
    table = [{"id": v.id, "difficulty": rows[v.id]["score"], "status": rows[v.id]["status"]} for v in videos]
    # Made anew each time: videos may have been mended since.
    with run.open(DIFFICULTY, whole) as result:
        known = [row for row in table if row["id"] in result.ids]
        if known:
            result.replace(known)
        result.append([row for row in table if row["id"] not in result.ids])
    return pa.Table.from_pylist(table, DIFFICULTY)
