"""Numbers and lists in sentences."""

from collections.abc import Sequence


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words as a sentence lists them.

    >>> listed(["a", "b", "c"]), listed(["a", "b"], "or")
    ('a, b and c', 'a or b')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def counted(count: int, noun: str, one: str = "", more: str = "") -> str:
    """A count with its noun, and with a verb where one is given.

    >>> counted(1, "video"), counted(1200, "video")
    ('1 video', '1,200 videos')
    >>> counted(1, "video", "needs", "need"), counted(2, "video", "needs", "need")
    ('1 video needs', '2 videos need')
    """
    verb = one if count == 1 else more
    return f"{count:,} {noun}{'' if count == 1 else 's'}{verb and ' ' + verb}"
