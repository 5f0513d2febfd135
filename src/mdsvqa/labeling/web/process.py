"""The server's process: `mdsvqa label serve` becomes it once everything is prepared, and so leaves behind what only
preparing and other commands need, hundreds of megabytes of it.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdsvqa.labeling.collecting import raters
from mdsvqa.labeling.collecting.database import now
from mdsvqa.labeling.material import read_material
from mdsvqa.labeling.stimuli import read_prepared
from mdsvqa.labeling.web.app import application
from mdsvqa.labeling.web.open_study import open_study, reachable, watch
from mdsvqa.labeling.web.serving import listening, serve
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import json_text
from mdsvqa.runtime.words import counted
from mdsvqa.study.labeling import LabelingSettings

LOCAL = ("127.0.0.1", "::1", "localhost")
EXPOSED = (
    "Warning: this listens beyond this machine without TLS: links, cookies and the password can be read on the way. "
    "Put a proxy with TLS in front and name it by --proxy and --address; docs/labeling.md shows how."
)


@dataclass(frozen=True)
class Serving:
    """What is served, and where.

    Attributes:
        study: as of `read_material`.
        out: folder of the rating study; "" for the usual one.
        settings: of a study without a study.yaml; None for one that has it.
        host, port: to listen on.
        address: that raters open; "" for the one that is listened on.
        proxy: see `serve`.
        raters: so many new links are printed at the start.
        new_password: make another password for the organiser.
        as_json: print one JSON object in place of sentences.
    """

    study: str
    out: str = ""
    settings: dict[str, Any] | None = None
    host: str = "127.0.0.1"
    port: int = 0
    address: str = ""
    proxy: str = ""
    raters: int = 0
    new_password: bool = False
    as_json: bool = False

    def command(self) -> list[str]:
        """What runs it."""
        return [sys.executable, "-m", "mdsvqa.labeling.web.process", json.dumps(asdict(self))]


def run(asked: Serving) -> None:
    """Serves until the process is told to end."""
    settings = None if asked.settings is None else LabelingSettings.model_validate_json(json.dumps(asked.settings))
    material = read_material(Path(asked.study), Path(asked.out) if asked.out else None, settings)
    prepared = read_prepared(material.folder)
    place = listening(asked.host, asked.port)
    name = str(place.getsockname()[0])
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(name, f"[{name}]" if ":" in name else name)
    here = f"http://{name}:{place.getsockname()[1]}"
    public = (asked.address or here).rstrip("/")
    with open_study(material, prepared, new_password=asked.new_password) as opened, reachable(opened.running, here):
        days, seed = material.settings.link_days, material.settings.seed
        made = opened.running.store.write(lambda c: raters.invite(c, asked.raters, days, seed, now()))
        said = {
            "folder": str(material.folder),
            "videos": len(prepared.of("video")),
            "not_ratable": prepared.left_out,
            "address": public,
            "organiser": f"{public}/organiser",
            "password": opened.password,
            "links": [{"rater": raters.name_of(number), "link": f"{public}/r/{secret}"} for number, secret in made],
        }

        def started() -> None:
            print(json_text(said) if asked.as_json else "\n".join(_sentences(said, asked.study)), flush=True)
            if asked.host not in LOCAL and not asked.proxy:
                _note(EXPOSED)

        beside = watch(opened.running, _note)
        serve(application(opened.running), place, proxy=asked.proxy, started=started, beside=beside)


def _sentences(said: dict[str, Any], study: str) -> list[str]:
    lines = [f"Serving {counted(said['videos'], 'video')} on {said['address']} (end with Ctrl-C; votes stay)."]
    lines.append(f"Organiser: {said['organiser']}")
    if said["password"]:
        lines.append(f"Password: {said['password']} (shown only now; another: --new-password)")
    if said["links"]:
        return [*lines, "Links, one a rater, each for one browser:", *(f"  {each['link']}" for each in said["links"])]
    return [*lines, f"Links for raters: mdsvqa label invite {study} --raters 24 --csv links.csv"]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Runs what one argument of JSON says; the exit code."""
    try:
        run(Serving(**json.loads(arguments[0])))
    except InputError as error:
        _note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _note("The server has ended; votes stay.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
