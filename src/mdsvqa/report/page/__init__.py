"""One self-contained HTML page, from plain values."""
