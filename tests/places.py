"""Where files are that tests read."""

from pathlib import Path

# Files in the layout of the released checkpoint.
STACK = Path(__file__).parent / "reference_stack"
# Real data, which may lie beside this checkout; tests of them are skipped where it does not.
DATA = Path(__file__).parents[2] / "shared" / "data"
REAL_POOL = DATA / "youtube_sfv_sdr" / "pool.csv"
# Environments that `make vllm` and `make reference` install.
VLLM = Path(__file__).parents[1] / ".vllm"
REFERENCE = Path(__file__).parents[1] / ".reference"
