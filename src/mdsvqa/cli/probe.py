"""`mdsvqa probe`."""

from collections.abc import Sequence
from typing import Any

import typer

from mdsvqa.cli.options import UNDECODABLE, Limit, Strict, Videos, Workers, with_spool
from mdsvqa.cli.plain import AsJson, print_json
from mdsvqa.cli.printing import study as terminal
from mdsvqa.cli.printing.probe import print_probe
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.about import unusual
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.probe_table import probe_rows


@with_spool
def probe(
    videos: Videos, limit: Limit = None, workers: Workers = 0, strict: Strict = False, as_json: AsJson = False
) -> None:
    """Show what the files of videos are, and count what is unusual: HDR, interlaced, pixels that are not square.

    The columns transfer, primaries, range, sar, interlaced and rotation are those of score and feature tables.
    """
    listed = load_videos(videos, note=terminal.say)[:limit]
    rows: list[dict[str, Any]] = []
    with terminal.progress() as show:
        for done, row in enumerate(probe_rows(listed, cores(workers)), 1):
            rows.append(row)
            show.progress("Probing", done, len(listed))
    found = _counted(rows)
    failures = {row["id"]: row["text"] for row in rows if row["status"] != "ok"}
    if as_json:
        print_json({"videos": len(rows), "ok": len(rows) - len(failures), "unusual": found, "rows": rows})
    else:
        print_probe(rows, found)
    terminal.print_failures(failures)
    if strict and failures:
        raise typer.Exit(UNDECODABLE)


def _counted(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    found = unusual(rows)
    formats = [row["pix_fmt"] or "" for row in rows if row["status"] == "ok"]
    alpha = sum(name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya", "pal8")) for name in formats)
    return found | ({"transparent": alpha} if alpha else {})
