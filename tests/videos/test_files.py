"""Files of a manifest that are not there."""

from pathlib import Path

import pytest

from mdsvqa.runtime.errors import InputError
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.files import check_files
from mdsvqa.videos.video import Video


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_some_that_are_not_there_are_a_note_with_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    heard = Heard()
    check_files(Path("m.csv"), [Video("a", Path("a.mp4")), Video("n", None)], heard)
    assert heard.notes == []
    check_files(Path("m.csv"), [Video("a", Path("a.mp4")), Video("b", Path("b.mp4")), Video("n", None)], heard)
    assert heard.notes == [f"m.csv: 1 of 2 files is not there, such as {tmp_path / 'b.mp4'} (id 'b')"]


@pytest.mark.parametrize("name", ["gone.mp4", "x" * 5000 + ".mp4", "nul\0.mp4"])
def test_none_that_is_there_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not one of its 1 files is there; looked for /.*A relative path counts from"):
        check_files(tmp_path / "m.csv", [Video("a", tmp_path / name), Video("n", None)], Silent())


def test_videos_that_have_names_only_are_not_looked_for() -> None:
    check_files(Path("m.csv"), [Video("a", None)], Silent())
