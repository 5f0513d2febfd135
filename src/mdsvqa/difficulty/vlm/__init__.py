"""g as an adapter on a vision-language model, and how unstable its score is."""
