"""Quality models in a study, one file a kind; `open.participant` makes the one that a study names."""
