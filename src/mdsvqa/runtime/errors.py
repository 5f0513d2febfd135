"""What a user can get wrong."""


class InputError(ValueError):
    """Something handed in cannot be used; the message names it, what was found, what was expected, and the way out."""
