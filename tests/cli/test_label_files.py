"""Commands on label files as others write them: options name their columns and where their videos are."""

import csv
import json
from pathlib import Path

import pytest
from openpyxl import Workbook

from commands import printed
from mdsvqa.runtime.results import read_table
from mdsvqa.study.config import read_study
from mdsvqa.study.data import StudyData, pool_labels
from mdsvqa.videos.manifest import read_videos


def corpus_rows(small_corpus: Path) -> list[dict[str, str]]:
    with small_corpus.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_content_of_a_list_in_excel(small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = Workbook()
    book.active.append(["clip", "quality"])
    rows = corpus_rows(small_corpus)[:2]
    for row in rows:
        book.active.append([Path(row["path"]).stem, 3])
    book.save(tmp_path / "labels.xlsx")
    command = ("content", tmp_path / "labels.xlsx", "--out", tmp_path / "content", "--json", "--workers", 1)
    options = ("--id", "clip", "--mos", "quality", "--videos-folder", small_corpus.parent)
    out, _ = printed(capsys, *command, *options)
    assert json.loads(out)["ok"] == 2
    assert read_table(tmp_path / "content")["id"].to_pylist() == [Path(row["path"]).stem for row in rows]
    assert "has no column 'id'; found clip, quality. Name the column of the ids: --id" in printed(
        capsys, *command, code=1
    )[1].replace("\n", " ")


def test_evaluate_a_table_of_european_excel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [(1.5, 1.25), (2, 2.5), (3.25, 3), (4, 4.5), (4.75, 4.25), (2.5, 2)]
    lines = [f"clip {i};{a};{b}".replace(".", ",") for i, (a, b) in enumerate(pairs)]
    (tmp_path / "t.csv").write_bytes("\r\n".join(["sep=;", "Clip;MOS;Score", *lines, ""]).encode("utf-16"))
    found = json.loads(printed(capsys, "evaluate", tmp_path / "t.csv", "--draws", 20, "--json")[0])
    points = "\n".join(["id,mos,score", *(f"clip {i},{a},{b}" for i, (a, b) in enumerate(pairs)), ""])
    (tmp_path / "p.csv").write_text(points)
    assert json.loads(printed(capsys, "evaluate", tmp_path / "p.csv", "--draws", 20, "--json")[0]) == found
    (tmp_path / "only.csv").write_text("id\n" + "".join(f"clip {i}\n" for i in range(5)))
    only = ("--only", tmp_path / "only.csv", "--draws", 20, "--json")
    assert json.loads(printed(capsys, "evaluate", tmp_path / "t.csv", *only, "--id", "clip")[0])["n"] == 5
    assert "has no column 'id'" in printed(capsys, "evaluate", tmp_path / "t.csv", *only, code=1)[1]


def test_a_study_names_its_columns_and_a_sheet_of_labels(small_corpus: Path, tmp_path: Path) -> None:
    rows = corpus_rows(small_corpus)
    lines = [f"{row['id']},{row['split']},{'' if row['split'] == 'pool' else row['mos']}" for row in rows]
    (tmp_path / "list.csv").write_text("\n".join(["Clip,split,Quality", *lines]) + "\n")
    pool = [row["id"] for row in rows if row["split"] == "pool"]
    book = Workbook()
    book.active.append(["id", "mos"])
    sheet = book.create_sheet("round 1")
    for row in (["id", "mos"], [f" {pool[0]}", 75], [pool[1], "n/a"]):
        sheet.append(row)
    book.save(tmp_path / "labels.xlsx")
    (tmp_path / "study.yaml").write_text(
        "videos: list.csv\nmanifest: {id: clip, mos: quality, videos_folder: videos}\nlabels: labels.xlsx:round 1\n"
        "labels_scale: 0-100\n"
    )
    config = read_study(tmp_path / "study.yaml")
    assert config.manifest.videos_folder == tmp_path / "videos"
    videos = read_videos(config.videos, config.mos_scale, config.manifest)
    assert [video.id for video in videos] == [row["id"] for row in rows]
    assert [video.mos is None for video in videos] == [row["split"] == "pool" for row in rows]
    material = StudyData.of_videos(videos, None, None)  # type: ignore[arg-type]
    found = pool_labels(config, material)
    assert found.mos == {pool[0]: 4.0}
    assert found.unratable == {pool[1]}
    # Studies that are read as before are the same as before.
    (tmp_path / "study.yaml").write_text("videos: list.csv\n")
    assert "manifest" not in read_study(tmp_path / "study.yaml").record(whole=True)
