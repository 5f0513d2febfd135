"""README.md and docs/: every command line runs, or says why it cannot here; pages build; the README is short."""

import csv
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from commands import ended
from doc_lines import PAGES, REASONS, ROOT, blocks, inline, lines_of
from given_files import give
from mdsvqa.cli.app import app
from mdsvqa.models.settings import LoraSettings
from mdsvqa.models.training.lora import add_lora, save_adapter
from mdsvqa.models.transformers_vision import transformers
from mdsvqa.runtime.environment import SPOOL, SPOOL_RUN
from mdsvqa.study.config import read_study
from object_store import Store, s3_server
from smoke import WITH_EXTRAS, WITHOUT_EXTRAS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EVERY = [line for page in PAGES for line in lines_of(page)]
NAMES = {page: str(page.relative_to(ROOT)) for page in PAGES}
BASE, ADAPTER = "hollow404/VQR1-7B-YouTubeUGC", "hollow404/MDS-VQA-Active-Finetuning"
ENCODER = "google/siglip2-base-patch16-224"
# The pool of the small corpus is watched in seconds.
SMALL = {("--minutes", "90"): "0.1"}
# What each training is cut to.
SHORT = ("--steps", "2", "--batch-size", "8", "--evaluations", "1", "--learning-rate", "0.001")


def context_of(words: Sequence[str]) -> Any:
    """The command that a line names, with what it was given; nothing is called."""
    command, rest = typer.main.get_command(app), list(words[1:])
    context = command.make_context("mdsvqa", rest)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(rest), parent=context)
    return context


def named(words: Sequence[str]) -> tuple[Any, set[str]]:
    """The command or group that begins a line, and the options it has."""
    command = typer.main.get_command(app)
    context = command.make_context("mdsvqa", [], resilient_parsing=True)
    for word in words[1:]:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        command = command.commands[word]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    return command, {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_command_lines_name_commands_and_options_that_there_are(page: Path) -> None:
    for line in lines_of(page):
        if line.words[0] == "mdsvqa" and len(line.words) > 1 and not line.words[1].startswith("--"):
            context_of(line.words)
        if "-m" in line.words[:-1] and line.words[line.words.index("-m") + 1] == "mdsvqa":
            context_of(line.words[line.words.index("mdsvqa") :])
    for words in inline(page):
        _, options = named(words)
        asked = {word for word in words if word.startswith("-") and word != "-"}
        assert asked <= {*options, "--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_commands_stand_in_blocks_that_are_run_and_others_say_why_not(page: Path) -> None:
    for needs, language, text in blocks(page):
        assert language, f"a block without a language: {text[:60]!r}"
        assert set(needs.split(", ")) <= REASONS if needs else True, needs
        if language != "bash":
            assert not re.search(r"^(\.venv/bin/)?(mdsvqa|pip|make|git) ", text, re.MULTILINE), text


def test_few_command_lines_are_not_run() -> None:
    own = [line for line in EVERY if line.words[0] == "mdsvqa"]
    marked = [line for line in own if line.needs]
    assert len(own) > 40
    assert len(marked) <= 7, [" ".join(line.words) for line in marked]
    # Nothing else is left unmarked: only mdsvqa is run here.
    assert all(line.needs for line in EVERY if line.words[0] != "mdsvqa")


@pytest.mark.parametrize("line", [line for _, line in (*WITHOUT_EXTRAS, *WITH_EXTRAS) if not line.startswith("--")])
def test_lines_of_the_smoke_test_parse(line: str) -> None:
    context_of(["mdsvqa", *line.split()])


def test_other_programs_are_asked_for_what_there_is() -> None:
    for line in EVERY:
        program, *words = line.words
        if program == "make":
            subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)
        for extras in re.findall(r"\.\[(\w+)\]", " ".join(words)):
            assert extras in PROJECT["optional-dependencies"]
        if program == "accelerate":
            assert (ROOT / words[words.index("--config_file") + 1]).is_file()


class Rater:
    """Does what the pages leave to people, between two commands."""

    def __init__(self, folder: Path, mos: dict[str, float]) -> None:
        self.folder, self.mos = folder, mos

    def fill_labels(self) -> None:
        """The ratings that a run waits for."""
        with (self.folder / "results" / "round-1" / "to_label.csv").open(encoding="utf-8") as file:
            wanted = [row["id"] for row in csv.DictReader(file)]
        text = "id,mos\n" + "".join(f"{video},{self.mos[video]}\n" for video in wanted)
        (self.folder / "labels.csv").write_text(text)

    def fill_preferences(self) -> None:
        """The pairs that a gMAD competition asks about: the left video is better, or both are equal."""
        with (self.folder / "gmad" / "to_rate.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with (self.folder / "filled_in.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows({**row, "preference": ("left", "equal")[k % 2]} for k, row in enumerate(rows))


@pytest.fixture(scope="session")
def given(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A folder with every file and folder that the pages name as one's own, and the MOS of all videos."""
    folder = tmp_path_factory.mktemp("given")
    mos = give(folder, small_corpus)
    # Results of steps that a page takes for done.
    videos, scores = folder / "videos.csv", folder / "scores"
    assert ended("score", videos, "--out", scores) == 0
    assert ended("content", videos, "--out", folder / "content") == 0
    assert ended("difficulty", "predict", videos, "--scores", scores, "--out", folder / "difficulty") == 0
    return folder, mos


@pytest.fixture(scope="session")
def checkpoints(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny checkpoints of the same classes by the names that the pages give."""
    adapter, encoder = tmp_path_factory.mktemp("adapter"), tmp_path_factory.mktemp("encoder")
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_vlm)
    save_adapter(add_lora(model, LoraSettings(rank=4, alpha=8), 0), adapter, str(tiny_vlm))
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**size, "vocab_size": 50, "max_position_embeddings": 8}
    config = transformers.SiglipConfig(text_config=text, vision_config={**size, "image_size": 32, "patch_size": 8})
    transformers.SiglipModel(config).save_pretrained(encoder)
    transformers.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(encoder)
    return {BASE: str(tiny_vlm), ADAPTER: str(adapter), ENCODER: str(encoder)}


@pytest.fixture
def in_store(given: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The folder of videos and a manifest of them in a bucket, for pages that name one."""
    for name in (SPOOL, SPOOL_RUN):
        # Set first, so that what --spool leaves goes with it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with s3_server(monkeypatch) as store:
        store.fill(given[0] / "FOLDER", "clips/")
        names = sorted(path.name for path in (given[0] / "FOLDER").iterdir())
        store.put("videos.csv", "".join(["path\n", *(f"clips/{name}\n" for name in names)]).encode())
        yield store


def lay(given: Path, folder: Path, words: Sequence[str]) -> None:
    """Puts the files that a line names into the folder it runs in."""
    for before, word in zip(["", *words[:-1]], words, strict=True):
        if before == "--out":
            continue
        name = word.split(":")[0].rstrip("/")
        here = given / name
        if name and "/" not in name and here.exists() and not (folder / name).exists():
            # A study counts paths from its own folder.
            (shutil.copy if here.is_file() else os.symlink)(here, folder / name)
    if "study.yaml" in words:
        shutil.copy(given / "two.csv", folder)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(not line.needs for line in lines_of(page))], ids=NAMES.get
)
def test_every_command_line_of_a_page_runs(
    page: Path,
    given: tuple[Path, dict[str, float]],
    checkpoints: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rater = Rater(tmp_path, given[1])
    run = [line for line in lines_of(page) if not line.needs]
    if any(word.startswith("s3://") for line in run for word in line.words):
        request.getfixturevalue("in_store")
    for line in run:
        words = list(line.words[1:])
        if words[0] == "init":
            lay(given[0], tmp_path, ["manifest.csv"])
        lay(given[0], tmp_path, words)
        trains = (words[0] == "finetune" and BASE in words) or words[:2] == ["difficulty", "train"]
        pairs = zip(["", *words[:-1]], words, strict=True)
        words = [SMALL.get(pair, checkpoints.get(pair[1], pair[1])) for pair in pairs] + [*SHORT] * trains
        wanted = 3 if "exit code 3" in line.comment else 0
        assert ended(*words) == wanted, " ".join(line.words)
        if wanted == 3:
            rater.fill_labels()
        if words[:2] == ["gmad", "pairs"] and line.page.name == "gmad.md":
            rater.fill_preferences()


def test_the_readme_is_short() -> None:
    # Code, addresses and all.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 700


def test_addresses_of_the_readme_are_whole_and_lead_to_files() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = PROJECT["urls"]
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for link in links)
    raw = urls["Repository"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    for link in links:
        for start in (raw, f"{urls['Repository']}/blob/main/", f"{urls['Repository']}/tree/main/"):
            if link.startswith(start):
                assert (ROOT / link.removeprefix(start)).exists(), link
        if link.startswith(urls["Documentation"]) and link != urls["Documentation"]:
            assert (ROOT / "docs" / f"{link.removeprefix(urls['Documentation']).strip('/')}.md").is_file(), link
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert (site["site_url"], site["repo_url"]) == (urls["Documentation"], urls["Repository"])


def test_settings_of_the_pages_are_settings(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("id,score\n")
    for page in PAGES:
        for _, language, text in blocks(page):
            if language == "yaml" and page.name != "CONTRIBUTING.md":
                (tmp_path / "study.yaml").write_text("videos: manifest.csv\n" + text)
                read_study(tmp_path / "study.yaml")
            if language == "python":
                compile(text, str(page), "exec")
