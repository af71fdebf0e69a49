from __future__ import annotations

from holdall.registry.server.meters import Meters


def test_rows_are_added_up_over_processes() -> None:
    meters = Meters(2)
    for row in (0, 1):
        meters.use_row(row)
        meters.request("blob", 200, 0.004)
        meters.request("blob", 404, 100.0)
        meters.add("bytes_sent", 10)
        meters.add("in_flight")
    assert meters.total("bytes_sent") == 20
    text = meters.render({"blobs": 3})
    for line in (
        'holdall_registry_requests_total{route="blob",status="2xx"} 2',
        'holdall_registry_requests_total{route="blob",status="4xx"} 2',
        'holdall_registry_request_seconds_bucket{route="blob",le="0.0025"} 0',
        'holdall_registry_request_seconds_bucket{route="blob",le="0.005"} 2',
        'holdall_registry_request_seconds_bucket{route="blob",le="+Inf"} 4',
        'holdall_registry_request_seconds_count{route="blob"} 4',
        "holdall_registry_bytes_sent_total 20",
        "holdall_registry_in_flight 2",
        "holdall_registry_stored_blobs 3",
    ):
        assert line in text.splitlines()
    assert text.endswith("# EOF\n")


def test_a_process_that_begins_anew_has_nothing_in_flight() -> None:
    meters = Meters(1)
    meters.add("in_flight")
    meters.add("bytes_sent", 5)
    meters.use_row(0)
    assert meters.total("in_flight") == 0
    assert meters.total("bytes_sent") == 5
