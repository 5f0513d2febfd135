"""Another OpenCV beside the contrib build: named, with what it breaks and the way out."""

from importlib.metadata import distributions
from pathlib import Path

import cv2
import pytest

from commands import printed
from mdsvqa.models.statistical.opencv import CONTRIB, opencv_conflict

PLAIN = "opencv-python-headless"


def installed_beside(folder: Path, name: str) -> None:
    """A distribution as pip leaves it."""
    place = folder / f"{name.replace('-', '_')}-4.12.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.12.0\n")


def test_one_contrib_build_is_well() -> None:
    assert opencv_conflict([CONTRIB, "numpy"], has_features=True) == ""


@pytest.mark.parametrize("has_features", [True, False])
def test_another_build_beside_it_is_named_with_the_way_out(has_features: bool) -> None:
    said = opencv_conflict([CONTRIB, PLAIN, "opencv-python"], has_features=has_features)
    assert "opencv-python and opencv-python-headless beside opencv-contrib-python-headless" in said
    assert ("BRISQUE is missing" in said) != has_features
    assert said.endswith(
        "pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python-headless && "
        "pip install opencv-contrib-python-headless"
    )


def test_doctor_and_score_say_it(
    tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    installed_beside(site, PLAIN)
    monkeypatch.syspath_prepend(site)
    assert PLAIN in {found.metadata["Name"] for found in distributions()}
    assert f"found {PLAIN} beside" in " ".join(printed(capsys, "doctor")[0].split())
    # What the other build leaves when it was installed last.
    monkeypatch.delattr(cv2, "quality")
    out, err = printed(capsys, "score", small_corpus, "--out", tmp_path / "scores", code=1)
    assert out == ""
    assert err.splitlines()[-1].startswith(f"error: OpenCV: found {PLAIN} beside {CONTRIB}")
    assert "pip uninstall -y" in err
