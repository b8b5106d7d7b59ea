"""Queries of INPUTs that a shell has expanded: ``web/images/*`` and ``web/images/*/*``.

A folder gives its name as the query to the files in it, but an INPUT's own name is not a query: ``omni index
web/images`` may be a crawl without queries. Ours: two INPUTs side by side show that the folders have been expanded.
Folders with the same parent give their names as queries to the files in them (if they have no folders of their own);
media files in two or more folders with the same parent have the names of these folders as queries.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Sequence


def queries_of_inputs(names: Sequence[str], *, not_media: Collection[str] = ()) -> dict[str, str]:
    """The query of each INPUT that shows one by its place beside others.

    Args:
        names: INPUTs, as given.
        not_media: suffixes of files that name no single medium, in small letters.
    """
    if len(names) < 2:
        return {}
    folders: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # parent → query → INPUTs
    files: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in dict.fromkeys(names):
        if name == "-" or "\0" in name:
            continue
        if os.path.isdir(name):  # noqa: PTH112 (Path refuses some names)
            parent, query = os.path.split(os.path.abspath(name))  # noqa: PTH100 (links are not followed)
            folders[parent][query].append(name)
        elif not name.lower().endswith(tuple(not_media)):
            parent, query = os.path.split(os.path.dirname(os.path.abspath(name)))  # noqa: PTH100, PTH120
            files[parent][query].append(name)
    beside = [queries for found in (folders, files) for queries in found.values() if len(queries) > 1]
    return {name: query for queries in beside for query, group in queries.items() for name in group}


def folder_above(name: str) -> str:
    """The folder above a folder, or above the folder of a file, as a user would type it.

    >>> folder_above("."), folder_above("web/archery/a.jpg")
    ('../', 'web/')
    """
    folder = os.path.normpath(name if os.path.isdir(name) else os.path.dirname(name))  # noqa: PTH112, PTH120
    if os.path.basename(folder) in (".", ".."):  # noqa: PTH119
        folder = os.path.join(folder, "..", "x")  # noqa: PTH118
    return os.path.join(os.path.normpath(os.path.dirname(folder)), "")  # noqa: PTH118, PTH120
