"""Where the files in the layout of the released checkpoint are."""

from pathlib import Path

STACK = Path(__file__).parent / "reference_stack"
