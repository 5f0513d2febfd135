"""The server of a rating study: pages for raters and the organiser, and the requests behind them."""
