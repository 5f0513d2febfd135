"""What a study.yaml may say: the template holds, every refusal names its setting, paths count from the file."""

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mdsvqa.runtime.engines import EngineSettings
from mdsvqa.runtime.settings import ConfigError
from mdsvqa.selection.settings import SelectionSettings, budget_count
from mdsvqa.study.config import StudyConfig, read_study
from mdsvqa.videos.settings import ManifestSettings

TEMPLATE = (files("mdsvqa.study") / "study_template.yaml").read_text(encoding="utf-8")
# "# name: value", and the lines below "# comparison:" that are indented; prose has no single word before a colon.
COMMENTED = re.compile(r"^( *)# ( *[a-z_]+:.*)$")
# Those that do not belong below another commented line.
OUTER = [n for n, line in enumerate(TEMPLATE.splitlines()) if COMMENTED.match(line) and not line.startswith("#   ")]

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def uncommented(text: str) -> str:
    return "\n".join(COMMENTED.sub(r"\1\2", line) for line in text.splitlines())


def test_template(write: Write, tmp_path: Path) -> None:
    config = read_study(write(TEMPLATE))
    assert config.title == "My study"
    assert (config.videos, config.out) == (tmp_path / "manifest.csv", tmp_path / "results")
    assert config.labels == tmp_path / "labels.csv"
    defaults = StudyConfig(videos=Path("v"))
    for part in ("quality", "difficulty", "content", "selection", "finetuning", "comparison", "mos_scale"):
        assert getattr(config, part) == getattr(defaults, part)


def test_template_with_every_comment_removed(write: Write, tmp_path: Path) -> None:
    assert sum(bool(COMMENTED.match(line)) for line in TEMPLATE.splitlines()) == 27
    # Predictions are for a precomputed model only, which the template says in its list of models.
    text = uncommented(TEMPLATE).replace("model: statistical\n", "model: precomputed\n")
    config = read_study(write(text))
    defaults = StudyConfig(videos=Path("v"))
    for name in ("labels_scale", "rounds", "seed", "workers"):
        assert getattr(config, name) == getattr(defaults, name), name
    limits = {"group": "uploader", "most_per_group": 2, "apart": 0.1, "exclude": tmp_path / "gone.csv"}
    assert config.selection == defaults.selection.model_copy(update={"audit": 0.2, **limits})
    assert config.comparison.seeds == defaults.comparison.seeds
    assert config.comparison.rules == ("mds", "core-set", "k-means")
    assert config.rehearsal == defaults.rehearsal.model_copy(update={"minutes": 10.0})
    assert config.manifest == ManifestSettings(id="clip", mos="quality", videos_folder=tmp_path / "videos")
    assert config.mos_scale == {"konvid": "1-5", "live": "DMOS 0-100"}
    assert config.quality.predictions == tmp_path / "predictions.csv"
    assert config.quality.scores_after == tmp_path / "predictions_after_finetuning.csv"
    assert config.quality.features == tmp_path / "features.csv"
    assert config.engine.name == "ray"


@pytest.mark.parametrize("number", OUTER)
def test_template_with_one_comment_removed(number: int, write: Write) -> None:
    lines = TEMPLATE.splitlines()
    below = {"# comparison:": 2, "# rehearsal:": 3}.get(lines[number], 0)
    for place in range(number, number + below + 1):
        lines[place] = uncommented(lines[place])
    text = "\n".join(lines)
    if "predictions:" in lines[number]:
        with pytest.raises(ConfigError, match="`predictions` names a CSV, and goes with `model: precomputed`"):
            read_study(write(text))
        text = text.replace("model: statistical", "model: precomputed")
    if "most_per_group:" in lines[number]:
        with pytest.raises(ConfigError, match="need `group`"):
            read_study(write(text))
        text = text.replace("# group:", "group:")
    read_study(write(text))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("selecton: {rule: mds}", "selecton: there is no such setting; did you mean selection?"),
        ("selection: {rulez: mds}", "selection.rulez: there is no such setting; did you mean rule?"),
        ("budget: 8", "budget: there is no such setting; did you mean budget, indented below selection:?"),
        ("selection: {rule: md}", "selection: there is no rule 'md' (did you mean 'mds'?); expected one of"),
        ("selection: {rule: magic}", "selection: there is no rule 'magic'; expected one of mds, random"),
        ("selection: {lambda: -0.1}", "selection.lambda: expected at least 0, found -0.1"),
        ("rounds: 0", "rounds: expected at least 1, found 0"),
        ("seed: -1", "seed: expected at least 0, found -1"),
        ("difficulty: {folds: 1}", "difficulty.folds"),
        ("comparison: {rules: [mds, best]}", "comparison.rules.1: there is no rule 'best'"),
        ("comparison: {pool_share: 1.5}", "comparison.pool_share"),
        ("quality: {model: precomputed}", "quality: `predictions` names a CSV"),
        ("content: {encoder: clip}", "content.encoder"),
        ("selection: {budget: 0.05}", "selection.budget: budget 0.05 is neither"),
        ("selection: {budget: yes}", "selection.budget: budget True is neither"),
    ],
)
def test_wrong_settings_are_named(text: str, named: str, write: Write) -> None:
    path = write(f"videos: v.csv\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert named in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_all_wrong_settings_at_once(write: Write) -> None:
    with pytest.raises(ConfigError, match="3 settings to correct") as caught:
        read_study(write("rounds: 0\nsead: 1\n"))
    assert "videos: is missing, and has to be set" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1", "just words", "42"])
def test_not_settings(text: str, write: Write) -> None:
    with pytest.raises(ConfigError, match=r"study\.yaml: expected settings such as `videos: manifest\.csv`, found "):
        read_study(write(text))


def test_unreadable(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: there is no such file\. `mdsvqa init`"):
        read_study(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_study(tmp_path)
    with pytest.raises(ConfigError, match=r"study\.yaml, line 1: not valid YAML"):
        read_study(write("videos: [1"))
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_study(write("videos: !!python/object/apply:os.getcwd []"))
    path = write("")
    path.write_bytes(b"title: \xe9\n")
    with pytest.raises(ConfigError, match="is no text"):
        read_study(path)


def test_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "studies" / "one"
    folder.mkdir(parents=True)
    study = {
        "videos": "../all.csv",
        "out": "out",
        "labels": "/elsewhere/labels.csv",
        "quality": {"model": "f.safetensors", "features": "~/features.csv", "scores_after": "after.csv"},
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(study))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    config = read_study(Path("studies/one/s.yaml"))
    assert config.videos == folder / "../all.csv"
    assert config.out == folder / "out"
    assert config.labels == Path("/elsewhere/labels.csv")
    assert config.quality.model == str(folder / "f.safetensors")
    assert config.quality.features == Path("/home/me/features.csv")
    assert config.quality.scores_after == folder / "after.csv"
    assert config.quality.predictions is None


def test_names_of_models_are_no_paths(write: Write) -> None:
    assert read_study(write("videos: v\nquality: {model: 'a.b:C'}")).quality.model == "a.b:C"
    assert read_study(write("videos: v")).labels is None


def test_lambda_by_both_names(write: Write) -> None:
    assert read_study(write("videos: v\nselection: {lambda: 0.25}")).selection.lambda_ == 0.25
    assert read_study(write("videos: v\nselection: {lambda_: 0.25}")).selection.lambda_ == 0.25
    by_name = SelectionSettings(lambda_=0.25)
    assert by_name == SelectionSettings.model_validate({"lambda": 0.25})
    assert by_name.model_dump(by_alias=True)["lambda"] == by_name.model_dump()["lambda_"] == 0.25
    for by_alias in (False, True):
        assert SelectionSettings.model_validate(by_name.model_dump(by_alias=by_alias)) == by_name


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        SelectionSettings().lambda_ = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("budget", "pool", "count"),
    [(64, 400, 64), (64, 30, 30), ("64", 400, 64), ("5%", 400, 20), (" 5 % ", 400, 20), ("2.5%", 1000, 25)]
    + [("1%", 10, 1), ("100%", 7, 7), ("0.1%", 5, 1), ("33%", 10, 3)],
)
def test_budget(budget: int | str, pool: int, count: int) -> None:
    assert budget_count(budget, pool) == count


@pytest.mark.parametrize("budget", [0, -1, "0%", "101%", "-5%", "nan%", "%", "", "five", "0.05", "5%%", "inf%"])
def test_refused_budgets(budget: int | str, write: Write) -> None:
    with pytest.raises(ValueError, match="neither a positive number of videos, such as 64, nor a share") as caught:
        budget_count(budget, 100)
    assert repr(budget) in str(caught.value)
    with pytest.raises(ConfigError, match=r"selection\.budget: budget "):
        read_study(write(yaml.safe_dump({"videos": "v", "selection": {"budget": budget}})))


@settings(deadline=None)
@given(st.integers(1, 10**6) | st.floats(0.001, 100).map(lambda share: f"{share}%"), st.integers(1, 10**5))
def test_budgets_buy_at_least_one_and_at_most_all(budget: int | str, pool: int) -> None:
    assert 1 <= budget_count(budget, pool) <= pool


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rule": st.sampled_from(["mds", "random", "difficulty", "core-set", "k-means"]),
            "budget": st.integers(1, 99),
            "lambda": st.floats(0, 10),
            "scale": st.sampled_from(["standard", "raw"]),
            "ties": st.sampled_from(["id", "random"]),
        },
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, selection: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("s") / "s.yaml"
    path.write_text(yaml.safe_dump({"videos": "v", "selection": selection}))
    expected = SelectionSettings().model_dump(by_alias=True) | selection
    assert read_study(path).selection.model_dump(by_alias=True) == expected


def test_every_path_and_checkpoint_counts_from_the_studys_folder(write: Write, tmp_path: Path) -> None:
    for name in ("base", "adapter", "below", "predictor", "encoder"):
        (tmp_path / name).mkdir()
    text = """
videos: v.csv
out: o
labels: l.csv
quality: {model: base, features: f.csv, scores_after: a.csv, vlm: {adapter: adapter, base_adapter: below}}
difficulty: {adapter: predictor}
content: {encoder: ./encoder}
selection: {about: about.csv, exclude: gone.csv}
"""
    config = read_study(write(text))
    found = [
        *(config.videos, config.out, config.labels, config.quality.features, config.quality.scores_after),
        *(config.quality.model, config.quality.vlm.adapter, config.quality.vlm.base_adapter),
        *(config.difficulty.adapter, config.content.encoder, config.selection.about, config.selection.exclude),
    ]
    names = ["v.csv", "o", "l.csv", "f.csv", "a.csv", "base", "adapter", "below", "predictor", "encoder"]
    assert [str(path) for path in found] == [str(tmp_path / name) for name in [*names, "about.csv", "gone.csv"]]


def test_a_name_of_the_hub_stays_one_and_train_is_no_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    text = """
videos: v.csv
quality: {model: owner/base, vlm: {base_adapter: owner/adapter}}
difficulty: {adapter: train}
"""
    config = read_study(write(text))
    assert (config.quality.model, config.quality.vlm.base_adapter) == ("owner/base", "owner/adapter")
    assert config.difficulty.adapter == "train"


def test_where_work_is_done_is_no_part_of_what_a_study_is(write_study) -> None:
    said = read_study(write_study(engine={"name": "ray", "gpus_per_worker": 0.5, "most": 3}))
    assert (said.engine.name, said.engine.gpus_per_worker, said.engine.most) == ("ray", 0.5, 3)
    assert read_study(write_study(engine="ray")).engine == EngineSettings(name="ray")
    assert said.record() == read_study(write_study()).record()
    assert "engine" not in read_study(write_study()).record(whole=True)
    with pytest.raises(ConfigError, match=r"engine: `gpus_per_worker` is 2.5; expected a share of one GPU"):
        read_study(write_study(engine={"name": "ray", "gpus_per_worker": 2.5}))
