"""The way of a rater through the study: which page comes next, by what is in the database and nothing else."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mdsvqa.labeling.collecting import voting
from mdsvqa.labeling.collecting.catalogue import NAMED_PAIRS, stimuli_of
from mdsvqa.labeling.collecting.database import Connection, fact
from mdsvqa.labeling.collecting.raters import last_event, note
from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.labeling.collecting.sessions import Wanted, WantedPairs, begin_session, begin_training
from mdsvqa.study.labeling import LabelingSettings

# After so long a rater reads the instructions again and sees two training clips.
LONG_AWAY = 12 * 3600.0
CLIPS_AFTER_LONG_AWAY = 2
SCREEN, BRIGHTNESS, PLAYBACK, COLOUR = "screen", "brightness", "playback", "colour"
ENDED = "ended"


@dataclass(frozen=True)
class TrainingHistory:
    """What a rater's next page depends on beside the database.

    Attributes:
        settings: of the study.
        wanted, wanted_pairs: what the study wants to know most.
    """

    settings: LabelingSettings
    wanted: Wanted
    wanted_pairs: WantedPairs

    def page(self, connection: Connection, rater: int, at: float) -> dict[str, Any]:
        """The page that a rater is on.

        Returns:
            JSON-able; `page` is its name, the rest is what it shows.
        """
        said = {row["kind"] for row in connection.execute("SELECT kind FROM events WHERE rater = ?", (rater,))}
        if "consent" not in said:
            return {"page": "consent" if not fact(connection, ENDED) else "closed"}
        away = self._long_away(connection, rater, at)
        if "instructions" not in said or away:
            return {"page": "instructions", "again": away}
        checked = last_event(connection, rater, "check")
        if checked is None:
            return {"page": "check"}
        failed = json.loads(checked["detail"])["failed"]
        keeping_out = [check for check in failed if check in self._excluding()]
        if keeping_out:
            return {"page": "unsuited", "failed": keeping_out}
        if not self._turn(connection, rater) and not fact(connection, ENDED):
            # Before practice, so that no vote has to wait for the plan of the session behind it.
            self._begin(connection, rater, 1, at)
        slot = voting.current_slot(connection, rater)
        if slot is not None:
            return self._slot(connection, slot, at)
        return self._between(connection, rater, at)

    def agree(self, connection: Connection, rater: int, at: float) -> None:
        """The rater consents."""
        if last_event(connection, rater, "consent") is None:
            note(connection, rater, "consent", at)

    def read_instructions(self, connection: Connection, rater: int, at: float) -> None:
        """The rater has read the instructions; training comes next, shorter where there was one."""
        self._need(connection, rater, "consent")
        first = last_event(connection, rater, "instructions") is None
        if not first and not self._long_away(connection, rater, at):
            return
        note(connection, rater, "instructions", at)
        begin_training(
            connection,
            rater,
            self.settings.training if first else CLIPS_AFTER_LONG_AWAY,
            at,
            self.settings.seed + rater,
        )

    def keep_check(
        self, connection: Connection, rater: int, failed: Sequence[str], facts: dict[str, Any], at: float
    ) -> None:
        """What the check of the device found."""
        self._need(connection, rater, "instructions")
        note(connection, rater, "check", at, {"failed": list(failed), **facts})

    def go_on(self, connection: Connection, rater: int, at: float) -> None:
        """Begins the next session, where it is time.

        Raises:
            Refused: the rater is not between sessions, or the pause is not over.
        """
        page = self.page(connection, rater, at)
        if page["page"] != "break":
            raise Refused(409, "no_break")
        if page["seconds"] > 0:
            raise Refused(409, "pause", {"seconds": page["seconds"]})
        self._begin(connection, rater, page["turn"], at)

    def _turn(self, connection: Connection, rater: int) -> int:
        """The number of a rater's last session that is not practice; 0 for none."""
        row = connection.execute("SELECT max(turn) AS turn FROM sessions WHERE rater = ?", (rater,)).fetchone()
        return int(row["turn"] or 0)

    def _begin(self, connection: Connection, rater: int, turn: int, at: float) -> int:
        return begin_session(connection, rater, turn, self.settings, self.wanted, self.wanted_pairs, at)

    def _between(self, connection: Connection, rater: int, at: float) -> dict[str, Any]:
        row = connection.execute("SELECT max(closed) AS closed FROM slots WHERE rater = ?", (rater,)).fetchone()
        turn = self._turn(connection, rater)
        done = turn == 0 or turn >= self.settings.sessions
        if fact(connection, ENDED) or done or not self._has_more(connection, rater):
            return {"page": "thanks"}
        left = row["closed"] + 60 * self.settings.pause_minutes - at
        return {"page": "break", "turn": turn + 1, "sessions": self.settings.sessions, "seconds": max(0.0, left)}

    def _has_more(self, connection: Connection, rater: int) -> bool:
        if self.settings.method == "pairs":
            judged = connection.execute(
                "SELECT count(DISTINCT pair) AS n FROM slots WHERE rater = ?", (rater,)
            ).fetchone()["n"]
            if fact(connection, NAMED_PAIRS):
                return bool(judged < connection.execute("SELECT count(*) AS n FROM pairs").fetchone()["n"])
            videos = len(stimuli_of(connection, "video"))
            return bool(judged < videos * (videos - 1) // 2)
        seen = "SELECT coalesce(second, first) FROM slots WHERE rater = ?"
        more = connection.execute(
            f"SELECT 1 FROM stimuli WHERE role = 'video' AND NOT retired AND number NOT IN ({seen}) LIMIT 1", (rater,)
        ).fetchone()
        return more is not None

    def _slot(self, connection: Connection, slot: Any, at: float) -> dict[str, Any]:
        voting.issue(connection, slot, at)
        training = slot["kind"] == "training"
        where = "kind = 'training' AND rater = ?" if training else "session = ?"
        group = slot["rater"] if training else slot["session"]
        counts = connection.execute(
            f"SELECT count(*) AS n, sum(closed IS NOT NULL) AS done FROM slots WHERE {where}", (group,)
        ).fetchone()
        following = connection.execute(
            "SELECT * FROM slots WHERE rater = ? AND closed IS NULL AND id != ? ORDER BY kind != 'training', session, "
            "place LIMIT 1",
            (slot["rater"], slot["id"]),
        ).fetchone()
        return {
            "page": "slot",
            **self._shown(connection, slot),
            "training": training,
            "place": int(counts["done"]) + 1,
            "of": int(counts["n"]),
            "next": None if following is None else self._shown(connection, following),
        }

    def _shown(self, connection: Connection, slot: Any) -> dict[str, Any]:
        numbers = [slot["first"], *([] if slot["second"] is None else [slot["second"]])]
        clips = []
        for side, number in enumerate(numbers):
            row = connection.execute("SELECT * FROM stimuli WHERE number = ?", (number,)).fetchone()
            clips.append(
                {
                    "source": f"/media/{slot['id']}/{side}",
                    **{name: row[name] for name in ("width", "height", "frames", "duration", "bytes")},
                }
            )
        return {"slot": slot["id"], "clips": clips}

    def _excluding(self) -> set[str]:
        # A screen that is too small for `native` keeps out by what the setting means.
        return set(self.settings.excluding) | ({SCREEN} if self.settings.size == "native" else set())

    def _long_away(self, connection: Connection, rater: int, at: float) -> bool:
        """Whether a rater who has voted was away for long, and has something left to do."""
        row = connection.execute(
            "SELECT max(closed) AS closed, max(issued) AS issued FROM slots WHERE rater = ?", (rater,)
        ).fetchone()
        if row["closed"] is None or at - row["closed"] <= LONG_AWAY:
            return False
        read = last_event(connection, rater, "instructions")
        if read is None or at - read["at"] <= LONG_AWAY:
            return False
        if voting.current_slot(connection, rater) is not None:
            return True
        turn = self._turn(connection, rater)
        return not fact(connection, ENDED) and turn < self.settings.sessions and self._has_more(connection, rater)

    def _need(self, connection: Connection, rater: int, kind: str) -> None:
        if last_event(connection, rater, kind) is None:
            raise Refused(409, "not_yet")


def clip_of(connection: Connection, rater: int, slot: str, side: int) -> Any:
    """The stimulus behind the address of a clip.

    Raises:
        Refused: the slot is none of the rater's, or closed, or has no such side.
    """
    row = connection.execute("SELECT * FROM slots WHERE id = ? AND rater = ?", (slot, rater)).fetchone()
    if row is None or side not in (0, 1) or (side == 1 and row["second"] is None):
        raise Refused(404, "clip_unknown")
    number = row["second"] if side else row["first"]
    return connection.execute("SELECT * FROM stimuli WHERE number = ?", (number,)).fetchone()
