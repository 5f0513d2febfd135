"""What the study says no to, with the status of the answer."""


class Refused(Exception):
    """A request that cannot be granted.

    Attributes:
        status: of HTTP.
        code: for programs, and the name of the sentence in the rater's language.
        detail: what a program needs beside it.
    """

    def __init__(self, status: int, code: str, detail: dict[str, object] | None = None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.detail = detail or {}
