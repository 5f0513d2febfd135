"""What a rating study keeps: stimuli, links, sessions, plays, votes, in one SQLite file with one writer."""
