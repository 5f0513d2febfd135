"""mdsvqa: choose which videos to label next, fine-tune a video quality model on them, prove whether it helped."""

__version__ = "0.1.0"
