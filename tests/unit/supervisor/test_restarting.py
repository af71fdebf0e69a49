"""Restart policies."""

from __future__ import annotations

import pytest

from holdall.supervisor.launch import RestartPolicy
from holdall.supervisor.restarting import FIRST_DELAY, LONGEST_DELAY, next_delay, wanted


@pytest.mark.parametrize(
    ("policy", "code", "count", "manual", "expected"),
    [
        (RestartPolicy(), 1, 0, False, False),
        (RestartPolicy("always"), 0, 50, False, True),
        (RestartPolicy("always"), 1, 0, True, False),
        (RestartPolicy("unless-stopped"), 0, 3, False, True),
        (RestartPolicy("unless-stopped"), 0, 3, True, False),
        (RestartPolicy("on-failure"), 0, 0, False, False),
        (RestartPolicy("on-failure"), 1, 100, False, True),
        (RestartPolicy("on-failure"), None, 0, False, True),
        (RestartPolicy("on-failure", 3), 1, 2, False, True),
        (RestartPolicy("on-failure", 3), 1, 3, False, False),
    ],
)
def test_when_a_container_is_started_again(
    policy: RestartPolicy, code: int | None, count: int, manual: bool, expected: bool
) -> None:
    assert wanted(policy, code, count, manual=manual) is expected


def test_pauses_grow_to_a_minute_and_start_anew_after_ten_good_seconds() -> None:
    delays = [0.0]
    for _ in range(15):
        delays.append(next_delay(delays[-1], ran=0.1))
    assert delays[1:4] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4]
    assert delays[-1] == LONGEST_DELAY
    assert next_delay(LONGEST_DELAY, ran=11) == FIRST_DELAY
