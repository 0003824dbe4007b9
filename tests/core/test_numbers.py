"""Numbers of names: one each, kept while referred to, and given again after."""

from __future__ import annotations

import pytest

from stream.core.numbers import Numbers


def test_a_name_keeps_its_number_while_anything_refers_to_it() -> None:
    """The last reference says so; the name can still be read until its number is freed."""
    numbers: Numbers[str] = Numbers(reserved=1)
    assert [numbers.hold(name) for name in ("a", "b", "a")] == [1, 2, 1]
    assert not numbers.let_go(1)
    assert numbers.let_go(1)
    assert numbers.names == [None, "a", "b"]
    numbers.free(1)
    assert (numbers.names, numbers.of) == ([None, None, "b"], {"b": 2})


def test_many_names_are_held_like_one_by_one() -> None:
    """Each mention is a reference; nobody is number 0 and has none."""
    numbers: Numbers[str] = Numbers(reserved=1)
    assert numbers.hold_all(["a", None, "b", "a"]) == [1, 0, 2, 1]
    assert [numbers.let_go(number) for number in (1, 1, 2)] == [False, True, True]


def test_a_freed_number_serves_another_name() -> None:
    """So that names that come and go take no more room than those that are there."""
    numbers: Numbers[str] = Numbers()
    for name in ("a", "b", "c"):
        number = numbers.hold(name)
        assert number == 0
        assert numbers.let_go(number)
        numbers.free(number)
    assert numbers.names == [None]


def test_a_number_in_use_is_not_freed() -> None:
    """Nor one that was never given: another name would stand for the same sums."""
    numbers: Numbers[str] = Numbers(reserved=1)
    number = numbers.hold("a")
    with pytest.raises(AssertionError, match="only an unused number"):
        numbers.free(number)
    with pytest.raises(AssertionError, match="only a given number"):
        numbers.free(0)
