"""A rating study on its folder: opened for one process, served until that ends."""

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from mdsvqa.labeling.collecting import organiser
from mdsvqa.labeling.collecting.catalogue import put_stimuli
from mdsvqa.labeling.collecting.course import ENDED, TrainingHistory
from mdsvqa.labeling.collecting.database import Store, fact, keep_fact, now
from mdsvqa.labeling.collecting.planning import Planner, no_plan, no_plan_of_pairs
from mdsvqa.labeling.export.findings import findings
from mdsvqa.labeling.export.run import export
from mdsvqa.labeling.material import Material
from mdsvqa.labeling.prepare.run import check_clip
from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.labeling.web.context import Running
from mdsvqa.labeling.web.texts import read_texts
from mdsvqa.runtime.errors import InputError

SERVER = "server.json"
EXPORT = "export"
# Whether the study has enough votes is looked at so often.
_LOOK_SECONDS = 60.0
_PASSWORD_BYTES = 12


@dataclass(frozen=True)
class OpenStudy:
    """A study that this process has open.

    Attributes:
        running: what its requests share.
        password: of the organiser, where one was made just now.
    """

    running: Running
    password: str | None


@contextmanager
def open_study(material: Material, prepared: Prepared, *, new_password: bool = False) -> Iterator[OpenStudy]:
    """Opens a study's database and brings it to what was prepared.

    Args:
        material: of the study.
        prepared: what can be shown.
        new_password: make another password for the organiser.

    Raises:
        InputError: another process has it open, a file is gone, or its method is another one than before.
    """
    gone = next((each for each in prepared.stimuli if not each.file.is_file()), None)
    if gone is not None:
        raise InputError(f"{gone.file}: is gone; expected the file of {gone.id!r}. Run again: mdsvqa label prepare")
    settings = material.settings
    texts = read_texts(settings.texts)
    store = Store(material.folder)
    try:
        before = store.write(lambda c: fact(c, "method"))
        if before not in ("", settings.method):
            raise InputError(
                f"{store.path}: holds votes by the method {before}; found {settings.method}. Name another folder: --out"
            )
        store.write(lambda c: keep_fact(c, "method", settings.method))
        store.write(lambda c: put_stimuli(c, prepared))
        password = None
        if new_password or not store.write(organiser.has_password):
            password = secrets.token_urlsafe(_PASSWORD_BYTES)
            made = password
            store.write(lambda c: organiser.set_password(c, made, now()))
        shown = prepared.of("video", "reference")
        running = Running(
            store=store,
            settings=settings,
            course=TrainingHistory(settings, no_plan, no_plan_of_pairs),
            texts=texts,
            check_clip=check_clip(material.folder),
            largest=(max(each.width for each in shown), max(each.height for each in shown)),
            out=material.folder,
            planner=Planner(store.path, settings),
            ending=partial(hand_over, material, prepared),
        )
        yield OpenStudy(running, password)
    finally:
        store.close()


def hand_over(material: Material, prepared: Prepared) -> dict[str, Any]:
    """Writes the export of a study into its folder, and the labels where a loop waits for them."""
    texts = read_texts(material.settings.texts)
    out = material.folder / EXPORT
    return dict(export(material.folder, out, material.settings, prepared, texts, material.labels))


async def watch(running: Running, said: Callable[[str], None]) -> None:
    """Ends the study when it has enough votes; looks from time to time, for as long as it runs."""
    seen = -1
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        seen = await asyncio.to_thread(_look, running, seen, said)


def _look(running: Running, seen: int, said: Callable[[str], None]) -> int:
    """Ends the study where it has enough votes; `seen` and the result are how many votes there were."""
    with running.slow, running.store.reading() as connection:
        votes = int(connection.execute("SELECT count(*) FROM votes").fetchone()[0])
        if votes == seen or not votes or fact(connection, ENDED):
            return votes
        where = findings(connection, running.settings).standing
    if where is not None and where.ended:
        running.store.write(lambda c: organiser.end(c, True, where.reason, now()))
        running.ending()
        said(f"The study has enough votes: {where.reason}. Its labels are written.")
    return votes


@contextmanager
def reachable(running: Running, address: str) -> Iterator[None]:
    """Leaves beside the votes how other commands of this user reach the process that has them open."""
    cookie, token = running.store.write(lambda c: organiser.open_session(c, now(), 365 * 86_400.0))
    path = running.out / SERVER
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"address": address, "cookie": cookie, "token": token}, file)
    try:
        yield
    finally:
        running.store.write(lambda c: organiser.revoke(c, cookie, now()))
        path.unlink(missing_ok=True)
