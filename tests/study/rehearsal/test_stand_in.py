"""The rehearsal of a vision-language model: a head on its embeddings."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from mdsvqa.runtime.progress import Silent
from mdsvqa.selection.catalogue import RULES
from mdsvqa.study.config import read_study
from mdsvqa.study.rehearsal import pseudo_targets
from mdsvqa.study.rehearsal.run import load_rehearsal, rehearse_study


def test_a_head_on_embeddings(
    write_study: Callable[..., Path],
    small_corpus: Path,
    tiny_vlm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pseudo_targets, "FEWEST", 8)
    # Half of the source in each of two data sets, by the videos' places in the manifest.
    rows = list(csv.DictReader(small_corpus.open()))
    about = tmp_path / "about.csv"
    with about.open("w") as file:
        csv.writer(file).writerows([["id", "category"], *([row["id"], "ab"[i % 2]] for i, row in enumerate(rows))])
    study = write_study(
        quality={"model": str(tiny_vlm), "vlm": {"frames": 4, "reading": "expected", "device": "cpu"}},
        difficulty={"committee": 4, "folds": 2},
        rehearsal={"targets": "category", "repeats": 2},
        selection={"budget": 3, "about": str(about)},
    )
    config = read_study(study)
    found = rehearse_study(config, Silent())
    assert "frozen embeddings" in found.proxy
    assert {each.rule for each in found.answer.standings} == {*RULES} - {"random", "committee"}
    assert load_rehearsal(config) == found
