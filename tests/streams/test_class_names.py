"""Class names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex, normalise_class, read_classes

NAMES = (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
    .map(str.strip)
    .filter(normalise_class)
)


@given(st.lists(NAMES, min_size=1, unique_by=normalise_class))
def test_a_classes_file_gives_its_names_in_order_and_finds_every_spelling(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("classes") / "classes.txt"
    path.write_bytes("\r\n".join(names).encode() + b"\n")
    assert read_classes(path) == names
    index = ClassIndex(names)
    assert len(index) == len(names)
    for label, name in enumerate(names):
        for spelling in (name, name.replace(" ", "_"), name.replace(" ", "-"), f"  {name} ", normalise_class(name)):
            assert index.find(spelling) == label


@given(st.text())
def test_normalising_twice_changes_nothing(name):
    assert normalise_class(normalise_class(name)) == normalise_class(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "classes.txt: no classes; expected one class name per line"),
        (b"a\n\nb\n", "classes.txt:2: a blank line; expected one class name per line"),
        (b"a b\nc\nA_B\n", "classes.txt:3: class 'A_B' is already on line 1"),
        (b"caf\xe9\n", "classes.txt: not UTF-8 at byte 3; expected one class name per line"),
        (None, "classes.txt: no such file; expected a classes file with one name per line"),
    ],
)
def test_a_file_that_cannot_fix_the_order_is_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_classes("classes.txt")
    assert str(caught.value) == message


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfarchery\nsurfing")
    assert read_classes(tmp_path / "classes.txt") == ["archery", "surfing"]


def test_the_nearest_names_are_offered():
    index = ClassIndex(["archery", "playing violin", "playing_piano", "surfing"])
    assert index.find("archry") is None
    assert index.nearest("archry") == ["archery"]
    assert index.nearest("PlayingViolin")[0] == "playing violin"
    assert index.nearest("zzz") == []


def test_a_pointer_of_git_lfs_is_no_list_of_classes(tmp_path):
    (tmp_path / "classes.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
    with pytest.raises(InputError, match=r"classes\.txt: a Git LFS pointer"):
        read_classes(tmp_path / "classes.txt")
