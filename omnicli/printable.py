"""Text that is safe to print: names of files come from anywhere, and a terminal obeys control characters."""

import re

SCHEMES = ("s3", "s3a", "gs", "gcs", "hf", "http", "https", "memory")  # of URLs that are read and written
_URL_OF_A_PATH = re.compile(rf"\b({'|'.join(SCHEMES)}):/(?=[^/\s])", re.IGNORECASE)

# C0, DEL, C1, line separators, and what reverses the direction of text: a name cannot hide its suffix
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROLS_IN_LINES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, keep_lines: bool = False) -> str:
    r"""The text with control characters as escapes, and URLs with both slashes, of which a Path keeps one.

    Args:
        text: one line, or more.
        keep_lines: leave ends of lines and tabs.

    >>> print(printable("a\x1b[31m\u202egpj.exe"))
    a\x1b[31m\u202egpj.exe
    >>> print(printable("s3:/bucket/a.jsonl: no such file"))
    s3://bucket/a.jsonl: no such file
    """
    if ":/" in text:
        text = _URL_OF_A_PATH.sub(r"\1://", text)
    controls = _CONTROLS_IN_LINES if keep_lines else _CONTROLS
    return controls.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
