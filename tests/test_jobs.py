"""The Python interface: its names, and the page that documents them."""

import re
from pathlib import Path

from omnicli import jobs

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def test_every_public_name_is_documented():
    text = PAGE.read_text()
    assert [name for name in jobs.__all__ if f"`{name}" not in text] == []


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    """The first block of code, with small inputs under the names that it uses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records").mkdir()
    for name in "ab":
        (tmp_path / "records" / f"{name}.jsonl").write_text(f'{{"id": "{name}", "path": "{name}.jpg"}}\n')
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    assert sorted(path.name for path in (tmp_path / "clips").glob("*.jsonl")) == ["a.jsonl", "b.jsonl"]
    assert "done records/a.jsonl" in capsys.readouterr().out
