"""Environments of their own, beside this checkout, for what needs other versions than mdsvqa."""

import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

# Named with their versions: without one pip takes a build of torch for CUDA, gigabytes of it.
TORCH = ("torch==2.13.0", "torchvision==0.28.0")
# torchvision's wheels are built for CUDA: beside a CPU torch its operators are declared, as
# `mdsvqa.models.transformers_vision` does.
AT_START = """\
import torch

try:
    import torchvision
except RuntimeError:
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def make_environment(folder: Path, packages: Sequence[str], without: Sequence[str] = ()) -> Path:
    """Makes a virtual environment anew; its folder of packages.

    Args:
        folder: of the environment.
        packages: beside torch, with their versions.
        without: packages that these bring and that do not import beside a CPU torch.
    """
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *TORCH, *packages], check=True)
    if without:
        subprocess.run([*pip, "uninstall", "--yes", *without], check=True)
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    (there / "sitecustomize.py").write_text(AT_START)
    return there
