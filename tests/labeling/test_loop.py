"""The loop waits for a rating study, people vote, and the loop goes on with what they said."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from commands import ended, printed
from mdsvqa.labeling.collecting import organiser, raters
from mdsvqa.labeling.collecting.database import FILE, reading
from mdsvqa.labeling.material import read_material
from mdsvqa.labeling.prepare.run import prepare
from mdsvqa.labeling.stimuli import Prepared
from mdsvqa.labeling.web.app import application
from mdsvqa.labeling.web.open_study import open_study
from mdsvqa.runtime.progress import Silent
from mdsvqa.study.config import read_study
from mdsvqa.study.data import pool_labels
from mdsvqa.videos.labels import FIVE_LEVELS, read_labels
from mdsvqa.videos.simulated.corpus import make_corpus
from rating_study import Browser, Clock


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose pool has no MOS."""
    folder = tmp_path_factory.mktemp("loop")
    corpus = make_corpus(folder / "corpus", source=40, pool=20, test=12, seconds=(0.5, 0.7), workers=2)
    with corpus.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["split"] == "pool":
            row["mos"] = row["mos_std"] = row["ratings"] = ""
    with (corpus.parent / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "study.yaml").write_text(
        "videos: corpus/manifest.csv\nout: results\nworkers: 1\nselection: {budget: 8}\n"
        "labeling: {sessions: 1, content: content, stopping: {least_votes: 2}}\n"
    )
    return folder / "study.yaml"


def take_part(browser: Browser, link: str, value: Any) -> int:
    page, votes = browser.to_first_slot(link), 0
    while page["page"] == "slot":
        page = browser.vote(page, value(votes)).json()
        votes += 1
    assert page["page"] == "thanks"
    return votes


def test_a_rating_study_reads_the_manifest_as_the_study_does(tmp_path: Path) -> None:
    (tmp_path / "films" / "below").mkdir(parents=True)
    (tmp_path / "films" / "below" / "a.mp4").touch()
    (tmp_path / "m.csv").write_text("clip,quality\na,\nb,3\n")
    (tmp_path / "study.yaml").write_text("videos: m.csv\nmanifest: {id: clip, mos: quality, videos_folder: films}\n")
    (tmp_path / "results" / "round-1").mkdir(parents=True)
    (tmp_path / "results" / "round-1" / "to_label.csv").write_text("id,path\na,\n")
    (video,) = read_material(tmp_path / "study.yaml").videos
    assert video.path == tmp_path / "films" / "below" / "a.mp4"


def test_run_waits_names_the_command_and_takes_the_labels(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = printed(capsys, "run", study, "--json", code=3)
    assert f"mdsvqa label serve {study}" in json.loads(found)["waiting_for"]["sentence"]
    config = read_study(study)
    material = read_material(study)
    assert material.folder == config.out / "round-1" / "rating"
    assert len(material.videos) == 8
    assert len(material.anchors) == 32
    prepared: Prepared = prepare(material, Silent())
    assert len(prepared.of("training")) == 5
    assert {each.treatment for each in prepared.of("video")} == {"untouched"}
    clock = Clock()
    with open_study(material, prepared) as opened:
        assert opened.password
        running = opened.running
        object.__setattr__(running, "clock", clock)
        links = running.store.write(lambda c: raters.invite(c, 3, 30, 0, clock()))
        app = application(running)
        for number, (_, link) in enumerate(links):
            take_part(Browser(app, clock), link, lambda vote, n=number: (vote + n) % 5 + 1)
        # Not before the study has ended.
        assert ended("label", "export", study) == 0
        assert not (config.out / "round-1" / "labels.csv").exists()
        running.store.write(lambda c: organiser.end(c, True, "by the organiser", clock()))
        running.ending()
    labels = read_labels(config.out / "round-1" / "labels.csv", FIVE_LEVELS)
    assert set(labels.mos) == {video.id for video in material.videos}
    assert all(1 <= mos <= 5 for mos in labels.mos.values())
    found, _ = printed(capsys, "run", study, "--json")
    assert json.loads(found)["waiting_for"] is None
    status = json.loads(printed(capsys, "label", "status", study, "--json")[0])
    assert status["ended"] == "by the organiser"
    assert [rater["votes"] for rater in status["raters"]] == [8, 8, 8]
    exported = material.folder / "export"
    assert {file.name for file in exported.iterdir()} == {
        "videos.csv", "votes.csv", "raters.csv", "study-report.html", "study-report.json",
    }  # fmt: skip
    report = json.loads((exported / "study-report.json").read_text(encoding="utf-8"))
    assert report["votes"]["counted"] == 24
    assert report["stimuli"]["untouched"] == 8
    # What was exported is read by the commands for votes of any origin, with the same result.
    again = json.loads(printed(capsys, "label", "mos", exported / "votes.csv", "--json")[0])
    known = {row["id"]: row["mos"] for row in again["videos"]}
    for video, mos in labels.mos.items():
        assert min(5.0, max(1.0, known[video])) == pytest.approx(mos, abs=1e-9)
    gone = json.loads(printed(capsys, "label", "forget", study, "r002", "--json")[0])["deleted"]
    assert gone["votes"] == len([s for s in status["raters"] if s["rater"] == "r002"]) * status["raters"][1]["closed"]
    with reading(material.folder / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM slots WHERE rater = 2").fetchone()[0] == 0
    assert ended("label", "forget", study, "r002") == 1


def test_labels_of_the_file_go_before_those_of_the_rating_study(study: Path, tmp_path: Path) -> None:
    config = read_study(study)
    place = tmp_path / "round-1"
    place.mkdir()
    (place / "labels.csv").write_text("id,mos\na,2\nb,3\nc,\n")
    (tmp_path / "labels.csv").write_text("id,mos\nb,4\n")

    class Data:
        videos: tuple[()] = ()
        pool: tuple[()] = ()

    merged = config.model_copy(update={"out": tmp_path, "labels": tmp_path / "labels.csv"})
    found = pool_labels(merged, Data())  # type: ignore[arg-type]
    assert dict(found.mos) == {"a": 2.0, "b": 4.0}
    assert found.unratable == {"c"}
    alone = pool_labels(merged.model_copy(update={"labeling": None}), Data())  # type: ignore[arg-type]
    assert dict(alone.mos) == {"b": 4.0}
