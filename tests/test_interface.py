"""The package's interface: what `import mdsvqa` offers, what it costs, and the notebook that shows it."""

import ast
import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy.stats import spearmanr

import mdsvqa as mv
from mdsvqa.cli.app import COMMANDS, PANELS
from mdsvqa.models.base import Score

ROOT = Path(mv.__file__).parents[2]
HEAVY = ("torch", "sklearn", "scipy", "cv2", "av", "pandas", "pyarrow", "pydantic", "transformers")
FUNCTIONS = [
    "read_videos",
    "load_model",
    "score",
    "encode",
    "predict_difficulty",
    "select",
    "finetune",
    "evaluate",
    "compare",
    "evaluate_difficulty",
    "run",
    "rehearse",
    "write_report",
]


def imported(code: str) -> set[str]:
    """What a fresh interpreter has imported after a piece of code, by top-level name."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_imports_nobody_else_s() -> None:
    before = imported("pass")
    assert imported("import mdsvqa") - before - set(sys.stdlib_module_names) == {"mdsvqa"}


def test_help_imports_nothing_heavy() -> None:
    run = "from mdsvqa.cli import app\nsys.argv = ['mdsvqa', '--help']"
    help_ = f"{run}\ntry:\n    app.run()\nexcept SystemExit:\n    pass"
    assert not imported(help_) & set(HEAVY)


def test_a_worker_that_decodes_imports_only_what_decodes() -> None:
    found = imported("from multiprocessing import *\nimport mdsvqa.videos.decoding, mdsvqa.runtime.workers")
    assert {"av", "cv2", "numpy"} <= found
    assert not found & {"torch", "sklearn", "scipy", "pandas", "pyarrow", "pydantic", "transformers", "rich"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(importlib.import_module(f"mdsvqa.cli.{module}"), attribute)
    told = command.info.help if isinstance(command, typer.Typer) else command.__doc__
    first = " ".join(str(told).strip().split("\n\n")[0].split())
    assert first.startswith(COMMANDS[name].help)
    assert sum(name in panel for panel in PANELS.values()) == 1


def test_every_name_of_the_interface_is_there_and_documented() -> None:
    assert set(FUNCTIONS) <= set(mv.__all__)
    assert set(mv.__all__) <= set(dir(mv))
    for name in mv.__all__:
        assert getattr(mv, name).__doc__
    with pytest.raises(AttributeError, match="nothing"):
        mv.nothing  # noqa: B018


def test_the_loop_by_functions_is_the_loop_by_commands(small_corpus: Path, tmp_path: Path) -> None:
    everyone = mv.read_videos(str(small_corpus))
    hidden = {video.id: video.mos for video in everyone if video.split == "pool"}
    videos = [replace(video, mos=None) if video.split == "pool" else video for video in everyone]
    scores = mv.score(videos, workers=1)
    assert scores.to_frame()["score"].between(1, 5).all()
    assert "<table>" in scores._repr_html_()
    difficulty = mv.predict_difficulty("statistical", videos, scores)
    pool = [video for video in videos if video.split == "pool"]
    content = mv.encode(pool, workers=1)
    chosen = mv.select(difficulty, content, budget=5, rule="mds", lambda_=3.0, out=tmp_path / "selection")
    assert len(set(chosen.ids)) == 5
    assert chosen.ids == [row["id"] for row in mv.select(difficulty, content, budget=5, rule="mds", lambda_=3.0).rows()]
    by_hand = mv.select(difficulty.by_id("difficulty"), budget=3, rule="difficulty")
    values = difficulty.by_id("difficulty")
    assert by_hand.ids == sorted(values, key=lambda video: -values[video])[:3]
    better = mv.finetune("statistical", videos, {video: hidden[video] for video in chosen.ids}, scores=scores)
    assert (better.source, better.new) == (sum(video.split == "train" for video in videos), 5)
    test = [video for video in videos if video.split == "test" and video.mos is not None]
    after = mv.score(test, better.model, workers=1)
    known = after.by_id("score")
    expected = spearmanr([known[v.id] for v in test], [v.mos for v in test]).statistic
    target = [video for video in test if video.dataset == "simulated-target"]
    one = mv.evaluate(after, target, draws=10)
    assert one.overall.srcc.value == pytest.approx(
        spearmanr([known[v.id] for v in target], [v.mos for v in target]).statistic
    )
    assert mv.evaluate(
        [known[v.id] for v in test], [v.mos for v in test], draws=10
    ).overall.srcc.value == pytest.approx(expected)
    versus = mv.compare({"f": scores, "tuned": after}, target, draws=10)
    assert versus.to_frame().loc[0, "videos"] == len(target)
    failing = mv.evaluate_difficulty(values, scores, hidden, k=4, draws=10)
    assert (failing.n, failing.k) == (len(hidden), 4)
    with pytest.raises(mv.InputError, match="by id"):
        mv.evaluate([1.0] * 9, hidden)


class Bright:
    """Scores by brightness."""

    def score(self, clips):
        return [Score(clip.id, float(np.clip(clip.frames.mean() / 64 + 1, 1, 5))) for clip in clips]


def test_a_class_and_a_folder_of_results(small_corpus: Path, tmp_path: Path) -> None:
    videos = mv.read_videos(small_corpus)[:6]
    model = mv.load_model(f"{__name__}:Bright") if __name__ in sys.modules else None
    if model is None:
        sys.modules["bright"] = sys.modules.get("bright") or type(sys)("bright")
        sys.modules["bright"].Bright = Bright
        model = mv.load_model("bright:Bright")
    first = mv.score(videos, model, out=tmp_path / "scores", workers=1)
    again = mv.score(videos, model, out=str(tmp_path / "scores"), workers=1)
    assert first.rows() == again.rows()
    assert first.folder == tmp_path / "scores"
    with pytest.raises(mv.InputError):
        mv.load_model("nobody.model:Class")


def test_a_study_from_a_notebook(write_study, tmp_path: Path) -> None:
    result = mv.run(write_study())
    page = mv.write_report(result)
    assert page.is_file()
    assert len(result.to_frame()) == 4


@pytest.mark.parametrize("notebook", sorted((ROOT / "docs").glob("*.ipynb")), ids=lambda path: path.name)
def test_the_notebook_of_the_docs_runs_and_shows_pictures(notebook: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    kept = nbformat.read(notebook, as_version=4)
    pictures = [o for cell in kept.cells for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 2
    done = nbclient.NotebookClient(kept, timeout=None, kernel_name="python3").execute(cwd=str(tmp_path))
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    for cell in code:
        ast.parse(cell.source)
