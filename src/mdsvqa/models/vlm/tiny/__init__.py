"""A tiny checkpoint of the real classes, made and taught on the spot."""
