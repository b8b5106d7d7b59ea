"""Nothing that a terminal obeys comes out of a name."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from omnicli.printable import printable


def test_escapes_are_shown_and_letters_stay():
    assert printable("é 中 🙂 a\\b") == "é 中 🙂 a\\b"
    assert printable("\x1b[2J\x07\x7f\x9b\u202e\u2066") == r"\x1b[2J\x07\x7f\x9b\u202e\u2066"
    assert printable("a\nb\tc\r") == r"a\nb\tc\r"
    assert printable("a\nb\tc\r", keep_lines=True) == "a\nb\tc\\r"


@given(st.text())
def test_no_control_character_is_left(text):
    assert not any(unicodedata.category(character) == "Cc" for character in printable(text))
