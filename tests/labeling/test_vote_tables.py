import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvqa.labeling.estimate import Estimate
from mdsvqa.labeling.models import estimate_mos
from mdsvqa.labeling.vote_export import escaped, long_csv, pairs_csv, pseudonyms, videos_csv, wide_csv
from mdsvqa.labeling.vote_tables import read_votes
from mdsvqa.labeling.votes import PairVotes, Votes
from mdsvqa.runtime.cells import tidy
from mdsvqa.runtime.errors import InputError
from mdsvqa.videos.mos_scale import MosScale


def written(tmp_path, text, name="votes.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    return path


def said(votes):
    """Who voted what on which video, in order."""
    names = zip(votes.video.tolist(), votes.rater.tolist(), votes.vote.tolist(), strict=True)
    return [(votes.videos[j], votes.raters[i], vote) for j, i, vote in names]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_long_table(tmp_path, encoding, separator):
    text = "video,rater,rating,scale\nclip 1,Ana,4,1-5\nclip 2,Ana,,1-5\nclip 1,Bo,5,1-5\n".replace(",", separator)
    votes = read_votes(written(tmp_path, text, encoding=encoding))
    assert said(votes) == [("clip 1", "Ana", 4.0), ("clip 1", "Bo", 5.0)]
    # A video nobody rated stays a video.
    assert votes.videos == ("clip 1", "clip 2")
    assert (votes.low, votes.high) == (1, 5)


def test_all_columns_of_a_long_table(tmp_path):
    text = (
        "video,rater,vote,scale,method,kind,expected,disturbed,excluded\n"
        "a,x,70,0-100,dcr,video,,0,\na,x,60,0-100,dcr,repeat,,0,\nt,x,20,0-100,dcr,trap,25,0,\n"
        "b,x,10,0-100,dcr,,,1,\nb,x,15,0-100,dcr,video,,0,corrected\nb,x,20,0-100,dcr,video,,0,\n"
    )
    votes = read_votes(written(tmp_path, text))
    assert votes.method == "dcr"
    assert (votes.low, votes.high) == (0, 100)
    assert votes.kind.tolist() == ["video", "repeat", "trap", "video", "video", "video"]
    assert votes.expected[2] == 25
    assert votes.counts.tolist() == [True, False, False, False, False, True]


def test_a_wide_table_either_way(tmp_path):
    by_video = read_votes(written(tmp_path, "video,Ana,Bo\na,4,5\nb,,2\n"))
    by_rater = read_votes(written(tmp_path, "rater,a,b\nAna,4,\nBo,5,2\n", "turned.csv"))
    assert sorted(said(by_video)) == sorted(said(by_rater)) == [("a", "Ana", 4.0), ("a", "Bo", 5.0), ("b", "Bo", 2.0)]


def test_a_further_vote_on_the_same_video_is_a_repeat(tmp_path):
    votes = read_votes(written(tmp_path, "video,rater,vote\na,x,1\nb,x,2\na,x,3\na,y,5\na,x,4\n"))
    assert votes.kind.tolist() == ["video", "video", "repeat", "video", "repeat"]
    assert estimate_mos(votes, "mos").mos.tolist() == [3.0, 2.0]


def test_the_votes_of_a_crowd_study(tmp_path):
    text = (
        "HITId,workerid,file,short_file_name,vote\n"
        "H1,W1,https://s/x/a.mp4,a.mp4,4\nH1,W1,https://s/x/b.mp4,b.mp4,2\nH2,W2,https://s/x/a.mp4,a.mp4,5\n"
    )
    votes = read_votes(written(tmp_path, text))
    assert said(votes) == [("a.mp4", "W1", 4.0), ("b.mp4", "W1", 2.0), ("a.mp4", "W2", 5.0)]
    same = read_votes(written(tmp_path, text.replace("x/b.mp4,b.mp4", "y/a.mp4,a.mp4")))
    assert same.videos == ("https://s/x/a.mp4", "https://s/y/a.mp4")


def annotation(rating, by, cancelled=False, name="quality"):
    results = [{"type": "choices", "value": {"choices": ["x"]}, "from_name": "other"}]
    results.append({"type": "rating", "value": {"rating": rating}, "from_name": name, "to_name": "video"})
    return {"completed_by": by, "was_cancelled": cancelled, "result": results}


def label_studio(tmp_path, *tasks):
    return written(tmp_path, json.dumps(list(tasks)), "export.json")


def test_label_studio(tmp_path):
    one = {"id": 7, "data": {"video": "視頻.mp4"}, "annotations": [annotation(4, 1), annotation(1, 2, cancelled=True)]}
    other = {
        "id": 8,
        "data": {"url": "b.mp4"},
        "annotations": [annotation(2, {"id": 1, "email": "a@b"}), {"result": []}],
    }
    votes = read_votes(label_studio(tmp_path, one, other))
    assert said(votes) == [("視頻.mp4", "1", 4.0), ("b.mp4", "1", 2.0)]


def test_label_studio_with_two_ratings_asks_which(tmp_path):
    both = {"data": {"video": "a"}, "annotations": [annotation(4, 1), annotation(2, 1, name="sound")]}
    path = label_studio(tmp_path, both)
    with pytest.raises(InputError, match=r"quality, sound.*--question"):
        read_votes(path)
    assert said(read_votes(path, question="sound")) == [("a", "1", 2.0)]
    with pytest.raises(InputError, match="'light'"):
        read_votes(path, question="light")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"data": {"video": "a"}}], "no annotations"),
        ([{"data": {"x": "a", "y": "b"}, "annotations": [annotation(1, 1)]}], "found x, y"),
        ([{"data": {"video": "a"}, "annotations": [annotation("4", 1)]}], "found the rating '4'"),
        ([{"data": {"video": "a"}, "annotations": [annotation(4, None)]}], "completed_by"),
        ([{"data": {"video": "a"}, "annotations": []}], "no result of type rating"),
        ([{"id": 3, "data": {"video": "a"}, "annotations": [annotation(9, 1)]}], "task 3: found the vote 9"),
        ([1], "a list of tasks"),
    ],
)
def test_what_is_wrong_with_a_label_studio_export_is_said(tmp_path, tasks, message):
    with pytest.raises(InputError, match=message):
        read_votes(label_studio(tmp_path, *tasks))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,rater,vote\na,x,6\n", r"row 1: found the vote 6, expected 1 to 5.*--scale"),
        ("video,rater,vote\na,x,good\n", "row 1, column vote: found 'good'"),
        ("video,rater,vote\na,x,3\n,y,3\n", "row 2, column video: is empty"),
        ("video,rater,vote\na,,3\n", "row 1, column rater: is empty"),
        ("video,rater,vote\na,x,\n", "holds no vote"),
        ("video,rater,vote,kind\na,x,3,gold\n", "found 'gold'"),
        ("video,rater,vote,scale\na,x,3,1-5\na,y,3,0-100\n", "row 2, column scale"),
        ("video,rater,vote,scale\na,x,3,five\n", "column scale: found the MOS scale 'five'"),
        ("video,rater,vote,scale\na,x,3,DMOS 1-5\n", "higher is worse"),
        ("video,rater,vote,method\na,x,3,mushra\n", "found 'mushra'"),
        ("video,rater,vote,disturbed\na,x,3,maybe\n", "found 'maybe'"),
        ("video,vote\na,3\n", "expected columns video, rater and vote"),
        ("video\na\n", "expected columns video, rater and vote"),
        ("video,Ana\na,9\n", "row 1, column Ana: found the vote 9"),
        ("better,worse,rater\na,a,x\n", "'a' on both sides"),
        ("first,second,preference\na,b,left side\n", "found 'left side'"),
        ("first,second,preference\na,b,\n", "no row has a preference"),
        ("better,rater\na,x\n", "no column 'worse'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_votes(written(tmp_path, text))


def test_json_lines_hold_texts_and_numbers(tmp_path):
    good = '{"video": "a", "rater": 7, "vote": 4}\n{"video": "b", "rater": 7, "vote": null}\n'
    assert said(read_votes(written(tmp_path, good, "votes.jsonl"))) == [("a", "7", 4.0)]
    with pytest.raises(InputError, match=r"row 1, column video: found \['a'\]"):
        read_votes(written(tmp_path, good.replace('"a"', '["a"]'), "votes.jsonl"))
    with pytest.raises(InputError, match="row 1, column vote"):
        read_votes(written(tmp_path, good.replace("4}", "[4]}"), "votes.jsonl"))


def test_a_stated_scale_holds(tmp_path):
    votes = read_votes(written(tmp_path, "video,rater,vote\na,x,60\n"), scale=MosScale(0, 100))
    assert (votes.low, votes.high, votes.vote[0]) == (0, 100, 60)


def test_pairs_in_either_form(tmp_path):
    one = read_votes(written(tmp_path, "better,worse,rater\na,b,x\nc,a,y\n"))
    assert isinstance(one, PairVotes)
    assert (one.videos, one.preference.tolist()) == (("a", "b", "c"), [1, 1])
    text = "pair,left,right,preference,rater\np1,a,b,left,x\np2,a,b,0.25,y\np3,b,c,equal,x\np4,b,c,,x\np5,c,a,right,x\n"
    assert read_votes(written(tmp_path, text, "gmad.csv")).preference.tolist() == [1, 0.25, 0.5, 0]


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(tidy).filter(bool)
MORE = st.sampled_from(
    ["=1+1", "'=1", "''-x", "@sum", "+49", "-1", "عربي", "日本, 語", '"q"', "a;b;c", "NA", "'", "=", "é"]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(NAMES | MORE, NAMES | MORE, st.integers(1, 5)), min_size=1, max_size=12, unique_by=lambda r: r[:2]
    )
)
def test_names_in_any_script_survive_the_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("votes")
    video, rater, vote = zip(*rows, strict=True)
    votes = Votes.of(video, rater, vote)
    (folder / "long.csv").write_bytes(long_csv(votes))
    assert said(read_votes(folder / "long.csv")) == said(votes)
    (folder / "wide.csv").write_bytes(wide_csv(votes))
    assert sorted(said(read_votes(folder / "wide.csv", form="wide"))) == sorted(said(votes))


def test_no_cell_is_run_by_a_spreadsheet():
    votes = Votes.of(['=HYPERLINK("http://x")', "@a"], ["+1", "-2"], [3, 4], excluded=["=1", ""])
    for content in (long_csv(votes), wide_csv(votes), videos_csv(estimate_mos(votes, "mos"), votes)):
        assert content.startswith(b"\xef\xbb\xbf")
        cells = content.decode("utf-8-sig").replace('"', ",").replace("\r\n", ",").split(",")
        assert not [cell for cell in cells if cell[:1] in tuple("=+@") or (cell[:1] == "-" and not cell[1:].isdigit())]
    assert escaped("\t=1") == "'\t=1"


def test_all_that_is_known_of_a_vote_survives(tmp_path):
    votes = Votes.of(
        ["a", "a", "t"],
        ["x", "x", "x"],
        [10, 20.5, 30],
        kind=["video", "repeat", "trap"],
        expected=[np.nan, np.nan, 25],
        disturbed=[True, False, False],
        excluded=["", "", "rater flagged"],
        method="acr-hr",
        scale=(0.0, 100.0),
    )
    (tmp_path / "v.csv").write_bytes(long_csv(votes, pseudonyms(1)))
    found = read_votes(tmp_path / "v.csv")
    assert found.raters == ("r001",)
    for name in ("vote", "kind", "expected", "disturbed", "excluded"):
        np.testing.assert_array_equal(getattr(found, name), getattr(votes, name))
    assert (found.method, found.low, found.high) == ("acr-hr", 0, 100)


def test_answers_to_pairs_survive(tmp_path):
    votes = PairVotes.of(["a", "=b"], ["=b", "c"], ["x", "y"], [1, 0.5], disturbed=[False, True], excluded=["", "late"])
    (tmp_path / "p.csv").write_bytes(pairs_csv(votes))
    found = read_votes(tmp_path / "p.csv")
    assert found.videos == ("a", "=b", "c")
    assert found.preference.tolist() == [1, 0.5]
    assert len(found.counted()) == 1


def test_labels_lie_on_the_scale_and_an_unratable_video_has_none(tmp_path):
    votes = Votes.of(["a", "a", "b"], ["x", "y", "x"], [5, 4, 3], videos=["a", "b", "c"], excluded=["", "", "late"])
    nan = np.full(3, np.nan)
    found = Estimate(
        "panel",
        {},
        np.array([5.2, np.nan, np.nan]),
        np.array([4.5, np.nan, np.nan]),
        np.array([5.9, np.nan, np.nan]),
        nan,
        votes.counted().per_video(),
        nan[:2],
        nan[:2],
        nan[:2],
        None,
        np.arange(3),
    )
    lines = videos_csv(found, votes).decode("utf-8-sig").split("\r\n")
    assert lines[0] == '"id","mos","mos_low","mos_high","mos_std","votes","votes_excluded"'
    assert lines[1] == "a,5,4.5,5,0.7071067811865476,2,0"
    assert lines[2:] == ["b,,,,,0,1", "c,,,,,0,0", ""]
