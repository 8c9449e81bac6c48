"""Who guesses is slowed down; who does not is left alone."""

from __future__ import annotations

import threading

import pytest

from api.throttle import (
    FORGOTTEN_AFTER_SECONDS,
    FREE_TRIES,
    FREE_TRIES_OF_ADDRESS,
    KEYS_MAX,
    LONGEST_WAIT_SECONDS,
    Throttle,
    TooManyTries,
)


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def use_up(throttle: Throttle, name: str = "ann", address: str = "10.0.0.1") -> None:
    for _ in range(FREE_TRIES):
        throttle.begin(name, address)


def test_each_wait_is_twice_the_last_up_to_a_quarter_of_an_hour() -> None:
    seconds = Seconds()
    throttle = Throttle(seconds)
    use_up(throttle)
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyTries) as refused:
            throttle.begin("ann", "10.0.0.1")
        waits.append(refused.value.wait_seconds)
        seconds.now += refused.value.wait_seconds
        throttle.begin("ann", "10.0.0.1")
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == LONGEST_WAIT_SECONDS


def test_another_name_and_another_address_go_on() -> None:
    throttle = Throttle(Seconds())
    use_up(throttle)
    throttle.begin("bob", "10.0.0.1")
    throttle.begin("ann", "10.0.0.2")
    with pytest.raises(TooManyTries):
        throttle.begin("ANN", "10.0.0.1")


def test_an_address_that_tries_many_names_waits_too() -> None:
    throttle = Throttle(Seconds())
    for number in range(FREE_TRIES_OF_ADDRESS):
        throttle.begin(f"user-{number}", "10.0.0.1")
    with pytest.raises(TooManyTries):
        throttle.begin("one-more", "10.0.0.1")


def test_the_addresses_of_one_ipv6_network_are_one() -> None:
    throttle = Throttle(Seconds())
    use_up(throttle, address="2001:db8::1")
    with pytest.raises(TooManyTries):
        throttle.begin("ann", "2001:db8::ffff")
    throttle.begin("ann", "2001:db8:0:1::1")


def test_a_right_password_and_an_hours_rest_are_a_fresh_start() -> None:
    seconds = Seconds()
    throttle = Throttle(seconds)
    use_up(throttle)
    throttle.succeeded("ann", "10.0.0.1")
    use_up(throttle)
    seconds.now += FORGOTTEN_AFTER_SECONDS + 1
    use_up(throttle)


def test_many_tries_at_once_are_no_way_round() -> None:
    throttle = Throttle(Seconds())
    heard: list[bool] = []
    gate = threading.Barrier(20)

    def guess() -> None:
        gate.wait()
        try:
            throttle.begin("ann", "10.0.0.1")
            heard.append(True)
        except TooManyTries:
            heard.append(False)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard.count(True) == FREE_TRIES


def test_what_is_remembered_has_a_limit() -> None:
    throttle = Throttle(Seconds())
    for number in range(KEYS_MAX):
        throttle.begin("ann", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(throttle._tries) == KEYS_MAX


def test_a_wait_is_told_in_words() -> None:
    assert str(TooManyTries(1)) == "too many tries: try again in 1 second"
    assert str(TooManyTries(61)) == "too many tries: try again in 2 minutes"
