"""Numbers in sentences."""


def counted(count: int, noun: str, one: str = "", more: str = "") -> str:
    """A count with its noun, and with a verb where one is given.

    >>> counted(1, "video"), counted(1200, "video")
    ('1 video', '1,200 videos')
    >>> counted(1, "video", "needs", "need"), counted(2, "video", "needs", "need")
    ('1 video needs', '2 videos need')
    """
    verb = one if count == 1 else more
    return f"{count:,} {noun}{'' if count == 1 else 's'}{verb and ' ' + verb}"
