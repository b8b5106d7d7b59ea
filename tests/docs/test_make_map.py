from pathlib import Path

from load_script import load_script

DOCS = Path(__file__).resolve().parents[2] / "docs"


make_map = load_script(DOCS / "make_map.py")


def test_the_map_has_a_heading_per_folder_and_a_line_per_module(tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text('"""The package."""\n')
    (package / "a.py").write_text('"""Reads ``b``.\n\nMore words.\n"""\n')
    (package / "inner" / "__init__.py").write_text('"""The inner part."""\n')
    lines = [line for line in make_map.map_lines(package) if line]
    assert lines == ["### `package/`", "The package.", "- `a.py`: Reads `b`", "### `package/inner/`", "The inner part."]


def test_only_the_text_between_the_markers_changes():
    page = f"before\n{make_map.BEGIN}\nstale text\n{make_map.END}\nafter\n"
    new = make_map.with_map(page)
    assert new.startswith(f"before\n{make_map.BEGIN}\n") and new.endswith(f"\n{make_map.END}\nafter\n")
    assert "stale text" not in new and "- `app.py`: " in new
    assert make_map.with_map(new) == new
