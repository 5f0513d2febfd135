"""`mdsvqa content`."""

from typing import Annotated

import typer

from mdsvqa.cli.options import (
    AsJson,
    Limit,
    Out,
    Overwrite,
    Strict,
    Videos,
    Workers,
    finish_table,
    rows_of,
    with_settings,
)
from mdsvqa.cli.printing import study as terminal
from mdsvqa.models.encoders.encoding import encode_content
from mdsvqa.models.settings import HANDCRAFTED, ContentSettings
from mdsvqa.runtime.run import Run
from mdsvqa.runtime.workers import cores
from mdsvqa.videos.manifest import load_videos

CHECKPOINT = "Encoders that are checkpoints"


@with_settings("settings", ContentSettings, panels={CHECKPOINT: ("batch_size", "device", "dtype")})
def content(
    videos: Videos,
    out: Out,
    settings: ContentSettings,
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help=ContentSettings.model_fields["encoder"].description)
    ] = HANDCRAFTED,
    limit: Limit = None,
    workers: Workers = 0,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Encode what videos show, for diversity.

    The embedded encoder tells scenes apart, not meanings. For real pools name a checkpoint, for example:

    mdsvqa content FOLDER --encoder google/siglip2-base-patch16-224 --out content/
    """
    listed = load_videos(videos, note=terminal.say)[:limit]
    with terminal.progress() as show:
        table = encode_content(listed, settings, Run(out, show, cores(workers), overwrite=overwrite))
    finish_table("encoded", rows_of(listed, table), out, strict, as_json, settings.view())
