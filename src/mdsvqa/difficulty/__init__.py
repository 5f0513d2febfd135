"""g: failure predictors, and what they are compared with."""
