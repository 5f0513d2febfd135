"""A model behind a server; its owner fine-tunes it and serves the result."""

from collections.abc import Sequence

import pyarrow as pa

from mdsvqa.models.settings import ServedSettings
from mdsvqa.models.vlm.load import need_vlm_packages
from mdsvqa.runtime.results import Maker, made_by
from mdsvqa.study.contracts import NewLabels, StudyModel, Waiting
from mdsvqa.study.data import StudyData
from mdsvqa.study.participants.predictions import handed_back
from mdsvqa.study.participants.unrefitted import Unrefitted
from mdsvqa.videos.video import Video


class ServedModel(Unrefitted):
    """A `StudyModel`: `quality.server` before fine-tuning, `quality.server_after` behind it."""

    @property
    def _served(self) -> ServedSettings:
        server = self.config.quality.server_after if self.turn else self.config.quality.server
        assert server is not None
        return server if server.model else server.model_copy(update={"model": self.config.quality.model})

    def score_table(self, videos: Sequence[Video]) -> tuple[pa.Table, Maker]:
        """See `Unrefitted`."""
        need_vlm_packages(f"server {self._served.urls[0]}")
        from mdsvqa.models.vlm.served_many import score_served  # noqa: PLC0415

        place = self.folder.within("scores")
        return score_served(videos, self._served, self.config.quality.vlm, place), made_by(place.out)

    def finetuned(self, data: StudyData, labels: NewLabels, turn: int, seed: int) -> StudyModel | Waiting:
        """See `StudyModel`."""
        if self.config.quality.server_after is None or self.config.quality.scores_after is not None:
            found = handed_back(self, data, labels, turn)
            if not isinstance(found, Waiting):
                return found
            return Waiting(
                f"Fine-tune your model on {self.run.out / 'training_set.csv'} (compare MOS within a dataset only), "
                "serve it, name the server as `quality: {server_after: {url: ..., model: ...}}` in the study file, and "
                "run again. Or name a CSV with its scores as `quality: {scores_after: ...}`."
            )
        self.training_videos(data, labels)
        return ServedModel(self.config, self.run, turn, self.learned.join(labels), self)
