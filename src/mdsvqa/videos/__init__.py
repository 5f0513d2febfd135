"""Which videos there are, what is known of them, and how a file becomes frames."""
