"""The score in what a vision-language model wrote: one documented outcome for anything it can write.

| in the last `<answer>` | outcome |
|---|---|
| `3.42`, `3`, ` 3.20 `, `+3.2`, `3.` | that number |
| `4.5/5`, `4.5 / 5.0`, `4.5 out of 5` | the number before the 5 |
| `Score: 3.2`, `**3.2**`, `3.2.`, `3.2 (fair)`, `3.2 points` | the only number in it |
| `7.5`, `-1`, `0.3`, `.5`, `10/5` | out of range: a number, but not on the 1-5 scale |
| `3,42` | unparsable: a decimal comma or two numbers, nobody can tell |
| `3.2 or 4.1`, `3-4`, `4/10`, `1.2.3`, `3.2e1`, `3%`, `v3` | unparsable |
| digits of other scripts (`٣`, `３.２`, `²`), `three`, nothing | unparsable |

Tags may be in any case and hold spaces. Text behind the closing tag does not matter. An `<answer>` that is not closed
is unparsable even with a number behind it: a reply that was cut off there may have lost digits. So is a reply without
any `<answer>`, even a bare number: the model did not answer in the form that it was asked for.
"""

import re
from dataclasses import dataclass
from typing import Literal

LOWEST, HIGHEST = 1.0, 5.0
AnswerStatus = Literal["ok", "out_of_range", "unparsable"]

_OPENING = re.compile(r"<\s*answer\s*>", re.IGNORECASE)
_CLOSING = re.compile(r"<\s*/\s*answer\s*>", re.IGNORECASE)
# Everything that could be a number or several: digits with points and commas between or before them.
_NUMBER_LIKE = re.compile(r"[.,]*[0-9](?:[0-9.,]*[0-9])?")
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_FIVE = re.compile(r"5(?:\.0+)?")
_OUT_OF = re.compile(r"\s*(?:/|out\s+of)\s*", re.IGNORECASE)
_MINUS = "-\u2212"


@dataclass(frozen=True)
class Answer:
    """What a reply says.

    Attributes:
        value: on the 1-5 scale; None unless the status is "ok".
        status: "ok", "out_of_range" or "unparsable".
    """

    value: float | None
    status: AnswerStatus


UNPARSABLE = Answer(None, "unparsable")
OUT_OF_RANGE = Answer(None, "out_of_range")


def parse_answer(reply: str) -> Answer:
    """Reads the score in the last `<answer>` of a reply; the module's table says what counts.

    >>> parse_answer("<think>Sharp.</think><answer>4.5/5</answer>")
    Answer(value=4.5, status='ok')
    >>> parse_answer("<answer>7.5</answer>").status, parse_answer("It is good.").status
    ('out_of_range', 'unparsable')
    """
    openings = list(_OPENING.finditer(reply))
    closing = _CLOSING.search(reply, openings[-1].end()) if openings else None
    if closing is None:
        return UNPARSABLE
    value = only_number(reply[openings[-1].end() : closing.start()])
    if value is None:
        return UNPARSABLE
    return Answer(value, "ok") if LOWEST <= value <= HIGHEST else OUT_OF_RANGE


def only_number(text: str) -> float | None:
    """The one number that a text states, with or without "out of 5"; None where there is none or more than one.

    >>> only_number("Score: 3.2"), only_number("-1"), only_number("3-4")
    (3.2, -1.0, None)
    """
    # Digits of other scripts, superscripts, fractions: whoever guesses their value may be wrong.
    if any(character.isnumeric() and not character.isascii() for character in text):
        return None
    found = list(_NUMBER_LIKE.finditer(text))
    if len(found) == 2 and _FIVE.fullmatch(found[1][0]) and _OUT_OF.fullmatch(text, found[0].end(), found[1].start()):
        end = found.pop().end()
    elif len(found) == 1:
        end = found[0].end()
    else:
        return None
    number = found[0]
    before, after = text[: number.start()], text[end:]
    if not _DECIMAL.fullmatch(number[0]) or re.match(r"[\w%]", after) or re.search(r"\w$", before):
        return None
    negative = before[-1:] in tuple(_MINUS) and not re.search(rf"\w\s*[{_MINUS}]$", before)
    return -float(number[0]) if negative else float(number[0])
