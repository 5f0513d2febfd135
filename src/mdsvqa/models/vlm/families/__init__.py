"""What differs from one family of vision-language models to the next."""
