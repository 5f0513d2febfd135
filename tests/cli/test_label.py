import json
import subprocess
import sys

import numpy as np
import pytest

from commands import printed
from mdsvqa.labeling.panel import panel
from mdsvqa.labeling.vote_tables import read_votes

TABLE = "video,rater,rating\nb,Zoë,4\na,Zoë,2\nb,Al,5\na,Al,1\nc,Zoë,3\nb,Bo,4\nc,Bo,\n"


@pytest.fixture
def ratings(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def found(capsys, *arguments):
    out, _ = printed(capsys, "label", "mos", *arguments, "--json")
    assert len(out.splitlines()) == 1
    return json.loads(out)


def test_mos_prints_the_promised_object_in_the_order_of_the_file(ratings, capsys):
    said = found(capsys, ratings)
    assert list(said) == ["model", "videos", "raters", "left_out"]
    assert said["model"] == "panel"
    assert [video["id"] for video in said["videos"]] == ["b", "a", "c"]
    assert [rater["id"] for rater in said["raters"]] == ["Zoë", "Al", "Bo"]
    expected = panel(read_votes(ratings))
    for j, video in enumerate(said["videos"]):
        assert list(video) == ["id", "mos", "low", "high", "se", "votes"]
        figures = (video["mos"], video["low"], video["high"], video["se"])
        assert figures == (expected.mos[j], expected.low[j], expected.high[j], expected.se[j])
    assert [video["votes"] for video in said["videos"]] == [3, 2, 1]
    for i, rater in enumerate(said["raters"]):
        assert list(rater) == ["id", "bias", "inconsistency", "weight", "rejected"]
        assert rater["bias"] == expected.bias[i]
        assert rater["rejected"] is None


def test_what_a_model_does_not_have_is_null(ratings, capsys):
    plain = found(capsys, ratings, "--model", "mos")
    assert plain["videos"][0]["mos"] == pytest.approx(13 / 3)
    # One vote has no standard error.
    assert plain["videos"][2] == {"id": "c", "mos": 3.0, "low": None, "high": None, "se": None, "votes": 1}
    assert set(plain["raters"][0].values()) == {"Zoë", None}
    screened = found(capsys, ratings, "--model", "p913")
    assert [rater["rejected"] for rater in screened["raters"]] == [False, False, False]
    assert screened["raters"][0]["weight"] is None
    likely = found(capsys, ratings, "--model", "p910")
    assert sum(rater["weight"] for rater in likely["raters"]) == pytest.approx(1)


def test_pairs_have_their_own_model(tmp_path, capsys):
    path = tmp_path / "pairs.csv"
    path.write_text("better,worse,rater\na,b,x\na,b,y\nb,c,x\n")
    said = found(capsys, path)
    assert said["model"] == "pairs"
    scores = [video["mos"] for video in said["videos"]]
    assert scores == sorted(scores, reverse=True)
    _, error = printed(capsys, "label", "mos", path, "--model", "panel", code=1)
    assert "does not take" in error


def test_the_labels_it_writes_are_labels_of_a_study(ratings, tmp_path, capsys):
    from mdsvqa.videos.labels import read_labels
    from mdsvqa.videos.mos_scale import MosScale

    printed(capsys, "label", "mos", ratings, "--out", tmp_path / "labels.csv")
    labels = read_labels(tmp_path / "labels.csv", MosScale.parse("1-5"))
    assert set(labels.mos) == {"a", "b", "c"}
    np.testing.assert_allclose(labels.mos["b"], panel(read_votes(ratings)).mos[0])


def test_a_person_is_told_the_model_and_what_to_mind(tmp_path, capsys):
    path = tmp_path / "two.csv"
    path.write_text("video,rater,vote\na,x,4\nb,x,2\na,x,5\nc,y,3\nd,y,1\n")
    out, error = printed(capsys, "label", "mos", path)
    assert "MOS by panel" in out
    assert "2 groups without a common rater" in error
    assert "1 further votes" in error


def test_flagged_raters_are_named_and_what_leaving_them_out_changes(tmp_path, capsys):
    values = np.tile([1.0, 2, 3, 4, 5], 4)
    rows = [f"v{j},r{i},{vote:g}" for i in range(5) for j, vote in enumerate(values)]
    rows += [f"v{j},lazy,3" for j in range(20)]
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(["video,rater,vote", *rows]))
    out, _ = printed(capsys, "label", "mos", path, "--model", "mos")
    assert "flagged: lazy: votes spread by 0.00 levels, under 0.4" in out
    # A mean of five votes v and one of 3 is off by |v - 3| / 6: 2, 1, 0, 1, 2 sixths.
    assert "move by 0.200 on average, 0.333 at most" in out


def test_import_writes_what_every_command_reads(ratings, tmp_path, capsys):
    out, _ = printed(capsys, "label", "import", ratings, "--out", tmp_path / "long.csv", "--json")
    counts = {"counted": 6, "left_out": 0, "votes": 6, "videos": 3, "raters": 3}
    assert json.loads(out) == {**counts, "out": str(tmp_path / "long.csv")}
    printed(capsys, "label", "import", ratings, "--out", tmp_path / "wide.csv", "--wide", "--pseudonyms")
    assert (tmp_path / "wide.csv").read_text("utf-8-sig").splitlines()[0] == '"video","r001","r002","r003"'
    same = [found(capsys, path)["videos"] for path in (ratings, tmp_path / "long.csv", tmp_path / "wide.csv")]
    for videos in same[1:]:
        assert [video["id"] for video in videos] == ["b", "a", "c"]
        np.testing.assert_allclose([video["mos"] for video in videos], [video["mos"] for video in same[0]], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "best"], "expected panel, mos, bt500, p913, p910 or pairs, found 'best'"),
        (["--scale", "five"], "--scale: found the MOS scale 'five'"),
        (["--scale", "1-3"], "row 1: found the vote 4"),
        (["--format", "xlsx"], "--format"),
    ],
)
def test_wrong_options_are_one_line(ratings, capsys, options, message):
    _, error = printed(capsys, "label", "mos", ratings, *options, code=1)
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_missing_file_is_one_line(tmp_path, capsys):
    _, error = printed(capsys, "label", "mos", tmp_path / "none.csv", code=1)
    assert "cannot be read" in error


def test_mos_needs_no_server_and_no_web_library(ratings):
    code = (
        "import sys, mdsvqa.cli.label; from mdsvqa.labeling import assignment, screening, stopping;"
        "print([m for m in ('fastapi', 'starlette', 'uvicorn', 'sqlite3', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
