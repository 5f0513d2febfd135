"""Label files as the data sets of the field ship them, made here in their form, read as docs/datasets.md says."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from openpyxl import Workbook
from scipy.io import savemat

from matlab_files import write_v73
from mdsvqa.videos.labels import read_labels
from mdsvqa.videos.manifest import MosScale, read_videos
from mdsvqa.videos.settings import ManifestSettings
from mdsvqa.videos.video import Video

Place = Callable[..., None]
DOCUMENTED = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Puts empty files where the data set has its videos."""

    def touch(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    return touch


def read(path: Path, folder: str, scale: str = "1-5", **names: str) -> list[Video]:
    return read_videos(path, scale, ManifestSettings(videos_folder=path.parent / folder, **names))


def assert_are(videos: Sequence[Video], expected: Sequence[tuple[str, str, float]], root: Path) -> None:
    """Of id, file and MOS on the 1-5 scale."""
    assert [(video.id, video.path) for video in videos] == [(name, root / file) for name, file, _ in expected]
    assert [video.mos for video in videos] == pytest.approx([mos for *_, mos in expected])


def test_konvid_1k(tmp_path: Path, place: Place) -> None:
    place("KoNViD_1k_videos/3015061524.mp4", "KoNViD_1k_videos/0012.mp4")
    path = tmp_path / "KoNViD_1k_mos.csv"
    path.write_text('"flickr_id","mos"\n3015061524,3.4\n0012,2.18\n')
    expected = [("3015061524", "KoNViD_1k_videos/3015061524.mp4", 3.4), ("0012", "KoNViD_1k_videos/0012.mp4", 2.18)]
    assert_are(read(path, "KoNViD_1k_videos"), expected, tmp_path)
    path = tmp_path / "KoNViD_1k_attributes.csv"
    path.write_text("flickr_id,file_name,blur,MOS,number\n3015061524,3015061524.mp4,1.5,3.4,114\n")
    assert_are(read(path, "KoNViD_1k_videos"), [("3015061524.mp4", "KoNViD_1k_videos/3015061524.mp4", 3.4)], tmp_path)
    assert read(path, "KoNViD_1k_videos", id="flickr_id")[0].id == "3015061524"


def test_youtube_ugc(tmp_path: Path, place: Place) -> None:
    place("original_videos/Gaming/1080P/Gaming_1080P-0ce6.mkv", "original_videos/Vlog/720P/Vlog_720P-01b2.mkv")
    book = Workbook()
    book.active.title = "README"
    book.active.append(["MOS of full videos and of chunks"])
    sheet = book.create_sheet("MOS")
    sheet.append(["vid", "category", "resolution", "MOS full", "MOS chunk00", "MOS chunk05", "MOS chunk10"])
    sheet.append(["Gaming_1080P-0ce6", "Gaming", "1080P", 3.612, 3.5, None, 3.7])
    sheet.append(["Vlog_720P-01b2", "Vlog", "720P", 2.9, 3, 3, 3])
    book.save(tmp_path / "MOS_for_YouTube_UGC_dataset.xlsx")
    expected = [
        ("Gaming_1080P-0ce6", "original_videos/Gaming/1080P/Gaming_1080P-0ce6.mkv", 3.612),
        ("Vlog_720P-01b2", "original_videos/Vlog/720P/Vlog_720P-01b2.mkv", 2.9),
    ]
    assert_are(read(tmp_path / "MOS_for_YouTube_UGC_dataset.xlsx", "original_videos"), expected, tmp_path)
    assert_are(read(tmp_path / "MOS_for_YouTube_UGC_dataset.xlsx:MOS", "original_videos"), expected, tmp_path)
    (tmp_path / "ugc.csv").write_text("vid,MOSFull\nGaming_1080P-0ce6,3.612\nVlog_720P-01b2,2.9\n")
    assert_are(read(tmp_path / "ugc.csv", "original_videos"), expected, tmp_path)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_live_vqc(tmp_path: Path, place: Place, version: str) -> None:
    place("Video/A001.mp4", "Video/A002.mp4")
    path = tmp_path / "data.mat"
    if version == "5":
        cells = np.array([["A001.mp4"], ["A002.mp4"]], object)
        savemat(path, {"video_list": cells, "mos": np.array([[80.0], [6.2237]])})
    else:
        write_v73(path, {"video_list": ["A001.mp4", "A002.mp4"], "mos": [80.0, 6.2237]})
    expected = [("A001.mp4", "Video/A001.mp4", 1 + 4 * 0.8), ("A002.mp4", "Video/A002.mp4", 1 + 4 * 0.062237)]
    assert_are(read(path, "Video", "0-100"), expected, tmp_path)
    assert_are(read(tmp_path / "data.mat:mos", "Video", "0-100"), expected, tmp_path)


def test_lsvq(tmp_path: Path, place: Place) -> None:
    place("LSVQ/yfcc-batch12/4142.mp4", "LSVQ/ia-batch3/Sharks, part 2.mp4")
    path = tmp_path / "labels_train_test.csv"
    names = "name,p1,p2,p3,height,width,mos_p1,mos_p2,mos_p3,mos,frame_number,fn_last_frame,left_p1,is_test"
    path.write_text(
        f"{names}\nyfcc-batch12/4142,a,b,c,540,960,70.1,71,72,73.5,240,239,0,False\n"
        '"ia-batch3/Sharks, part 2",a,b,c,540,960,40,41,42,43.25,240,239,0,True\n'
    )
    expected = [
        ("yfcc-batch12/4142", "LSVQ/yfcc-batch12/4142.mp4", 1 + 4 * 0.735),
        ("ia-batch3/Sharks, part 2", "LSVQ/ia-batch3/Sharks, part 2.mp4", 1 + 4 * 0.4325),
    ]
    assert_are(read(path, "LSVQ", "0-100"), expected, tmp_path)


def test_yt_sfv(tmp_path: Path, place: Place) -> None:
    place("videos/SDR_Animal_01ld.mp4")
    path = tmp_path / "sfv.csv"
    path.write_text("name,mos,base_score,failure_score\nSDR_Animal_01ld.mp4,4.186,3.75,2.0\n")
    assert_are(read(path, "videos"), [("SDR_Animal_01ld.mp4", "videos/SDR_Animal_01ld.mp4", 4.186)], tmp_path)


def test_kvq(tmp_path: Path, place: Place) -> None:
    place("train/0001.mp4")
    path = tmp_path / "train_data.csv"
    path.write_text("filename,score\n0001.mp4,3.5\n")
    assert_are(read(path, "train"), [("0001.mp4", "train/0001.mp4", 3.5)], tmp_path)
    # A list that says where they lie, from above the folder that is named.
    path.write_text("filename,score\ntrain/0001.mp4,3.5\ntest/0001.mp4,3\n")
    found = [video.path for video in read(path, "train")]
    assert found == [tmp_path / "train/0001.mp4", tmp_path / "train/test/0001.mp4"]


def test_live_yt_gaming(tmp_path: Path, place: Place) -> None:
    place("videos/AmongUs_001.mp4", "videos/Forza_002.mp4")
    path = tmp_path / "LIVEYTGaming.mat"
    cells = np.array([["AmongUs_001"], ["Forza_002"]], object)
    savemat(path, {"video_list": cells, "MOS": np.array([[62.5], [30.0]]), "index": np.array([[1, 0]])})
    expected = [("AmongUs_001", "videos/AmongUs_001.mp4", 3.5), ("Forza_002", "videos/Forza_002.mp4", 2.2)]
    assert_are(read(path, "videos", "0-100"), expected, tmp_path)


def test_cvd2014(tmp_path: Path, place: Place) -> None:
    place("CVD2014/Test1/City/Test01_City_D01.avi", "CVD2014/Test1/City/Test01_City_D02.avi")
    path = tmp_path / "Realignment_MOS.csv"
    path.write_text(
        "Content;File_name;Realignment MOS;;;;;\r\nCity;Test01_City_D01;58,2;;;;;\r\nCity;Test01_City_D02;-6,5;;;;;\r\n"
        ";;;;;;;\r\n"
    )
    expected = [
        ("Test01_City_D01", "CVD2014/Test1/City/Test01_City_D01.avi", 1 + 4 * 68.2 / 110),
        ("Test01_City_D02", "CVD2014/Test1/City/Test01_City_D02.avi", 1 + 4 * 3.5 / 110),
    ]
    assert_are(read(path, "CVD2014", "-10-100"), expected, tmp_path)


def test_lists_of_fast_vqa_and_dover(tmp_path: Path, place: Place) -> None:
    place("data/KoNViD_1k_videos/4542323058.mp4")
    path = tmp_path / "labels.txt"
    path.write_text(
        "KoNViD_1k_videos/4542323058.mp4, 8.008, 29.97002997002997, 3.22\nKoNViD_1k_videos/12.mp4, -1, -1, 3.84\n"
    )
    videos = read(path, "data")
    assert [video.id for video in videos] == ["4542323058", "12"]
    assert [video.mos for video in videos] == [3.22, 3.84]
    assert videos[0].path == tmp_path / "data/KoNViD_1k_videos/4542323058.mp4"
    # The folder of the videos themselves does as well.
    assert read(path, "data/KoNViD_1k_videos")[0].path == videos[0].path
    # LSVQ has files of one name in several folders.
    path.write_text("ia-batch1/7.mp4, 5, 30, 60.25\nia-batch2/7.mp4, 5, 30, 61.5\n")
    assert [video.id for video in read(path, "data", "0-100")] == ["ia-batch1/7.mp4", "ia-batch2/7.mp4"]


@pytest.mark.parametrize("mark", [",", "\t", "; ", " ", ", "])
@pytest.mark.parametrize("names", [("a.mp4", "b.mp4"), ("clips/a.mp4", "7")])
def test_names_and_mos_alone(tmp_path: Path, mark: str, names: tuple[str, str]) -> None:
    for ending in (".txt", ".list", "") if " " in mark else (".txt", ".csv", ".list", ""):
        path = tmp_path / f"mos{ending}"
        lines = [f"{name}{mark}{rest}" for name, rest in zip(names, (f"3.5{mark}0.5", f"4{mark}1"), strict=True)]
        path.write_text("\n".join(lines))
        found = read_videos(path, "1-5")
        assert [(video.id, video.mos, video.mos_std) for video in found] == [(names[0], 3.5, 0.5), (names[1], 4, 1)]
        assert read_labels(path, MosScale(1, 5)).mos == {names[0]: 3.5, names[1]: 4}


@pytest.mark.parametrize("header", ["Name,MOS", "FileName,Score", "video name,MOS full", "VID,Mean Opinion Score"])
@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_names_in_any_case(tmp_path: Path, header: str, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text(f"{header}\na.mp4,3.5\n")
    assert [(video.id, video.mos) for video in read_videos(path, "1-5")] == [("a.mp4", 3.5)]
    assert read_labels(path, MosScale(1, 5)).mos == {"a.mp4": 3.5}


def test_names_that_only_the_options_know(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("clip,quality,mos\na.mp4,3.5,1.0\n")
    settings = ManifestSettings(id="clip", mos="Quality")
    assert [(video.id, video.mos) for video in read_videos(path, "1-5", settings)] == [("a.mp4", 3.5)]
    # Labels that came back are not called so.
    labels = tmp_path / "labels.csv"
    labels.write_text("id,path,mos,mos_std\nb.mp4,,2.5,\n")
    assert read_labels(labels, MosScale(1, 5), settings.names).mos == {"b.mp4": 2.5}
    assert read_labels(path, MosScale(1, 5), settings.names).mos == {"a.mp4": 3.5}


def test_every_recipe_is_documented() -> None:
    text = DOCUMENTED.read_text(encoding="utf-8")
    for name in ("KoNViD-1k", "YouTube-UGC", "LIVE-VQC", "LSVQ", "YT-SFV", "KVQ", "LIVE-YT-Gaming", "CVD2014"):
        assert f"| {name} |" in text
