"""`mdsvqa select` on files: limits, the audit, budgets in time, and why a video was chosen."""

import json
from pathlib import Path

import numpy as np
import pytest

from mdsvqa.cli.app import app
from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.results import ResultTable, content_schema, read_table
from mdsvqa.selection.distances.chamfer import chamfer_distance
from mdsvqa.selection.distances.stored import open_content
from mdsvqa.selection.settings import SelectionSettings
from mdsvqa.study.steps import candidates, choose

VIDEOS = 60


def frames_of(index: int) -> np.ndarray:
    rng = np.random.default_rng(index)
    frames = rng.normal(size=(1 + index % 3, 8))
    return (frames / np.linalg.norm(frames, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Difficulties with uploaders and lengths; video 1 is the same as video 0, 59 has no frames, 58 no difficulty."""
    rng = np.random.default_rng(0)
    difficulty = [f"{value:.3f}" for value in rng.uniform(1, 5, VIDEOS)]
    difficulty[0], difficulty[1], difficulty[58] = "5.5", "5.4", ""
    rows = [f"v{i:02d},{difficulty[i]},up{i % 7},{5 + i % 10}" for i in range(VIDEOS)]
    path = tmp_path / "difficulty.csv"
    path.write_text("\n".join(["id,difficulty,uploader,seconds", *rows]) + "\n")
    with ResultTable(tmp_path / "content", content_schema(8), {"step": "content"}) as content:
        for first in range(0, VIDEOS, 25):
            ids = range(first, min(first + 25, VIDEOS))
            content.append(
                [{"id": f"v{i:02d}", "frames": list(frames_of(max(i, 2) - 2)), "status": "ok"} for i in ids if i != 59]
                + [{"id": "v59", "frames": [], "status": "undecodable", "text": "empty"} for i in ids if i == 59]
            )
    return path


def run(capsys: pytest.CaptureFixture[str], table: Path, *options: object, code: int = 0) -> tuple[str, str]:
    arguments = ["select", str(table), "--content", str(table.parent / "content"), *map(str, options)]
    try:
        app(arguments, standalone_mode=False)
        found = 0
    except InputError as error:
        found, text = 1, str(error)
        assert code == 1, text
        return "", text
    assert found == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def chosen(capsys: pytest.CaptureFixture[str], table: Path, *options: object) -> list[str]:
    return json.loads(run(capsys, table, *options, "--json")[0])["selected"]


@pytest.mark.parametrize("most", [1 << 30, 1])
def test_content_is_read_or_mapped(table: Path, most: int) -> None:
    for _ in range(2):
        ids, content = open_content(table.parent / "content", most)
        assert ids == [f"v{i:02d}" for i in range(59)]
        assert isinstance(content.frames, np.memmap) == (most == 1)
        for index in (0, 30, 58):
            np.testing.assert_array_equal(content.of(index), frames_of(max(index, 2) - 2))
    if most == 1:
        # The table grows: the file of before goes.
        with ResultTable(table.parent / "content", content_schema(8), {"step": "content"}) as more:
            more.append([{"id": "new", "frames": list(frames_of(3)), "status": "ok"}])
        ids, content = open_content(table.parent / "content", most)
        assert ids[-1] == "new"
        assert len(list((table.parent / "content").glob("_frames-*"))) == 1


def test_budgets(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(chosen(capsys, table, "--budget", "10%")) == 6
    seconds = {f"v{i:02d}": 5 + i % 10 for i in range(VIDEOS)}
    for rule in ("mds", "random", "k-means", "core-set", "difficulty"):
        picked = chosen(capsys, table, "--minutes", 1.5, "--rule", rule)
        spent = sum(seconds[video] for video in picked)
        # Nothing that is left would still fit.
        assert spent <= 90 < spent + min(seconds[video] for video in seconds if video not in picked)


def test_limits(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = {f"v{i:02d}": i % 7 for i in range(VIDEOS)}
    picked = chosen(capsys, table, "--budget", 14, "--group", "uploader", "--most-per-group", 2)
    assert np.bincount([group[video] for video in picked]).tolist() == [2] * 7
    picked = chosen(capsys, table, "--budget", 9, "--group", "uploader", "--least-per-group", 1, "--rule", "difficulty")
    assert set(map(group.get, picked)) == set(range(7))
    assert "v01" in chosen(capsys, table, "--budget", 20, "--rule", "mds", "--lambda", 0)
    picked = chosen(capsys, table, "--budget", 20, "--lambda", 0, "--apart", 0.1)
    assert "v00" in picked
    assert "v01" not in picked
    distances = [
        chamfer_distance(frames_of(max(int(a[1:]), 2) - 2), frames_of(max(int(b[1:]), 2) - 2))
        for i, a in enumerate(picked)
        for b in picked[:i]
    ]
    assert min(distances) >= 0.1
    (table.parent / "gone.csv").write_text("id\nv00\n")
    assert "v00" not in chosen(capsys, table, "--budget", 20, "--exclude", table.parent / "gone.csv")


def test_labeled_videos_count_for_diversity(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table.parent / "labeled.csv").write_text("id\nv00\nelsewhere\n")
    picked = chosen(
        capsys, table, "--budget", 3, "--labeled", table.parent / "labeled.csv", "--rule", "mds", "--lambda", 100
    )
    settings = SelectionSettings(**{"lambda": 100.0}, budget=1)
    given = candidates(table, "difficulty", table.parent / "content", settings, ["v00"])
    z = (given.difficulty - given.difficulty.mean()) / given.difficulty.std()
    place = given.ids.index("v00")
    assert given.content is not None
    distance = np.array([chamfer_distance(given.content.of(i), given.content.of(place)) for i in range(len(z))])
    # Distances weigh a hundred times more than difficulty: the first is the farthest, but for difficulty.
    assert picked[0] == given.ids[int(np.argmax(distance / distance.mean() * 100 + z))]


@pytest.mark.parametrize("rule", ["mds", "difficulty"])
def test_the_audit_is_uniform_and_marked(table: Path, rule: str) -> None:
    settings = SelectionSettings(rule=rule, budget=20, audit=0.3)
    given = candidates(table, "difficulty", table.parent / "content", settings)
    times = np.zeros(len(given.ids))
    for seed in range(300):
        rows = choose(given, settings, None, seed=seed)
        assert [row["rule"] for row in rows] == ["audit"] * 6 + [rule] * 14
        assert len({row["id"] for row in rows}) == 20
        times[[given.ids.index(row["id"]) for row in rows[:6]]] += 1
    # Each of 58 videos is drawn 31 times in the mean, with a standard deviation of 5.3.
    assert times.min() > 31 - 4 * 5.3
    assert times.max() < 31 + 4 * 5.3


def test_explanations(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picked = chosen(capsys, table, "--budget", 10, "--rule", "mds")
    limits = ("--group", "uploader", "--most-per-group", 1)
    found = json.loads(run(capsys, table, "--budget", 10, "--rule", "mds", "--explain", picked[4], "--json")[0])
    assert found["chosen"] == 5
    assert found["steps"][-1]["rank"] == 1
    assert found["steps"][-1]["utility"] == pytest.approx(found["steps"][-1]["best"])
    assert {video for video, _ in found["neighbours"]} <= set(picked[:4])
    last = next(f"v{i:02d}" for i in range(VIDEOS) if f"v{i:02d}" not in picked)
    found = json.loads(run(capsys, table, "--budget", 10, "--rule", "mds", "--explain", last, "--json")[0])
    assert found["chosen"] is None
    assert all(step["best"] > step["utility"] for step in found["steps"])
    assert all(step["rank"] > 1 for step in found["steps"])
    assert "came nearest at step" in found["reason"]
    assert (
        "Its group has its 1 videos"
        in run(capsys, table, "--budget", 7, *limits, "--rule", "mds", "--explain", "v07")[0]
    )
    out, _ = run(capsys, table, "--budget", 20, "--lambda", 0, "--apart", 0.1, "--explain", "v01")
    assert "It is nearer than 0.1 to v00" in out
    assert "Difficulty 5.400, the 2nd of 58." in out
    drawn = json.loads(run(capsys, table, "--budget", 20, "--audit", 0.3, "--json")[0])["audit"]
    assert "drawn at random" in run(capsys, table, "--budget", 20, "--audit", 0.3, "--explain", drawn[0])[0]
    assert "was not to choose from" in run(capsys, table, "--explain", "v59", code=1)[1]


def test_what_is_missing_is_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no column 'title'" in run(capsys, table, "--group", "title", "--most-per-group", 1, code=1)[1]
    assert "need `group`" in run(capsys, table, "--most-per-group", 1, code=1)[1]
    assert "--minutes" in run(capsys, table, "--minutes", -3, code=1)[1]
    text = run(capsys, table, "--group", "uploader", "--least-per-group", 3, "--budget", 5, code=1)[1]
    assert "need 21 videos, and the budget is 5" in text
    bare = table.with_name("bare.csv")
    bare.write_text("id,difficulty\nv00,2\nv02,3\n")
    assert "'v00' and 1 more do not say" in run(capsys, bare, "--minutes", 3, code=1)[1]


def test_a_rerun_finds_its_choice(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "selection"
    first = chosen(capsys, table, "--out", out)
    # Another number of threads is the same choice, another group limit is not: a quick choice is made anew.
    assert chosen(capsys, table, "--out", out, "--threads", 1) == first
    assert read_table(out)["id"].to_pylist() == first
    other = chosen(capsys, table, "--out", out, "--group", "uploader", "--most-per-group", 1)
    assert read_table(out)["id"].to_pylist() == other != first


def test_labeled_and_excluded_ids_that_match_nothing_are_an_error_and_some_a_note(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = table.parent / "other.csv"
    for option in ("--labeled", "--exclude"):
        other.write_text("id\nv01.mp4\nv02.mp4\n")
        _, err = run(capsys, table, "--budget", 3, option, other, code=1)
        assert "none of its 2 ids is in" in err
        assert "They differ in the ending of the file name." in err
        other.write_text("id\nv01\nelsewhere\n")
        out, err = run(capsys, table, "--budget", 3, option, other, "--json")
        found = json.loads(out)
        assert "1 of its 2 ids is not in" in found["notes"][0]
        assert "elsewhere" in err
        assert "v01" not in found["selected"]
        # v58 has no difficulty, v59 no frames.
        assert found["left_out"] == (3 if option == "--exclude" else 2)


def test_a_budget_beyond_the_pool_is_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for budget, words in (("64", "64 videos is more than the 58 that"), ("20 min", "20 min is more than the 9.")):
        out, err = run(capsys, table, "--budget", budget, "--json")
        found = json.loads(out)
        assert len(found["selected"]) == 58
        assert f"The budget of {words}" in found["notes"][0]
        assert f"note: The budget of {words}" in err
    assert json.loads(run(capsys, table, "--budget", 58, "--json")[0])["notes"] == []
