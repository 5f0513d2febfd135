"""`make reference`: the stack that the released checkpoint was trained with, by the versions that its code names."""

import sys
from pathlib import Path

from environments import make_environment

STACK = ("transformers==4.49.0", "peft==0.17.1", "qwen-vl-utils==0.0.10", "decord==0.6.0", "accelerate")


def main(folder: Path) -> None:
    make_environment(folder, STACK)
    (folder / ".ready").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
