"""The commands `mdsvqa label` around a rating study: prepare, serve, invite, status, export, forget."""

import csv
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdsvqa.cli.label import app
from mdsvqa.cli.options import Workers, checked, need_label_packages, with_spool
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.runtime.atomic import write_atomically
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.places import place_of, scheme_of
from mdsvqa.runtime.results import json_text
from mdsvqa.runtime.words import counted
from mdsvqa.runtime.workers import cores
from mdsvqa.study.labeling import LabelingSettings

if TYPE_CHECKING:
    from mdsvqa.labeling.collecting.database import Connection
    from mdsvqa.labeling.material import Material
    from mdsvqa.labeling.stimuli import Prepared

__all__ = ["app"]

Study = Annotated[
    Path,
    typer.Argument(
        help="Have these rated: the chosen videos of a study.yaml, a folder or table of videos, or a folder of gMAD "
        "pairs."
    ),
]
Place = Annotated[
    Path | None, typer.Option("--out", "-o", help="Keep the rating study in this folder; by default beside STUDY.")
]
Method = Annotated[
    str | None, typer.Option(help="Rate by acr, acr-hr, dcr or pairs; in a study.yaml it stands under `labeling:`.")
]
Contact = Annotated[str | None, typer.Option(help="Say whom raters can ask.")]
Minutes = Annotated[
    float | None, typer.Option(help="Have raters watch so many minutes in a session, at most (default: 20).")
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set anything else of `labeling:` as name=value, such as --set sessions=1; repeatable. Kept in the folder "
        "of the rating study.",
    ),
]
KEPT = "settings.json"
DEFAULT_PORT = 8437


@app.command()
@with_spool
def prepare(
    study: Study,
    out: Place = None,
    method: Method = None,
    contact: Contact = None,
    session_minutes: Minutes = None,
    set_: Setting = None,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Make every video playable in a browser, and say which is not."""
    material = _material(study, out, _said(set_, method=method, contact=contact, session_minutes=session_minutes))
    prepared = _prepare(material, workers)
    if as_json:
        print_json(_counts(material, prepared))
        return
    _print_prepared(material, prepared, study)


@app.command()
@with_spool
def serve(
    study: Study,
    out: Place = None,
    host: Annotated[str, typer.Option(help="Listen on this address; others reach it only if it is not 127.0.0.1.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes any that is free.")
    ] = DEFAULT_PORT,
    address: Annotated[
        str | None,
        typer.Option(help="Name the address that raters open, such as https://rate.example.org behind a proxy."),
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(
            help="Name the address of a proxy in front, whose word on https and on raters' addresses is taken."
        ),
    ] = "",
    raters: Annotated[int, typer.Option(min=0, help="Print so many new personal links at the start.")] = 0,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make another password for the organiser.")
    ] = False,
    method: Method = None,
    contact: Contact = None,
    session_minutes: Minutes = None,
    set_: Setting = None,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Run the rating study until it is interrupted: raters open their links, the organiser looks on."""
    need_label_packages()
    from mdsvqa.labeling.web.process import Serving

    material = _material(study, out, _said(set_, method=method, contact=contact, session_minutes=session_minutes))
    _prepare(material, workers)
    of_yaml = study.suffix.lower() in (".yaml", ".yml")
    serving = Serving(
        study=str(study),
        out="" if out is None else str(out),
        settings=None if of_yaml else material.settings.model_dump(mode="json"),
        host=host,
        port=port,
        address=address or "",
        proxy=proxy,
        raters=raters,
        new_password=new_password,
        as_json=as_json,
    )
    sys.stdout.flush()
    os.execv(sys.executable, serving.command())


@app.command()
def invite(
    study: Study,
    raters: Annotated[int, typer.Option(min=1, max=1000, help="Invite so many more.")],
    csv_: Annotated[
        Path | None, typer.Option("--csv", help="Write the links to this file; they are printed without.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Begin the links with this address; by default that of the running server.")
    ] = None,
    out: Place = None,
    as_json: AsJson = False,
) -> None:
    """Make personal links for raters; each works in one browser."""
    from mdsvqa.labeling.collecting import raters as people
    from mdsvqa.labeling.collecting.database import now

    material = _material(study, out, {})
    settings = material.settings
    found = _asked(material, "/api/organiser/invite", {"raters": raters})
    if found is None:
        made = _changed(material, lambda c: people.invite(c, raters, settings.link_days, settings.seed, now()))
        links = [{"rater": people.name_of(number), "path": f"/r/{secret}"} for number, secret in made]
        here = f"http://127.0.0.1:{DEFAULT_PORT}"
    else:
        links, here = found["links"], _server(material)["address"]
    public = (address or here).rstrip("/")
    rows = [{"rater": link["rater"], "link": f"{public}{link['path']}"} for link in links]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["rater", "link"])
    writer.writerows([row["rater"], row["link"]] for row in rows)
    if csv_ is not None:
        write_atomically(csv_, text.getvalue().encode("utf-8-sig"))
    if as_json:
        print_json({"links": rows, "out": None if csv_ is None else str(csv_)})
    elif csv_ is not None:
        Console().print(f"{csv_}: {len(rows)} links", soft_wrap=True, highlight=False, markup=False)
    else:
        sys.stdout.write(text.getvalue())


@app.command()
def status(study: Study, out: Place = None, as_json: AsJson = False) -> None:
    """Show where a rating study stands; also while it runs."""
    from mdsvqa.labeling.collecting.database import FILE, now, reading
    from mdsvqa.labeling.export.findings import overview

    material = _material(study, out, {})
    with reading(material.folder / FILE) as connection:
        found = overview(connection, material.settings, now())
    if as_json:
        print_json(found)
        return
    _print_status(found)


@app.command()
def export(
    study: Study,
    to: Annotated[
        Path | None, typer.Option(help="Write the files into this folder; by default `export` in that of the study.")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the study first: no new session begins.")] = False,
    out: Place = None,
    as_json: AsJson = False,
) -> None:
    """Write labels, votes, raters and the report of the study; also while it runs."""
    from mdsvqa.labeling.collecting import organiser
    from mdsvqa.labeling.collecting.database import now
    from mdsvqa.labeling.export.run import export as write_export
    from mdsvqa.labeling.stimuli import read_prepared
    from mdsvqa.labeling.web.texts import read_texts

    material = _material(study, out, {})
    prepared = read_prepared(material.folder)
    if end and _asked(material, "/api/organiser/end", {"ended": True}) is None:
        _changed(material, lambda c: organiser.end(c, True, "by the organiser", now()))
    texts = read_texts(material.settings.texts)
    place = to or material.folder / "export"
    found = write_export(material.folder, place, material.settings, prepared, texts, material.labels)
    if as_json:
        print_json(found)
        return
    console = Console()
    lines = [
        f"{found['out']}: {found['counted']} of {counted(found['votes'], 'vote')} counted, of "
        f"{counted(found['raters'], 'rater')}"
    ]
    if found["labels"]:
        lines.append(f"{found['labels']}: labels for the loop; go on with: mdsvqa run {study}")
    elif material.labels is not None and not found["ended"]:
        lines.append("The study goes on, so the loop has no labels yet; --end ends it.")
    elif material.labels is not None and material.settings.method == "pairs":
        lines.append("Scores from pairs have no levels, so the loop, which needs MOS from 1 to 5, gets none.")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


@app.command()
def forget(
    study: Study,
    rater: Annotated[str, typer.Argument(help="Forget this rater, such as r007.")],
    out: Place = None,
    as_json: AsJson = False,
) -> None:
    """Delete everything that is stored of a rater, and say what that was."""
    from mdsvqa.labeling.collecting import raters as people
    from mdsvqa.labeling.collecting.refusals import Refused

    material = _material(study, out, {})
    number = rater.removeprefix("r")
    if not (number.isascii() and number.isdecimal()):
        raise InputError(f"{rater!r}: is no rater; expected a name such as r007, as `mdsvqa label status` lists them.")
    try:
        gone = _asked(material, "/api/organiser/forget", {"rater": int(number)})
        if gone is None:
            gone = _changed(material, lambda c: people.forget(c, int(number)))
    except Refused:
        raise InputError(f"{rater!r}: is no rater of this study; `mdsvqa label status` lists them.") from None
    if as_json:
        print_json({"rater": rater, "deleted": gone})
        return
    said = ", ".join(f"{count} {table}" for table, count in gone.items() if count)
    Console().print(f"{rater}: deleted {said}. Files that were exported before are as they were.", soft_wrap=True)


def _said(pairs: list[str] | None, **options: Any) -> dict[str, Any]:
    """Settings by name, as options and as name=value say them."""
    import yaml

    said = {name: value for name, value in options.items() if value is not None}
    for pair in pairs or []:
        name, separator, value = pair.partition("=")
        if not separator or name.strip() not in LabelingSettings.model_fields:
            names = ", ".join(LabelingSettings.model_fields)
            raise InputError(f"--set {pair}: expected name=value with one of {names}.")
        try:
            said[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            said[name.strip()] = value
    return said


def _material(study: Path, out: Path | None, said: dict[str, Any]) -> "Material":
    """What the study is about; the settings of one without a study.yaml are kept in its folder."""
    from mdsvqa.labeling.material import read_material

    if study.suffix.lower() in (".yaml", ".yml"):
        if said:
            raise InputError(f"{study}: {', '.join(said)}: set it under `labeling:` in the study, not by an option.")
        return read_material(study, out)
    if scheme_of(study) is not None:
        raise InputError(
            f"{place_of(study)}: expected a study.yaml, or a table or folder on this machine; the videos that a table "
            "names may lie in a store."
        )
    if not study.exists():
        raise InputError(f"{study}: is not there; expected a study.yaml, or a folder or table of videos.")
    # A table without settings tells the folder.
    folder = read_material(study, out, LabelingSettings()).folder
    kept = folder / KEPT
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    settings = checked(LabelingSettings, {**before, **said})
    if said:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json_text({**before, **said}, 1).encode())
    return read_material(study, out, settings)


def _prepare(material: "Material", workers: int) -> "Prepared":
    from mdsvqa.labeling.prepare.run import prepare as make

    with terminal.progress() as show:
        return make(material, show, cores(workers))


def _counts(material: "Material", prepared: "Prepared") -> dict[str, Any]:
    roles = {role: len(prepared.of(role)) for role in ("video", "reference", "training", "trap", "anchor")}
    copies = [
        {"id": each.id, "why": each.treatment, "psnr": each.psnr}
        for each in prepared.of("video", "reference")
        if each.treatment != "untouched"
    ]
    said = {"folder": str(material.folder), "stimuli": roles, "copies": copies}
    return {**said, "not_ratable": prepared.left_out, "notes": list(prepared.notes)}


def _server(material: "Material") -> dict[str, Any]:
    from mdsvqa.labeling.web.open_study import SERVER

    path = material.folder / SERVER
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _asked(material: "Material", path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the running server of a study answers; None where none runs."""
    from mdsvqa.labeling.collecting.refusals import Refused

    server = _server(material)
    if not server:
        return None
    headers = {"Content-Type": "application/json", "Origin": server["address"], "X-Token": server["token"]}
    headers["Cookie"] = f"mdsvqa_organiser={server['cookie']}"
    request = urllib.request.Request(server["address"] + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        raise Refused(error.code, json.loads(error.read()).get("error", str(error.code))) from None
    except OSError:
        # It was killed: what it left behind stands for nobody.
        return None


def _changed(material: "Material", change: "Callable[[Connection], Any]") -> Any:
    from mdsvqa.labeling.collecting.database import Store

    store = Store(material.folder)
    try:
        return store.write(change)
    finally:
        store.close()


def _print_prepared(material: "Material", prepared: "Prepared", study: Path) -> None:
    console = Console()
    said = _counts(material, prepared)
    roles = ", ".join(f"{count} {role}" for role, count in said["stimuli"].items() if count)
    console.print(f"{material.folder}: {roles}", soft_wrap=True, highlight=False, markup=False)
    if said["copies"]:
        table = Table(title="Copies for browsers", title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("video", "why", "PSNR, dB"):
            table.add_column(heading, overflow="fold")
        for copy in said["copies"][:20]:
            table.add_row(escape(copy["id"]), copy["why"], "" if copy["psnr"] is None else f"{copy['psnr']:.1f}")
        console.print(table)
    for note in prepared.notes:
        console.print(f"• {note}", soft_wrap=True, highlight=False, markup=False)
    terminal.print_failures(prepared.left_out)
    console.print(f"Next: mdsvqa label serve {study}", soft_wrap=True, highlight=False, markup=False)


def _print_status(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    state = f"ended: {found['ended']}" if found["ended"] else found["enough"] or "open"
    console.print(f"{found['title']} ({found['method']}): {state}", markup=False, soft_wrap=True)
    left = "" if found["hours_left"] is None else f", about {found['hours_left']:.1f} h of voting left"
    console.print(
        f"{found['votes']} of {counted(found['votes_given'], 'vote')} counted; {found['share_reached']:.0%} of the "
        f"videos are narrow enough ({found['wanted_share']:.0%} wanted){left}.",
        soft_wrap=True,
    )
    console.print(f"{counted(found['invited'], 'rater')} invited, {found['opened']} opened their link.")
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("rater", "done", "votes", "correlation", "traps wrong", "disturbed", "flags"):
        table.add_column(heading, overflow="fold")
    for each in found["raters"]:
        if not each["consented"]:
            continue
        excluded = [] if each["excluded"] is None else [f"excluded: {each['excluded']}"]
        correlation = each.get("correlation")
        table.add_row(
            each["rater"],
            f"{each['closed']} of {each['slots']}",
            str(each.get("votes", 0)),
            "" if correlation is None else f"{correlation:.2f}",
            f"{each.get('traps_wrong', 0)} of {each.get('traps', 0)}",
            "" if each.get("disturbed") is None else f"{each['disturbed']:.0%}",
            escape("; ".join([*each["flags"], *excluded])),
        )
    if table.row_count:
        console.print(table)
