"""How many records a share of them is, exactly: in floats, 0.29 of 50 is less than 14.5."""

from decimal import Decimal


def part_of(total: int, share: float) -> Decimal:
    """``total * share``; the share is the decimal number that a person types."""
    return total * Decimal(repr(float(share)))


def count_of(total: int, share: float) -> int:
    """``floor(total * share + 0.5)``.

    >>> count_of(50, 0.29), int(50 * 0.29 + 0.5)
    (15, 14)
    """
    return int(part_of(total, share) + Decimal("0.5"))
