"""What every open source of media shares: a ``with`` block closes it."""

from typing import Self


class Closing:
    """Closed at the end of a ``with`` block."""

    def close(self) -> None:
        """Release what is open; nothing by default."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
