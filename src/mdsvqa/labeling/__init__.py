"""Labels from people: the votes of raters, what they say of videos and of raters, and the study that collects them."""
