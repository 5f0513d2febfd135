"""From a finished study to figures, sentences, tables and the page."""
