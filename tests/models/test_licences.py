"""Weights that are not for commercial use are named once."""

import warnings

import pytest

from omnicli.models.licences import is_non_commercial, licence_of, say_licence


def test_once_per_file():
    with pytest.warns(UserWarning, match="a: licence cc-by-nc-4.0: these weights.*not for commercial use"):
        say_licence("cc-by-nc-4.0", path="a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_licence("cc-by-nc-4.0", path="a")
        say_licence("apache-2.0", path="b")
        say_licence("", path="b")


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "CC BY-NC 4.0", "noncommercial", "apple-amlr"])
def test_names_of_such_licences(licence):
    assert is_non_commercial(licence)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: other\nlicense_name: some-research-licence\n---\n", "some-research-licence"),
        ("---\nlicense_name: 'a'\nlicense: other\n---\n", "a"),
        ("---\nlicense: mit\n---\nlicense: other", "mit"),
        ("license: mit\n", ""),
    ],
)
def test_the_name_of_a_licence_of_its_own_is_said(tmp_path, card, licence):
    (tmp_path / "README.md").write_text(card)
    assert licence_of(tmp_path) == licence
    assert licence_of(tmp_path / "none") == ""
