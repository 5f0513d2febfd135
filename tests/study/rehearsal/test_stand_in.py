"""The rehearsal of a vision-language model: a head on its embeddings, and itself fine-tuned on a pseudo-target."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from mdsvqa.models.training import training_set
from mdsvqa.runtime.progress import Silent
from mdsvqa.selection.catalogue import RULES
from mdsvqa.study.config import read_study
from mdsvqa.study.rehearsal import pseudo_targets
from mdsvqa.study.rehearsal.run import load_rehearsal, rehearse_study


def test_a_head_on_embeddings_and_the_model_itself(
    write_study: Callable[..., Path], tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudo_targets, "FEWEST", 8)
    monkeypatch.setattr(training_set, "LEAST_TO_HOLD_OUT", 5)
    monkeypatch.setattr(training_set, "FEWEST", 1)
    study = write_study(
        quality={"model": str(tiny_vlm), "vlm": {"frames": 4, "reading": "expected", "device": "cpu"}},
        difficulty={"committee": 4, "folds": 2},
        finetuning={"vlm": {"steps": 2, "evaluations": 1, "learning_rate": 1e-3, "watched": 1, "batch_size": 4}},
        rehearsal={"targets": "clusters", "clusters": 2, "repeats": 2, "real": 1},
        selection={"budget": 3},
    )
    config = read_study(study)
    found = rehearse_study(config, Silent())
    assert "frozen embeddings" in found.proxy
    assert {each.contender for each in found.answer.standings} == {*RULES} - {"random", "committee"}
    assert {result.contender for result in found.real} == {"base", "random", found.answer.leader}
    assert len({result.target for result in found.real}) == 1
    assert all(-1 <= result.srcc <= 1 for result in found.real)
    assert any("The model itself" in note for note in found.notes())
    assert load_rehearsal(config) == found
