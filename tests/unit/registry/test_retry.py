from __future__ import annotations

import pytest

from holdall.registry.options import Options
from holdall.registry.retry import CONNECT_RETRIES, MAX_DELAY, Backoff


def delays(backoff: Backoff) -> list[float]:
    found = []
    while (delay := backoff.next(None)) is not None:
        found.append(delay)
    return found


def test_delays_double_up_to_a_limit_and_end() -> None:
    backoff = Backoff(Options(retries=8, backoff=1.0), jitter=lambda: 1.0)
    assert delays(backoff) == [1.0, 2.0, 4.0, 8.0, 16.0, MAX_DELAY, MAX_DELAY, MAX_DELAY]


def test_jitter_takes_off_at_most_half() -> None:
    assert delays(Backoff(Options(retries=2, backoff=1.0), jitter=lambda: 0.0)) == [0.5, 1.0]


def test_retry_after_is_a_minimum() -> None:
    backoff = Backoff(Options(retries=3, backoff=1.0), jitter=lambda: 1.0)
    assert backoff.after_status(429, 7.0) == 7.0
    assert backoff.after_status(503, 0.0) == 2.0


def test_gives_up_when_told_to_wait_too_long() -> None:
    assert Backoff(Options(max_wait=10.0)).after_status(429, 11.0) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 416, 501])
def test_final_statuses_are_not_retried(status: int) -> None:
    assert Backoff(Options()).after_status(status, None) is None


@pytest.mark.parametrize("kind", ["certificate", "tls", "protocol"])
def test_what_would_fail_again_is_not_retried(kind: str) -> None:
    assert Backoff(Options()).after_failure(kind) is None


def test_connecting_is_retried_less_and_on_loopback_not_at_all() -> None:
    backoff = Backoff(Options(retries=9))
    count = 0
    while backoff.after_failure("connect") is not None:
        count += 1
    assert count == CONNECT_RETRIES
    assert Backoff(Options()).after_failure("connect", loopback=True) is None
    assert Backoff(Options()).after_failure("lost", loopback=True) is not None


def test_progress_gives_attempts_back() -> None:
    backoff = Backoff(Options(retries=1))
    assert backoff.next(None) is not None
    assert backoff.next(None) is None
    backoff.restart()
    assert backoff.next(None) is not None


def test_no_retries() -> None:
    assert Backoff(Options(retries=0)).next(None) is None
