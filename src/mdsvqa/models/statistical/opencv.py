"""Whether the OpenCV that is imported is the one with the features."""

from collections.abc import Iterable
from importlib.metadata import distributions

import cv2

from mdsvqa.runtime.errors import InputError

CONTRIB = "opencv-contrib-python-headless"
# Builds that install into the same folder, cv2.
OTHERS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")


def opencv_conflict(installed: Iterable[str], *, has_features: bool) -> str:
    """What is wrong with the OpenCV of an environment, and the way out; empty where nothing is.

    Args:
        installed: names of distributions.
        has_features: whether the module that computes BRISQUE is there.

    >>> opencv_conflict([CONTRIB], has_features=True)
    ''
    """
    others = sorted(set(OTHERS) & set(installed))
    if not others and has_features:
        return ""
    beside = f"{' and '.join(others)} beside {CONTRIB}: all install into the folder cv2, and the last one wins"
    found = beside if others else f"an OpenCV without its contrib modules; {CONTRIB} has them"
    harm = "" if has_features else ", so the module that computes BRISQUE is missing"
    out = f"pip uninstall -y {' '.join([*others, CONTRIB])} && pip install {CONTRIB}"
    return f"OpenCV: found {found}{harm}. The way out: {out}"


def installed_conflict() -> str:
    """`opencv_conflict` of this environment."""
    names = (found.metadata["Name"] for found in distributions())
    return opencv_conflict(names, has_features=hasattr(cv2, "quality"))


def need_contrib() -> None:
    """Raises an `InputError` with the way out where the features cannot be computed."""
    if not hasattr(cv2, "quality"):
        raise InputError(installed_conflict())
