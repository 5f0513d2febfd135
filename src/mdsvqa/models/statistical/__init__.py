"""The embedded model: a kernel regression on statistics of frames."""
