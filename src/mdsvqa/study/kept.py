"""Difficulties and choices of a study in its folder: read where they are, made where they are not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdsvqa.difficulty.prediction import Prediction, difficulty_rows, write_choice
from mdsvqa.runtime.arrays import Floats
from mdsvqa.runtime.results import DIFFICULTY, SELECTION, Maker, column, fingerprint, is_table, read_table
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.words import counted
from mdsvqa.selection.base import Pick, Rule
from mdsvqa.selection.select import Choice, selection_rows
from mdsvqa.study.config import StudyConfig
from mdsvqa.study.contracts import StudyModel
from mdsvqa.study.data import PoolArrays, StudyData, given_labels


@dataclass
class Tables:
    """A `loop.Keep` that reads difficulties and choices where they are, and writes them where they are not.

    Attributes:
        pool: under the limits of one round.
        chosen: videos so far.
        made: what made the last result; each names what made its inputs.
    """

    config: StudyConfig
    data: StudyData
    pool: PoolArrays
    run: Run
    chosen: int = 0
    made: Maker | None = None

    def difficulty(self, turn: int, rule: Rule, f: StudyModel, compute: Callable[[], Prediction]) -> Floats:
        """See `loop.Keep`."""
        config, data, show = self.config, self.data, self.run.show
        show.note(f"Round {turn} of {config.rounds}: choosing from {counted(len(self.pool) - self.chosen, 'video')}")
        maker = {"step": "difficulty", "round": turn, "model": fingerprint(f.made_by(data)), "material": data.maker}
        maker |= {"settings": config.difficulty.record(whole=True), "seed": config.seed}
        maker |= {"rule": rule.name} if rule.difficulty == "committee" else {}
        maker |= {"pool": fingerprint(self.pool.ids), "source": data.labels_fingerprint()}
        place = self.run.within(f"round-{turn}/difficulty")

        def rows() -> list[dict[str, Any]]:
            with show.working(f"Round {turn}: training the failure predictor"):
                found = compute()
            show.note(str(found))
            write_choice(place.out, found)
            return difficulty_rows(self.pool.ids, found)

        name, costs = f"round-{turn}/difficulty", self._paid_for(turn)
        table = place.table(DIFFICULTY, maker, rows, name=name, costs=costs)
        self.made = maker
        return column(table, self.pool.ids, "difficulty")

    def selection(self, turn: int, compute: Callable[[], Choice]) -> list[Pick]:
        """See `loop.Keep`."""
        config, rule = self.config, self.config.selection.rule
        maker = {"step": "selection", "round": turn, "difficulty": fingerprint(self.made), "material": self.data.maker}
        maker |= {"settings": config.selection.record(), "seed": config.seed, "rounds": config.rounds}
        name, limits = f"round-{turn}/selection", self.pool.limits.record()
        maker |= {"limits": fingerprint(limits)}
        place = self.run.within(name)

        def chosen() -> list[dict[str, Any]]:
            choice = compute()
            if choice.certify is not None:
                choice.certify().write(place.out)
            return selection_rows(self.pool.ids, choice, rule)

        rows = place.table(SELECTION, maker, chosen, name=name, costs=self._paid_for(turn))
        self.made, self.chosen = maker, self.chosen + rows.num_rows
        index = {video: place for place, video in enumerate(self.pool.ids)}
        return [
            Pick(index[row["id"]], row["difficulty"], row["diversity"], row["utility"], row["rule"])
            for row in rows.to_pylist()
        ]

    def _paid_for(self, turn: int) -> str:
        """What people said of the videos that an earlier run chose in this round; the files that hold it stay."""
        folder, said = self.run.out / f"round-{turn}" / "selection", given_labels(self.config)
        if said is None or not is_table(folder):
            return ""
        labels = said.mos.keys() & set(read_table(folder)["id"].to_pylist())
        return f"the choice behind {counted(len(labels), 'label')} that people gave" if labels else ""
