"""`mdsvqa content`."""

from typing import Annotated, Any

import typer

import mdsvqa
from mdsvqa.cli.options import (
    MANIFEST,
    WHERE,
    Limit,
    MirrorTo,
    Out,
    Overwrite,
    PartOf,
    Strict,
    Videos,
    Workers,
    finish_table,
    of_part,
    rows_of,
    with_settings,
    with_spool,
)
from mdsvqa.cli.plain import AsJson
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.settings import HANDCRAFTED, ContentSettings
from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.videos.files import check_files
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.settings import ManifestSettings

CHECKPOINT = "Encoders that are checkpoints"


@with_spool
@with_settings("manifest", ManifestSettings, panel=MANIFEST)
@with_settings("settings", ContentSettings, panels={CHECKPOINT: ("batch_size", "device", "dtype")})
@with_settings("engine", EngineSettings, panel=WHERE)
def content(
    videos: Videos,
    out: Out,
    settings: ContentSettings,
    manifest: ManifestSettings,
    engine: EngineSettings,
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help=ContentSettings.model_fields["encoder"].description)
    ] = HANDCRAFTED,
    limit: Limit = None,
    workers: Workers = 0,
    part: PartOf = None,
    mirror: MirrorTo = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Encode what videos show, for diversity.

    The embedded encoder tells scenes apart, not meanings. For real pools name a checkpoint, for example:

    mdsvqa content FOLDER --encoder google/siglip2-base-patch16-224 --out content/
    """
    listed = load_videos(videos, videos_folder=manifest.videos_folder, names=manifest.names, note=terminal.say)[:limit]
    with terminal.progress() as show:
        check_files(videos, of_part(part, listed), show)
        options: dict[str, Any] = {"workers": workers, "overwrite": overwrite, "engine": engine}
        options |= {"part": part, "mirror": mirror}
        found = mdsvqa.encode(listed, out=out, settings=settings, show=show, **options)
    finish_table("encoded", rows_of(listed, found.table), found.folder, strict, as_json, settings.view())
