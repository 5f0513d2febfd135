"""The order of a rater's session: who comes when, by chance and by the rules of the study."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

VIDEO, REPEAT, TRAP, ANCHOR, TRAINING = "video", "repeat", "trap", "anchor", "training"


# Nearly always the first order is right; with few contents in a session none may be.
_TRIES = 20


@dataclass(frozen=True)
class Shown:
    """What a slot shows.

    Attributes:
        kind: video, repeat, trap, anchor or training.
        first: number of the stimulus; of the reference in DCR, of A in a pair.
        seconds: of watching.
        contents: that it shows.
        second: number of the stimulus that follows it in DCR, of B in a pair.
        pair: number of the pair.
    """

    kind: str
    first: int
    seconds: float
    contents: frozenset[str]
    second: int | None = None
    pair: int | None = None


@dataclass(frozen=True)
class Rules:
    """Of a session.

    Attributes:
        seconds: of watching, at most.
        repeats: videos that come again.
        gap: slots between the two, at least.
        trap_every, anchor_every: one slot in so many; 0 for none.
    """

    seconds: float
    repeats: int
    gap: int
    trap_every: int
    anchor_every: int


def session_order(
    wanted: Sequence[Sequence[Shown]],
    traps: Sequence[Shown],
    anchors: Sequence[Shown],
    rules: Rules,
    draws: random.Random,
) -> list[Shown]:
    """The slots of one session.

    Args:
        wanted: what the rater has not seen, the most wanted first; each entry is taken whole or not at all.
        traps, anchors: that the rater has not seen; drawn from by chance.
        rules: of the session. A session has one entry of `wanted` at least, however long that is.
        draws: of chance.

    Returns:
        The slots in order: one content does not come twice running where that can be avoided, and a repeat comes more
        than `rules.gap` slots after the first showing. Empty where nothing is wanted.
    """
    traps, anchors = draws.sample(traps, len(traps)), draws.sample(anchors, len(anchors))
    taken: list[Shown] = []
    session: list[Shown] = []
    for entry in wanted:
        candidate = _with_extras([*taken, *entry], traps, anchors, rules, draws)
        if taken and sum(slot.seconds for slot in candidate) > rules.seconds:
            break
        taken, session = [*taken, *entry], candidate
    repeats = [slot for slot in session if slot.kind == REPEAT]
    others = [slot for slot in session if slot.kind != REPEAT]
    best: tuple[int, list[Shown]] | None = None
    for _ in range(_TRIES):
        order = _with_repeats(_apart(others, repeats, rules.gap, draws), repeats, rules.gap, draws)
        wrong = 10 * (len(session) - len(order)) + _touching(order)
        if best is None or wrong < best[0]:
            best = wrong, order
        if not wrong:
            break
    return [] if best is None else best[1]


def _with_extras(
    videos: list[Shown], traps: Sequence[Shown], anchors: Sequence[Shown], rules: Rules, draws: random.Random
) -> list[Shown]:
    repeats = _repeats(videos, rules, draws)
    ordinary = len(videos) + len(repeats)
    shares = [1 / every if every else 0.0 for every in (rules.trap_every, rules.anchor_every)]
    whole = ordinary / max(1 - sum(shares), 0.1)
    extras = [*traps[: round(whole * shares[0])], *anchors[: round(whole * shares[1])]]
    return [*videos, *repeats, *extras]


def _repeats(videos: Sequence[Shown], rules: Rules, draws: random.Random) -> list[Shown]:
    # Fewer videos than the gap leave no place for a repeat.
    room = max(0, len(videos) - rules.gap)
    chosen = draws.sample(range(len(videos)), min(rules.repeats, room))
    return [replace(videos[place], kind=REPEAT) for place in chosen]


def _apart(slots: list[Shown], repeats: Sequence[Shown], gap: int, draws: random.Random) -> list[Shown]:
    """A random order in which one content does not follow itself where that can be avoided.

    What will be repeated comes early enough for that.
    """
    left = draws.sample(slots, len(slots))
    early = {_what(repeat) for repeat in repeats}
    order: list[Shown] = []
    while left:
        counts = Counter(content for slot in left for content in slot.contents)
        last = order[-1].contents if order else frozenset()
        free = [slot for slot in left if not slot.contents & last] or left
        due = [slot for slot in free if slot.kind == VIDEO and _what(slot) in early]
        in_time = len(slots) - gap - 1 - len(order)
        # A content that is more than half of what is left must come now, or it will have to follow itself.
        pressing = [slot for slot in free if any(2 * counts[content] > len(left) for content in slot.contents)]
        chosen = draws.choice(pressing or (due if 0 <= in_time <= 2 * len(early) else []) or free)
        early.discard(_what(chosen))
        left.remove(chosen)
        order.append(chosen)
    return order


def _touching(order: Sequence[Shown]) -> int:
    """How often a content follows itself."""
    return sum(bool(one.contents & other.contents) for one, other in pairwise(order))


def _what(slot: Shown) -> tuple[int, int | None, int | None]:
    return slot.first, slot.second, slot.pair


def _with_repeats(order: list[Shown], repeats: Sequence[Shown], gap: int, draws: random.Random) -> list[Shown]:
    for repeat in repeats:
        first = next(place for place, slot in enumerate(order) if slot.kind == VIDEO and _what(slot) == _what(repeat))
        places = list(range(first + gap + 1, len(order) + 1))
        clear = [p for p in places if not any(slot.contents & repeat.contents for slot in order[p - 1 : p + 1])]
        if places:
            order.insert(draws.choice(clear or places), repeat)
    return order
