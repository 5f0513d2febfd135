"""A corpus of made-up videos with simulated raters."""
