"""g: predicts how wrong the quality model f will be on a video nobody has rated."""
