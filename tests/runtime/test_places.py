"""Paths and addresses: what people write, what is shown, and what a relative path in a store means."""

import pickle
from pathlib import Path

import pytest

from mdsvqa.runtime.places import Remote, place_of, stem_of
from mdsvqa.runtime.settings import Settings, StudyPlace

SIGNED = "https://me:word@host.org/clips/a%20b.mp4?X-Signature=5e.c7"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        ("  GS://Bucket/A.mp4 ", "gs://Bucket/A.mp4"),
        (Path("s3://bucket/a.mp4"), "s3://bucket/a.mp4"),
        (SIGNED, SIGNED),
    ],
)
def test_an_address_is_kept_as_it_is_written(written: str | Path, url: str) -> None:
    assert place_of(written) == Remote(url) == pickle.loads(pickle.dumps(Remote(url)))


@pytest.mark.parametrize("written", ["a.mp4", "/data/a.mp4", "C:/a.mp4", "scene: 1/a.mp4", "s3:/bucket", "x:a.mp4", ""])
def test_anything_else_is_a_path(written: str) -> None:
    assert place_of(written) == Path(written)


def test_no_message_shows_a_password_or_a_signature() -> None:
    place = Remote(SIGNED)
    assert str(place) == "https://host.org/clips/a%20b.mp4"
    assert place.store == "https://host.org"
    assert (place.name, place.stem, place.suffix) == ("a b.mp4", "a b", ".mp4")
    # Of a store a question mark belongs to the name.
    odd = Remote("s3://bucket/what?/a#1.mp4")
    assert (str(odd), odd.name) == (odd.url, "a#1.mp4")


@pytest.mark.parametrize(
    ("base", "written", "meant"),
    [
        ("s3://bucket/lists", "a.mp4", "s3://bucket/lists/a.mp4"),
        ("s3://bucket/lists", "../clips/./100% #1.mp4", "s3://bucket/clips/100% #1.mp4"),
        ("s3://bucket", "../../a.mp4", "s3://bucket/a.mp4"),
        ("s3://bucket/lists", "gs://other/a.mp4", "gs://other/a.mp4"),
        ("https://host.org/lists?key=1", "100% #1.mp4", "https://host.org/lists/100%25%20%231.mp4"),
    ],
)
def test_a_relative_path_counts_in_the_store(base: str, written: str, meant: str) -> None:
    assert Remote(base) / written == Remote(meant)


def test_an_absolute_path_is_of_this_machine_wherever_it_is_written() -> None:
    assert Remote("s3://bucket/lists") / "/data/a.mp4" == Path("/data/a.mp4")


def test_the_folder_of_an_object() -> None:
    assert Remote("s3://bucket/clips/a.mp4").parent == Remote("s3://bucket/clips")
    assert Remote("s3://bucket/a.mp4").parent.parent == Remote("s3://bucket")


def test_names_of_files_are_ids_wherever_they_lie() -> None:
    written = ("clips/a.b.mp4", "s3://bucket/clips/a.b.mp4", "a", "s3://bucket/a", ".hidden")
    assert [stem_of(each) for each in written] == ["a.b", "a.b", "a", "a", ".hidden"]


class Asked(Settings):
    """What a study says."""

    videos: StudyPlace


@pytest.mark.parametrize("written", ["s3://bucket/m.csv", "https://host/m.csv?key=1"])
def test_settings_keep_an_address_whole(written: str, tmp_path: Path) -> None:
    asked = Asked.model_validate({"videos": written}, context={"folder": tmp_path})
    assert asked.videos == Remote(written)
    assert asked.model_dump(mode="json") == {"videos": written}
    assert Asked.model_validate({"videos": "m.csv"}, context={"folder": tmp_path}).videos == tmp_path / "m.csv"
