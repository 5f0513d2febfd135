import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.runtime.cells import tidy
from mdsvqa.videos.manifest import (
    ManifestError,
    MosScale,
    Video,
    find_videos,
    load_videos,
    read_manifest,
    write_manifest,
)


def manifest(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


FULL = """id,path,dataset,split,mos,mos_std,ratings,comment
0012,a/one.mp4,cgvds,train,3.25,0.5,24,"good, mostly"
8171831850,/abs/two.mp4,,pool,,,,
"""


def test_csv(tmp_path: Path) -> None:
    assert read_manifest(manifest(tmp_path, "m.csv", FULL)) == [
        Video("0012", tmp_path / "a/one.mp4", "cgvds", "train", 3.25, 0.5, 24),
        Video("8171831850", Path("/abs/two.mp4"), "default", "pool"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + FULL.encode(),
        FULL.replace("\n", "\r\n").encode(),
        FULL.replace('"good, mostly"', "good").replace(",", ";").encode(),
        FULL.replace("id,path", "ID , Path").encode(),
        ("\n" + FULL.replace("\n", "\n\n")).encode(),
    ],
    ids=["byte order mark", "CRLF", "semicolons", "spaces and capitals in names", "blank lines"],
)
def test_csv_as_other_programs_write_it(tmp_path: Path, content: bytes) -> None:
    expected = read_manifest(manifest(tmp_path, "expected.csv", FULL))
    assert read_manifest(manifest(tmp_path, "m.csv", content)) == expected


def test_tsv(tmp_path: Path) -> None:
    path = manifest(tmp_path, "m.tsv", "name\tmos\nclip, one\t4\n")
    assert read_manifest(path) == [Video("clip, one", None, mos=4.0)]


def test_jsonl_keeps_ids_that_look_like_numbers(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        "m.jsonl",
        '{"id": "0012", "mos": 3.5}\n\n{"id": 8171831850, "path": "b.mp4", "ratings": 20, "tags": ["x"]}\n',
    )
    assert read_manifest(path, dataset="konvid") == [
        Video("0012", None, "konvid", mos=3.5),
        Video("8171831850", tmp_path / "b.mp4", "konvid", ratings=20),
    ]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"name": ["0012", "13"], "mos": [3.5, None], "ratings": [20, None], "extra": [[1], [2]]})
    pq.write_table(table, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == [Video("0012", None, mos=3.5, ratings=20), Video("13", None)]


def test_plain_text_as_datasets_ship_it(tmp_path: Path) -> None:
    (tmp_path / "0012.mp4").touch()
    path = manifest(tmp_path, "mos.txt", "# name mos std\n0012.mp4  55.5 10\n\n 8171831850\t0\n")
    assert read_manifest(path, scale=MosScale(0, 100)) == [
        Video("0012.mp4", tmp_path / "0012.mp4", mos=1 + 4 * 0.555, mos_std=0.4),
        Video("8171831850", None, mos=1.0),
    ]


def test_videos_folder_finds_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "0012.webm").touch()
    (folder / "13.mp4").touch()
    path = manifest(tmp_path, "m.csv", "id,path\n0012,\n13.mp4,\n14,\n15,x/15.mp4\n")
    paths = [video.path for video in read_manifest(path, videos_folder=folder)]
    assert paths == [folder / "0012.webm", folder / "13.mp4", folder / "14", folder / "x/15.mp4"]


def test_ids_from_file_names(tmp_path: Path) -> None:
    path = manifest(tmp_path, "m.csv", "path,mos\na/0012.mp4,1\nb/13.v2.mp4,2\n")
    assert [video.id for video in read_manifest(path)] == ["0012", "13.v2"]


@pytest.mark.parametrize(
    ("name", "content", "pieces"),
    [
        ("m.csv", "id,mos\na,1\nb,2\na,3\n", ["line 4", "'a'", "line 2"]),
        ("m.csv", "path\nx/1.mp4\ny/1.mp4\n", ["line 3", "'1'", "line 2", "Add an id column"]),
        ("m.csv", "clip,quality\na,1\n", ["clip, quality", "'id'", "--id"]),
        ("m.csv", "", ["no rows"]),
        ("m.csv", "id,mos\n", ["no rows"]),
        ("m.csv", "id,mos,mos\na,1,2\n", ["'mos' is there twice"]),
        ("m.csv", "id,mos\na,1,2\n", ["line 2", "3 fields", "expected 2"]),
        ("m.csv", "id,mos\na\n", ["line 2", "1 fields", "expected 2"]),
        ("m.csv", 'id,mos\n"a,1\n', ["line 2", "not valid CSV"]),
        ("m.csv", "id,mos\n ,1\n", ["line 2", "id is empty"]),
        ("m.csv", "id,split\na,Train\n", ["line 2", "'a'", "'Train'", "train, test, pool"]),
        ("m.csv", "id,mos\na,good\n", ["line 2", "'a'", "'good'", "a number"]),
        ("m.csv", "id,mos\na,inf\n", ["line 2", "'a'", "'inf'"]),
        ("m.csv", "id,mos\na,0.5\n", ["line 2", "'a'", "0.5", "1 to 5"]),
        ("m.csv", "id,mos_std\na,-1\n", ["line 2", "'a'", "-1", "0 or more"]),
        ("m.csv", "id,ratings\na,2.5\n", ["line 2", "'a'", "'2.5'", "whole number"]),
        ("m.csv", b"id,mos\na\xff,1\n", ["line 2", "UTF-8"]),
        ("m.jsonl", '{"id": "a"}\n{"id": "b"\n', ["line 2", "not valid JSON"]),
        ("m.jsonl", '"a"\n', ["line 1", "one JSON object"]),
        ("m.jsonl", '{"id": ["a"]}\n', ["line 1", "['a']"]),
        ("m.txt", "a 1\nmy clip 2 0.1\n", ["line 2", "4 fields", "name mos"]),
        ("m.txt", "a 1\nb two\n", ["line 2", "'b'", "'two'"]),
        ("m.parquet", "PAR1", ["cannot be read"]),
        ("m.xlsx", "", ["Excel"]),
        ("m.mat", "", ["MATLAB"]),
        ("m.pdf", "", [".pdf", ".csv", ".xlsx", ".mat"]),
    ],
)
def test_errors_say_where_what_and_what_instead(
    tmp_path: Path, name: str, content: str | bytes, pieces: list[str]
) -> None:
    path = manifest(tmp_path, name, content)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, scale=MosScale(1, 5))
    for piece in [str(path), *pieces]:
        assert piece in str(caught.value)


def test_parquet_errors_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "mos": [1.0, math.inf]}), path)
    with pytest.raises(ManifestError, match=r"row 2, column mos: found inf.* \(id 'b'\)"):
        read_manifest(path)
    pq.write_table(pa.table({"id": [12.5, 13.0]}), path)
    with pytest.raises(ManifestError, match=r"row 1, column id: found 12\.5, expected text"):
        read_manifest(path)


def test_find_videos(tmp_path: Path) -> None:
    for name in ("b.MP4", "a/2.mkv", "a/10.webm", ".hidden.mp4", ".cache/c.mp4", "notes.txt", "a/._2.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = ["a/10.webm", "a/2.mkv", "b.MP4"]
    assert find_videos(tmp_path, dataset="d") == [Video(id, tmp_path / id, "d") for id in expected]
    assert load_videos(tmp_path) == find_videos(tmp_path)


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"found no video.*\.mp4"):
        find_videos(tmp_path)
    with pytest.raises(ManifestError, match="no such folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="no such file"):
        load_videos(tmp_path / "nowhere.csv")


videos = st.builds(
    Video,
    id=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).map(tidy).filter(bool),
    path=st.none() | st.from_regex(r"[a-z]{1,5}/[a-z ,]{1,5}\.mp4", fullmatch=True).map(Path),
    dataset=st.text("abc, \"'", min_size=1).map(tidy).filter(bool),
    split=st.sampled_from(["", "train", "test", "pool"]),
    mos=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    mos_std=st.none() | st.floats(0, 1e6),
    ratings=st.none() | st.integers(0, 10**9),
)


@given(st.lists(videos, min_size=1, max_size=5, unique_by=lambda video: video.id))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[Video]) -> None:
    folder = tmp_path_factory.mktemp("written")
    inside = [Video(v.id, v.path and folder / v.path, v.dataset, v.split, v.mos, v.mos_std, v.ratings) for v in written]
    write_manifest(folder / "m.csv", inside)
    assert read_manifest(folder / "m.csv") == inside
    records = [{"id": v.id, "dataset": v.dataset, "mos": v.mos} for v in written]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    read = read_manifest(manifest(folder, "m.jsonl", lines))
    assert [(v.id, v.dataset, v.mos) for v in read] == [(v.id, v.dataset, v.mos) for v in written]


def test_written_folder_can_be_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_manifest(old / "m.csv", [Video("a", old / "v/a.mp4"), Video("b", tmp_path / "b.mp4")])
    old.rename(new)
    assert [v.path for v in read_manifest(new / "m.csv")] == [new / "v/a.mp4", tmp_path / "b.mp4"]


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("1-5", MosScale(1, 5)),
        (" 0 - 100 ", MosScale(0, 100)),
        ("1..10", MosScale(1, 10)),
        ("-1-1", MosScale(-1, 1)),
        ("0.5 to 4.5", MosScale(0.5, 4.5)),
        ("MOS 1-5", MosScale(1, 5)),
        ("DMOS 0-100", MosScale(0, 100, inverted=True)),
        ("dmos:0-100", MosScale(0, 100, inverted=True)),
    ],
)
def test_scales_parse(text: str, scale: MosScale) -> None:
    assert MosScale.parse(text) == scale


@pytest.mark.parametrize("text", ["", "5", "five", "5-1", "1-1", "1-5-9", "JOD 0-10"])
def test_scales_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="MOS scale"):
        MosScale.parse(text)


def test_scales_convert_linearly() -> None:
    assert [MosScale(1, 10).to_five(mos) for mos in (1, 5.5, 10)] == [1, 3, 5]
    assert [MosScale(0, 100, inverted=True).to_five(mos) for mos in (0, 25, 100)] == [5, 4, 1]
    assert MosScale(1, 5).to_five(3.3) == 3.3
    assert MosScale(0, 100, inverted=True).std_to_five(10) == pytest.approx(0.4)
    for outside in (-0.1, 100.1, math.nan):
        with pytest.raises(ValueError, match="0 to 100"):
            MosScale(0, 100).to_five(outside)


@pytest.mark.parametrize("hair", [1e-14, 1e-9, 4e-7])
@pytest.mark.parametrize(("low", "high"), [(1.0, 5.0), (0.0, 100.0), (-1.0, 1.0)])
def test_a_hair_beyond_a_scale_is_its_end(low: float, high: float, hair: float) -> None:
    for inverted in (False, True):
        scale = MosScale(low, high, inverted=inverted)
        ends = [scale.to_five(high + hair * (high - low)), scale.to_five(low - hair * (high - low))]
        assert ends == ([1, 5] if inverted else [5, 1])
        with pytest.raises(ValueError, match=f"found MOS {high + 1e-5 * (high - low):.12g}; expected {low:g} to"):
            scale.to_five(high + 1e-5 * (high - low))


def test_whole_numbers_that_became_floats_and_words_for_nothing(tmp_path: Path) -> None:
    text = "id,mos,mos_std,ratings\na,3,NA,24.0\nb,#N/A,-,\nNA,4,0.5,n/a\n"
    assert read_manifest(manifest(tmp_path, "m.csv", text)) == [
        Video("a", None, mos=3.0, ratings=24),
        Video("b", None),
        Video("NA", None, mos=4.0, mos_std=0.5),
    ]
