"""URLs: only what was typed is opened, and no path leaves its root."""

from pathlib import Path

import pytest

from omnicli import extras
from omnicli.errors import UsageError
from omnicli.streams.files.media_files import media_path
from omnicli.streams.files.urls import RemoteError, allow_typed, check_allowed, join_url, need_stores, shown, url_of
from omnicli.streams.read.file_records import record_path


@pytest.fixture(autouse=True)
def _nothing_allowed():
    yield
    allow_typed([])


def test_a_path_of_pathlib_is_the_same_url():
    assert url_of(Path("s3://b/x") / "a.jsonl") == "s3://b/x/a.jsonl" == shown(Path("s3://b/x/a.jsonl"))
    assert url_of("S3://b/x") == "s3://b/x"
    for local in ("s3", "web/s3:/x", "c:/x", "file:///etc/passwd", "/data/http://x/a.jpg", "ftp://h/a", "s3:x"):
        assert url_of(local) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://typed.example:81/a", "http://typed.example@evil.example/a", "http://typed.example:80@evil.example/a",
        "http://evil.example/http://typed.example/", "https://typed.example/a", "http://typed.example.evil.example/a",
        "http://evil.example\\@typed.example/a", "gs://bucket/a", "memory://a", "hf://datasets/a",
    ],
)  # fmt: skip
def test_another_scheme_host_or_port_is_not_opened(url):
    allow_typed(["filter", "--root=http://typed.example", "s3a://bucket/x"])
    check_allowed("http://TYPED.example/b?c#d")
    check_allowed("s3://other-bucket/y")  # of object stores the scheme alone counts
    with pytest.raises(RemoteError, match="is not opened: no argument of the command names it"):
        check_allowed(url)


def test_a_path_does_not_leave_its_root():
    assert join_url("s3://b/crawl", "/etc/passwd") == "s3://b/crawl/etc/passwd"
    assert join_url("http://h/crawl/", "web/../../../x.jpg") == "http://h/crawl/x.jpg"
    assert join_url("http://h/crawl", "ü/100%.jpg") == "http://h/crawl/%C3%BC/100%25.jpg"


def test_media_paths_join_roots_of_each_kind():
    assert media_path({"path": "a.jpg"}, "s3://b/crawl") == "s3://b/crawl/a.jpg"
    assert media_path({"path": "gs://c/a.jpg"}, "s3://b/crawl") == "gs://c/a.jpg"  # and is refused when it is opened
    assert media_path({"path": "gs://c/a.jpg"}, "/data") == "gs://c/a.jpg"
    assert media_path({"path": "/data/a.jpg"}, "s3://b/crawl") == "s3://b/crawl/data/a.jpg"
    assert record_path("s3://b/crawl/web/a.jpg", "s3://b/crawl/") == "web/a.jpg"
    assert record_path("s3://b/other/a.jpg", "s3://b/crawl") == "s3://b/other/a.jpg"
    assert record_path("s3://b/crawl/a.jpg", None) == "s3://b/crawl/a.jpg"


def test_a_store_without_its_library_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    need_stores(["web/", "https://host/a", "memory://a", "--title=a:b", "--limit=3"])
    for argument in ("gs://bucket/a", "--root=gs://bucket"):
        with pytest.raises(UsageError, match=r"^gs:// needs gcsfs: pip install 'omnicli\[gcs\]'$"):
            need_stores([argument])
