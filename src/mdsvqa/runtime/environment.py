"""Variables of the environment that are read here; without imports, so that a command starts at once."""

# Read by numeric libraries when they are imported: how many threads they use.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Nothing but errors is said; what is said has its time.
QUIET, VERBOSE = "MDSVQA_QUIET", "MDSVQA_VERBOSE"
# Bytes of the disk that copies of objects may take, and the run that they are counted for.
SPOOL, SPOOL_RUN = "MDSVQA_SPOOL", "MDSVQA_SPOOL_RUN"
