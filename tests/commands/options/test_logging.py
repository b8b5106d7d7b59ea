"""What a command says with ``-q`` and ``-v``."""

import pytest

from omnicli.commands.options.logging import LoggingOptions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "filter: done\n"),
        ({"verbose": True}, "filter: done\nfilter: more\n"),
        ({"quiet": True}, ""),
        ({"quiet": True, "verbose": True}, ""),
    ],
)
def test_a_console_is_as_quiet_and_as_verbose_as_asked(options, said, capsys, recwarn):
    console = LoggingOptions(**options).console("filter")
    console.say("done")
    console.detail("more")
    assert capsys.readouterr() == ("", said)
