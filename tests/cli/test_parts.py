"""Parts of a pool by a vision-language model: scores and difficulty, joined, are those of an undivided run."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from commands import printed
from mdsvqa.runtime.results import made_by, read_table
from mdsvqa.videos.manifest import load_videos
from mdsvqa.videos.roles import in_role

SMALL = ("--frames", 1, "--workers", 1, "--device", "cpu")


@pytest.mark.parametrize("command", ["score", "difficulty"])
def test_parts_by_a_model(
    command: str, tiny_vlm: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--limit", 12) if command == "score" else ()
    more = ("--read", "expected") if command == "score" else ("--rule", "noise-stability", "--passes", 2)
    line = (command, small_corpus, "--model", tiny_vlm, *SMALL, *few, *more)
    printed(capsys, *line, "--out", tmp_path / "whole")
    for number in (1, 2, 3):
        printed(capsys, *line, "--out", tmp_path / "parts", "--part", f"{number}/3", "--mirror", tmp_path / "mirror")
    videos = load_videos(small_corpus)
    wanted = [video.id for video in (videos[:12] if few else in_role(videos, "pool"))]
    manifest = small_corpus
    if few:
        manifest = small_corpus.with_name("few.csv")
        manifest.write_text("\n".join(small_corpus.read_text().splitlines()[:13]) + "\n")
    name = "score" if command == "score" else "difficulty"
    for place in ("parts", "mirror"):
        printed(capsys, "merge", tmp_path / place, "--order-of", manifest, "--out", tmp_path / f"{place}-all")
        found, whole = read_table(tmp_path / f"{place}-all"), read_table(tmp_path / "whole")
        assert found["id"].to_pylist() == whole["id"].to_pylist() == wanted
        assert made_by(tmp_path / f"{place}-all") == made_by(tmp_path / "whole")
        assert found["status"].equals(whole["status"])
        # Batches are cut from other videos.
        numbers = [table[name].to_numpy(zero_copy_only=False).astype(np.float64) for table in (found, whole)]
        np.testing.assert_allclose(*numbers, atol=1e-4)
        if command == "difficulty":
            assert read_table(tmp_path / f"{place}-all" / "readings")["id"].to_pylist() == wanted
