"""The pairs of videos on which models differ most, and what people say of them."""
