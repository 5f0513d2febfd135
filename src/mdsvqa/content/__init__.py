"""F: frame features that say what a video shows, and the distance between two videos."""
