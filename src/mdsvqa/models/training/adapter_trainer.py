"""Fine-tunes a vision-language model by the fidelity loss, and reads it before and after."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mdsvqa.models.base import ModelError, score_values
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.batches import training_batches
from mdsvqa.models.training.clip_cache import ClipCache
from mdsvqa.models.training.fidelity import Fidelity
from mdsvqa.models.training.fidelity_and_text import FidelityAndText
from mdsvqa.models.training.loop import TrainingHistory, steps_of, train_adapter
from mdsvqa.models.training.lora import add_lora
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.training.shared import decode_shared, load_shared
from mdsvqa.models.training.training_set import TrainingSet
from mdsvqa.models.training.vision_cache import VisionCache
from mdsvqa.models.training.watch import HeldOutMonitor
from mdsvqa.models.vlm.checkpoint import Checkpoint
from mdsvqa.models.vlm.clips import ModelClip
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.runtime.arrays import Floats, Ints
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.results import SCORES, ResultTable, read_table
from mdsvqa.videos.video import Video

# Replies that are written, and rows that are kept, at a time.
WINDOW = 32


@dataclass
class AdapterTrainer:
    """A base model with a fresh adapter, asked in both ways, and clips at training size.

    Attributes:
        model: with its adapter.
        reader, writer: read the expected score, and a reply with thinking.
        cache: of clips.
        training: settings.
        folder: of what is written.
        processes: processes that share the work.
        maker: of the base model's replies.
    """

    model: Any
    reader: VlmReader
    writer: VlmReader
    cache: ClipCache
    training: VlmFinetuning
    folder: Path
    show: Show
    processes: Processes
    maker: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(
        cls, name: str, settings: VlmSettings, training: VlmFinetuning, folder: Path, show: Show, processes: Processes
    ) -> "AdapterTrainer":
        """Loads the base model, and puts a fresh adapter on it.

        Raises:
            ModelError: it cannot be loaded, or answers by levels.
        """
        if settings.answers == "levels":
            raise ModelError(
                f"model {name!r}: answers by levels, which are scored here and not trained. Fine-tune it by its "
                "authors' code and name the result, or hand in its scores by `scores_after`."
            )
        seen = settings.model_copy(
            update={"merge": True, "max_pixels": training.max_pixels, "max_new_tokens": training.max_new_tokens}
        )
        checkpoint = load_shared(name, seen, show, processes)
        model = add_lora(checkpoint.model, training.lora, training.seed)
        adapted = Checkpoint(model, checkpoint.processor, checkpoint.maker)
        reader = VlmReader(adapted, seen.model_copy(update={"reading": "expected", "samples": 1}))
        writer = VlmReader(adapted, seen.model_copy(update={"reading": "generate", "samples": 1}))
        cache = ClipCache(folder / "clips", reader.sight)
        return cls(model, reader, writer, cache, training, folder, show, processes, checkpoint.maker)

    def decode(self, videos: Sequence[Video], workers: int) -> set[str]:
        """Decodes videos at training size; ids of those that can be."""
        wanted = [video for video in videos if video.path is not None and video.mos is not None]
        return {video.id for video in decode_shared(self.cache, wanted, workers, self.show, self.processes)}

    def train(self, known: TrainingSet) -> TrainingHistory:
        """Trains the adapter, and leaves the model with its best weights."""
        training = self.training
        learned, kept = np.flatnonzero(~known.held_out), np.flatnonzero(known.held_out)
        spaced = np.linspace(0, len(kept) - 1, min(training.watched, len(kept))).round().astype(int)
        seen = VisionCache(self.cache, self.reader, self.folder / "vision", training.vision_cache, self.processes.size)
        watch = HeldOutMonitor(
            self.reader,
            self.writer,
            lambda place: seen.load(known.videos[int(kept[place])]),
            known.mos[kept],
            known.dataset[kept],
            [int(place) for place in spaced],
            training,
            self.processes,
        )

        def batches() -> Iterator[Ints]:
            drawn = training_batches(
                known.dataset[learned],
                known.new[learned],
                training.batch_size,
                training.seed,
                new_share=training.new_share,
            )
            return (learned[batch] for batch in drawn)

        def load(place: int) -> ModelClip:
            return seen.load(known.videos[place])

        steps = steps_of(training, len(learned))
        if training.objective == "grpo":
            from mdsvqa.models.training.grpo import train_by_grpo  # noqa: PLC0415

            return train_by_grpo(
                self.model,
                self.writer,
                load,
                known.mos,
                known.dataset,
                batches(),
                watch,
                training,
                steps,
                self.folder,
                self.show,
                self.processes,
            )
        replies = self._base_replies(known, learned)
        ranking = Fidelity(self.reader, known.mos, known.dataset, training.form_weight)
        objective = FidelityAndText(ranking, self.writer, replies, training.text_weight, training.text_share)
        return train_adapter(
            self.model,
            objective,
            batches,
            load,
            watch,
            training,
            steps,
            self.folder,
            self.show,
            self.processes,
        )

    def _base_replies(self, known: TrainingSet, learned: Ints) -> dict[int, str]:
        """What the base model writes about each video, where it is well-formed."""
        if not self.training.text_weight:
            return {}
        places = {known.videos[int(index)].id: int(index) for index in learned}
        folder, processes = self.folder / "replies", self.processes
        maker = {"step": "replies", **self.maker}

        def opened(held: ExitStack) -> ResultTable | None:
            first = processes.rank == 0
            return held.enter_context(ResultTable(folder, SCORES, maker, overwrite=True)) if first else None

        with ExitStack() as held:
            table = processes.together(lambda: opened(held))
            there = processes.of_first(lambda: set() if table is None else set(table.ids))
            missing = [video for video in places if video not in there]
            # The windows of a single process, so that what is written does not depend on how many there are.
            windows = [missing[start : start + WINDOW] for start in range(0, len(missing), WINDOW)]
            for start in range(0, len(windows), processes.size):
                own = windows[start + processes.rank :][:1]
                mine = [known.videos[places[video]] for window in own for video in window]
                for written in processes.gathered(processes.together(partial(self._written, mine))):
                    if table is not None and written:
                        table.append(written)
                done = min((start + processes.size) * WINDOW, len(missing))
                self.show.progress("Replies of the base model", done, len(missing))
        rows = processes.of_first(lambda: read_table(folder).select(["id", "status", "text"]).to_pylist())
        found = {places[row["id"]]: row["text"] for row in rows if row["status"] == "ok" and row["id"] in places}
        if len(found) < len(places):
            self.show.note(f"{len(places) - len(found)} of {len(places)} replies of the base model are not well-formed")
        return found

    def _written(self, videos: Sequence[Video]) -> list[dict[str, Any]]:
        """What the base model writes about some videos, in rows."""
        self.model.eval()
        clips = [self.cache.load(video) for video in videos]
        with self.model.disable_adapter():
            return [asdict(score) for score in self.writer.read(clips)]

    def scores(self, videos: Sequence[Video], *, base: bool = False) -> Floats:
        """Expected scores of decoded videos, NaN where there is none, by the base model or as it is now."""
        self.model.eval()

        def read(mine: Sequence[int]) -> Floats:
            clips = [self.cache.load(videos[place]) for place in mine]
            with self.model.disable_adapter() if base else nullcontext():
                return score_values(self.reader.read(clips))

        return self.processes.each(len(videos), read)
