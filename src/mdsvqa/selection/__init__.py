"""D: rules, limits, and the distances that they need."""
