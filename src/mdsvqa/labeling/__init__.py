"""From a selection to labels: the list that goes out to raters, and the MOS that comes back."""
