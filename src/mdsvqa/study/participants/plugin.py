"""Anyone's class. One that has a `finetune` of its own is fine-tuned in the study."""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from mdsvqa.models.base import FineTunable, QualityModel
from mdsvqa.models.plugin import finetuned_by_class, load_class, score_videos, unscored
from mdsvqa.runtime.results import SCORES, Maker, fingerprint, made_by, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.predictions import handed_back
from mdsvqa.study.participants.unrefitted import Unrefitted
from mdsvqa.videos.changes import changed_files
from mdsvqa.videos.labels import newly_labeled
from mdsvqa.videos.video import Video


class PluginModel(Unrefitted):
    """A `StudyModel` that is an instance of a class.

    Args:
        config, run, turn, learned, before: as `Unrefitted`.
        load: makes the instance; not called where its scores are there already.
        made_by_training: names the training that it came from.
    """

    def __init__(
        self,
        config: StudyConfig,
        run: Run,
        turn: int = 0,
        learned: NewLabels | None = None,
        before: StudyModel | None = None,
        load: Callable[[], QualityModel] | None = None,
        made_by_training: Maker | None = None,
    ) -> None:
        super().__init__(config, run, turn, learned, before)
        # Now: what is wrong with a class is to be said before hours of decoding.
        self._class = load_class(config.quality.model) if turn == 0 else None
        self._trains = isinstance(self._class, FineTunable) or turn > 0
        self._load = load or partial(load_class, config.quality.model)
        self._training = made_by_training or {}

    @property
    def trains_here(self) -> bool:
        """Where the class has a `finetune`, and nobody hands in scores of a model that they fine-tuned."""
        return self._trains and self.config.quality.scores_after is None

    def score_table(self, videos: Sequence[Video]) -> tuple[pa.Table, Maker]:
        """See `Unrefitted`."""
        frames, place = self.config.quality.frames, self.folder.within("scores")
        maker = {"step": "scores", "model": self.config.quality.model, "frames": frames, **self._training}
        view = self.config.quality.view()
        maker |= view.record()
        with place.open(SCORES, maker) as table:
            complete = {video.id for video in videos} <= table.ids - unscored(table) and not changed_files(
                table, videos
            )
        if complete:
            return read_table(place.out), made_by(place.out)
        model, batch_gb = self._class or self._load(), self.config.quality.batch_gb
        return score_videos(videos, model, maker, frames, place, view, batch_gb), made_by(place.out)

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> StudyModel | Waiting:
        """See `StudyModel`: by the class's own `finetune(videos, folder)`, from the class as it is."""
        model = self._class or load_class(self.config.quality.model)
        if not self.trains_here or not isinstance(model, FineTunable):
            return handed_back(self, data, labels, turn)
        source, new = self.training_videos(data, labels)
        videos, folder = [*source, *newly_labeled(new)], self.run.out / f"round-{turn}" / "finetuned"
        learned = fingerprint([(video.id, video.dataset, video.mos) for video in videos])
        first = self if self.before is None else self.before
        load = partial(finetuned_by_class, model, videos, folder, self.run.show)
        return PluginModel(
            self.config, self.run, turn, self.learned.join(labels), first, load, {"finetuned_on": learned}
        )
