"""F: encoders of what frames show."""
