"""People who rate what a study chose: the list that goes out, and the labels that come back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdsvqa.runtime.matching import match_ids
from mdsvqa.runtime.progress import Show
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.runtime.user_tables import ColumnError
from mdsvqa.runtime.words import counted
from mdsvqa.selection.audit import AUDIT
from mdsvqa.selection.base import Pick
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import NewLabels, Waiting
from mdsvqa.study.data import StudyData, filled_requests, given_labels
from mdsvqa.study.kept import Tables
from mdsvqa.videos.labels import REQUEST, Labels, differing, known_labels, write_label_request


@dataclass(frozen=True)
class RatersFile:
    """`loop.Raters` who write into a file: what is not in it is asked for.

    Attributes:
        tables: with the choice that they rate.
        labels: all that anyone knows.
    """

    tables: Tables
    labels: Labels

    def __call__(self, turn: int, picks: Sequence[Pick]) -> NewLabels | Waiting:
        """See `loop.Raters`.

        Raises:
            ConfigError: not one video could be rated.
        """
        config, pool, known = self.tables.config, self.tables.pool, self.labels.mos
        unrated = [pool.ids[pick.index] for pick in picks]
        unrated = [video for video in unrated if video not in known.keys() | self.labels.unratable]
        if unrated:
            return self._request(turn, unrated)
        rated = [pick.index for pick in picks if pool.ids[pick.index] in known]
        drawn = {pick.index for pick in picks if pick.rule == AUDIT}
        learned = np.array([place for place in rated if place not in drawn], np.int64)
        if len(learned) == 0:
            raise ConfigError(f"{config.labels}: not one of the selected videos could be rated. Raise the budget.")
        audit = {pool.ids[place]: known[pool.ids[place]] for place in rated if place in drawn}
        mos = np.array([known[pool.ids[place]] for place in learned])
        return NewLabels(pool.index[learned], mos, audit, self.tables.made or {})

    def _request(self, turn: int, unrated: Sequence[str]) -> Waiting:
        """Writes which videos need raters next, and says what to do with the list."""
        config, path = self.tables.config, self.tables.run.out / f"round-{turn}" / REQUEST
        videos = {video.id: video for video in self.tables.data.videos}
        write_label_request(path, [videos[video] for video in unrated])
        count = len(unrated)
        said = f"{counted(count, 'video', 'needs', 'need')} labels; they are listed in {path}, the most"
        said += " useful first."
        if config.labeling is not None:
            said += (
                f" Have people rate them: mdsvqa label serve {config.file or 'STUDY'}. When that study has ended, run "
                "again; its labels are taken by themselves."
            )
        else:
            other = f", or put them into {config.labels}" if config.labels else ""
            said += (
                f" Fill in its column mos where it lies ({config.labels_scale}; NA where a video could not be rated)"
                f"{other}, and run again."
            )
        return Waiting(said, count, path, config.labels)


def gather_labels(config: StudyConfig, data: StudyData, show: Show) -> Labels:
    """All MOS of pool videos that anyone knows; says what of the file of labels does not go with the manifest.

    Raises:
        InputError: none of its videos is in the pool.
    """
    said = given_labels(config)
    pool = [data.videos[int(index)] for index in data.pool]
    for path, answers in filled_requests(config).items():
        try:
            strange = match_ids(path, [*answers.mos, *sorted(answers.unratable)], data.ids(data.pool), "the pool")
        except ColumnError as error:
            # Of another pool, maybe: it stands in nobody's way.
            strange = str(error)
        show.note(strange or f"{path}: {counted(len(answers.mos), 'label')} taken")
    if said is None or config.labels is None:
        return known_labels(pool, said)
    ids = [*said.mos, *sorted(said.unratable)]
    strange = match_ids(config.labels, ids, [*data.ids(data.pool), *data.failures], "the pool")
    if strange:
        show.note(strange)
    lost = [video for video in ids if video in data.failures]
    if lost:
        show.note(f"{config.labels}: {len(lost)} rated videos cannot be used, {lost[0]!r}: {data.failures[lost[0]]}")
    other = differing(pool, said)
    if other:
        video, before, now = other[0]
        show.note(
            f"{config.labels}: {len(other)} MOS differ from those of {config.videos}, such as {before:g} there and "
            f"{now:g} here for {video!r} (1-5); those of {config.labels.name} are used."
        )
    return known_labels(pool, said)
