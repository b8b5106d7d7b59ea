"""A with block closes a source, also after an error."""

import pytest

from omnicli.media.closing import Closing


class Source(Closing):
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_a_with_block_closes_its_source_and_lets_errors_through():
    with Source() as source:
        assert not source.is_closed
    assert source.is_closed
    source = Source()
    with pytest.raises(ZeroDivisionError), source:
        raise ZeroDivisionError
    assert source.is_closed
