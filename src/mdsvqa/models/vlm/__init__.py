"""Vision-language models: what is asked, how answers are read, here or behind a server."""
