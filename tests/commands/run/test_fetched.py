"""What was fetched is counted with the records of its run."""

from collections import Counter

from omnicli.commands.run.fetched import count_fetched, fetched_fields, fetched_lines
from omnicli.streams.files.remote import traffic


def test_runs_add_up_and_local_runs_say_nothing():
    traffic.take()
    counters: Counter[str] = Counter()
    count_fetched(counters)
    assert fetched_fields(counters) == {}
    assert fetched_lines(counters) == []
    traffic.add(1_000_000)
    traffic.add(0)
    count_fetched(counters)
    traffic.add(500_000)
    count_fetched(counters)
    assert fetched_fields(counters) == {"fetched_bytes": 1_500_000, "fetch_requests": 3}
    assert fetched_lines(counters) == ["fetched 1.5 MB in 3 requests"]
