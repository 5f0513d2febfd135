"""What leaves a rating study: tables of labels, votes and raters, and the report of how they came about."""
