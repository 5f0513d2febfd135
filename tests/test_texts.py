"""Docs and templates say what the code has."""

from pathlib import Path

import pytest
import yaml

from mdsvqa.runtime.settings import Settings
from mdsvqa.study.config import StudyConfig, read_study
from texts import PACKAGE, PARTS, made


@pytest.mark.parametrize(("path", "before", "behind", "text"), PARTS, ids=[part[3].__name__ for part in PARTS])
def test_texts_that_are_made_from_the_code_are_up_to_date(path, before, behind, text) -> None:
    assert path.read_text(encoding="utf-8") == made(path, before, behind, text()), "run make texts"


def defaults(kind: type[Settings]) -> dict:
    """Every setting with its default, groups within it too."""
    found = {}
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found[field.alias or name] = defaults(field.annotation)
        elif not field.is_required():
            value = field.get_default(call_default_factory=True)
            plain = list(value) if isinstance(value, tuple) else value
            found[field.alias or name] = str(plain) if isinstance(plain, Path) else plain
    return found


def test_a_study_with_every_setting_at_its_default_is_the_study_without_them(tmp_path) -> None:
    (tmp_path / "short.yaml").write_text("videos: manifest.csv\n")
    every = {**defaults(StudyConfig), "videos": "manifest.csv"}
    # A group that is named without a value is wanted with its defaults.
    del every["labeling"]
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(every))
    long, short = (read_study(tmp_path / name) for name in ("long.yaml", "short.yaml"))
    assert long.model_dump() == short.model_dump()


def test_the_template_loads_as_it_is_and_with_its_examples(tmp_path) -> None:
    template = (PACKAGE / "study" / "study_template.yaml").read_text(encoding="utf-8")
    (tmp_path / "study.yaml").write_text(template)
    assert read_study(tmp_path / "study.yaml").title == "My study"
