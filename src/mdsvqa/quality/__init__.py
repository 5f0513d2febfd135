"""f: models that predict a video's Mean Opinion Score (MOS)."""
