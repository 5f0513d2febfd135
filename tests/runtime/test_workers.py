# The functions mapped are builtins: workers must be able to import them, and test modules are not importable there.
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsvqa.runtime.workers import map_in_workers

DIE = "__import__('os')._exit(7)"


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int) -> None:
    items = [f"[__import__('time').sleep({0.05 * (k % 3)}), {k}][1]" for k in range(12)]
    assert list(map_in_workers(eval, items, workers, crashed=repr)) == list(range(12))


def test_in_this_process_with_few_workers_elsewhere_with_more() -> None:
    item = "__import__('os').getpid()"
    assert list(map_in_workers(eval, [item], 1, crashed=repr)) == [os.getpid()]
    assert list(map_in_workers(eval, [item], 2, crashed=repr)) != [os.getpid()]


def test_reads_a_bounded_number_of_items_ahead() -> None:
    read = []

    def items() -> Iterator[str]:
        for k in range(1000):
            read.append(k)
            yield str(k)

    results = map_in_workers(eval, items(), 2, crashed=repr)
    assert next(results) == 0
    assert len(read) <= 5
    results.close()


def test_a_dead_worker_costs_only_its_item() -> None:
    items = ["0", "1", DIE, "3", "4", "5", "6", DIE, "8"]
    results = list(map_in_workers(eval, items, 2, crashed=lambda item: "crashed" if item == DIE else item))
    assert results == [0, 1, "crashed", 3, 4, 5, 6, "crashed", 8]


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_that_die_one_after_the_other_hold_nothing_up(workers: int) -> None:
    items = [DIE if k % 3 == 2 else str(k) for k in range(9)]
    results = list(map_in_workers(eval, items, workers, crashed=lambda item: -1, ahead=9))
    assert results == [-1 if k % 3 == 2 else k for k in range(9)]


def test_a_worker_that_is_killed_once_costs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    once = f"(lambda p: p.exists() or (p.touch(), {DIE}))(__import__('pathlib').Path({str(mark)!r}))"
    assert list(map_in_workers(eval, ["0", once, "2"], 2, crashed=repr)) == [0, True, 2]


def test_results_and_errors_that_cannot_be_sent_are_errors_and_the_worker_goes_on() -> None:
    results = map_in_workers(eval, ["lambda: 0", "1"], 2, crashed=repr)
    with pytest.raises(Exception, match="pickle"):
        next(results)
    error = "(_ for _ in ()).throw(type('Odd', (Exception,), {})('of no module'))"
    with pytest.raises(RuntimeError, match="Odd: of no module") as raised:
        list(map_in_workers(eval, [error, "1"], 2, crashed=repr))
    assert "In a worker process" in raised.value.__notes__[0]
    assert list(map_in_workers(eval, ["1", "2"], 2, crashed=repr)) == [1, 2]


def test_exceptions_come_through_at_their_item() -> None:
    results = map_in_workers(eval, ["1", "1 / 0", "3"], 2, crashed=repr)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_script_without_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mdsvqa.runtime.workers import map_in_workers\nlist(map_in_workers(eval, ['1'], 2, crashed=repr))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "if __name__ == '__main__'" in ran.stderr
