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


def test_a_url_that_was_a_path_has_both_slashes_and_no_other_text_changes():
    assert printable("failed: s3:/b/a.jsonl: no; https:/h/x -> HF:/m") == (
        "failed: s3://b/a.jsonl: no; https://h/x -> HF://m"
    )
    for text in ("s3://b/a", "C:/b", "news3:/b", "memory:/ and", "a s3: /b", "http:// b"):
        assert printable(text) == text
