"""Rules of the code base that a machine can check: layers, names, sizes, tests and words."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "omnicli"
MODULES = sorted(PACKAGE.rglob("*.py"))
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
RANK = {name.strip(): rank for rank, layer in enumerate(LAYERS) for name in layer.split("|")}

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: set[str] = set()
UNTESTED: set[str] = {"omnicli.__main__"}
ROOT_MODULES = {
    "__init__", "__main__", "app", "console", "cpus", "errors", "extras", "jobs", "memory_limit", "printable",
    "process", "reasons", "rng",
}  # fmt: skip
SHARED_CLASS_NAMES: set[str] = set()
BANNED_FILE_NAMES = {"utils", "util", "helpers", "common", "misc", "core", "base"}
BANNED_WORDS = ("TODO", "FIXME", "XXX", "NotImplementedError", "pypi.org", "pythonhosted")
PRIVATE_WORDS = re.compile(  # CONTRIBUTING.md says which terms to use; quoted, they are keys of files
    r"""(?<![A-Za-z"`])(pictures?|trunks?|glances?|ledgers?|catalogues?|placings?|lulls?|beliefs?|lots|books|(?<!_)feeds?
    |tells?(?!\()|told|judges?|judged|looks?(?!\s(at|up|for|like|alike|ahead|back)\b))(?![A-Za-z"`])""",
    re.IGNORECASE | re.VERBOSE,
)
BARE_REFERENCE = re.compile(r"(?<!OmniSource )(?<!IG-65M )(?<!, )Sec\. \d|(CHECKPOINTS|DESIGN|STYLE|HOUSE) section")
GENERATED = {"ARCHITECTURE.md", "docs/studies/RESULTS.md"}  # from words that are checked where they stand
HEAVY = ("torch", "torchvision", "timm", "numpy", "cv2", "av", "h5py")


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    return name.removesuffix(".__init__")


def layer_of(module: str) -> str | None:
    return next((name for name in RANK if module == name or module.startswith(name + ".")), None)


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every omnicli module a file imports, wherever the import stands; for type checking alone does not count."""
    tree = ast.parse(path.read_text())
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for block in for_types for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (REPOSITORY / Path(*inner.split("."))).with_suffix(".py").exists()
                yield (inner if is_module else node.module), node.lineno


def test_imports_point_down():
    upward = []
    for path in MODULES:
        here = layer_of(module_name(path))
        for imported, line in imports_of(path):
            there = layer_of(imported)
            if here and there and here != there and RANK[there] <= RANK[here]:
                upward.append(f"{path.relative_to(REPOSITORY)}:{line} imports {imported}")
    assert upward == []


def test_stages_do_not_know_each_other():
    sideways = [
        f"{path.relative_to(PACKAGE)}:{line} imports {imported}"
        for path in (PACKAGE / "stages").rglob("*.py")
        for imported, line in imports_of(path)
        if imported.startswith("omnicli.stages.") and imported.split(".")[2] != module_name(path).split(".")[2]
    ]
    assert sideways == []


def test_every_module_has_its_place_in_the_layers():
    top = {module_name(path) for path in MODULES} - {"omnicli", "omnicli.__main__"}
    assert [name for name in sorted(top) if layer_of(name) is None] == []


def test_every_module_has_a_test_of_the_same_name():
    missing = []
    for path in MODULES:
        inside = path.relative_to(PACKAGE)
        if path.name == "__init__.py" or module_name(path) in UNTESTED:
            continue
        wanted = f"{inside.parent}/test_{inside.name}"
        options_of_a_command = wanted.replace("commands/options/", "commands/")
        if not any((REPOSITORY / "tests" / name).exists() for name in (wanted, options_of_a_command)):
            missing.append(str(inside))
    assert missing == []


def test_every_test_file_is_collected():
    stray = [
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "tests").rglob("*.py")
        if "def test_" in path.read_text() and not path.name.startswith("test_")
    ]
    assert stray == []


def test_init_files_import_nothing():
    busy = [str(path) for path in MODULES if path.name == "__init__.py" and list(imports_of(path))]
    assert busy == []


def test_files_are_short():
    long = {}
    scripts = [path for folder in ("docs", "examples") for path in sorted((REPOSITORY / folder).glob("*.py"))]
    for path in [*MODULES, *scripts]:
        lines = len(path.read_text().splitlines())
        name = str(path.relative_to(REPOSITORY))
        if lines > LONG_FILES.get(name, MAX_FILE_LINES):
            long[name] = lines
    assert long == {}


def test_functions_are_short():
    long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{module_name(path)}.{node.name}"
                lines = body_lines(node)
                if lines > MAX_FUNCTION_LINES and name not in LONG_FUNCTIONS:
                    long[name] = lines
    assert long == {}


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines after the signature and the docstring: a command's options are a table, not code."""
    has_docstring = ast.get_docstring(node, clean=False) is not None
    body = node.body[1:] if has_docstring else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_only_listed_modules_lie_in_the_package_root():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= ROOT_MODULES


def test_no_two_public_classes_have_one_name():
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} <= SHARED_CLASS_NAMES


def test_names_say_what_a_file_is_for():
    assert [str(path) for path in MODULES if path.stem in BANNED_FILE_NAMES] == []


def test_nothing_is_left_half_done():
    here = Path(__file__).resolve()
    files = [path for folder in ("omnicli", "tests", "examples", "docs") for path in (REPOSITORY / folder).rglob("*")]
    files += [REPOSITORY / "pyproject.toml", REPOSITORY / "README.md"]
    found = []
    for path in files:
        if path.suffix not in {".py", ".sh", ".toml", ".md", ".jinja"} or path == here or not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(REPOSITORY)}: {word}" for word in BANNED_WORDS if word in text]
    assert found == []


def test_words_are_those_of_the_field_and_references_name_their_paper():
    files = [*MODULES, *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md"), *PACKAGE.rglob("*.jinja")]
    found = {}
    for path in files:
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY))
        words = {match.group().lower() for match in PRIVATE_WORDS.finditer(text)}
        if path.suffix == ".py":
            words |= {match.group() for match in BARE_REFERENCE.finditer(text)}
        if words and name not in GENERATED:
            found[name] = words
    assert found == {}


def test_the_architecture_page_lists_every_layer_and_module():
    page = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = [", ".join(f"`{name.strip().removeprefix('omnicli.')}`" for name in layer.split("|")) for layer in LAYERS]
    for number, layer in enumerate(listed, 1):
        assert f"\n{number}. {layer}: " in page, "ARCHITECTURE.md: layers differ from pyproject.toml"
    _, _, section = page.partition("## Map")
    mapped = {
        f"{folder}{module}"
        for folder, modules in re.findall(r"### `(\S+)`\n(.*?)(?=\n### |\Z)", section, re.DOTALL)
        for module in re.findall(r"^- `(\S+\.py)`: ", modules, re.MULTILINE)
    }
    modules = {str(path.relative_to(REPOSITORY)) for path in MODULES if path.name != "__init__.py"}
    assert sorted(mapped ^ modules) == [], "run: python docs/make_map.py"


def test_the_files_that_the_architecture_page_names_exist():
    page = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:omnicli|tests|docs)/[\w/]+\.(?:py|md|sh))`", page))
    assert len(named) > 30
    assert sorted(name for name in named if not (REPOSITORY / name).exists()) == []


def test_no_function_passes_unknown_keywords_on():
    found = [
        f"{module_name(path)}.{node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None and "kwargs" in node.args.kwarg.arg
    ]
    assert found == []


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(done.stdout.splitlines()[-1].split()) if done.stdout.strip() else set()


def test_help_loads_no_heavy_library():
    run = "from typer.testing import CliRunner; from omnicli.app import app; "
    assert loaded_by(run + "assert CliRunner().invoke(app, ['--help']).exit_code == 0") == set()


def test_stages_without_a_model_load_no_torch():
    for stage in ("index", "report", "balance", "queries", "pack", "inflate"):
        assert "torch" not in loaded_by(
            f"import omnicli.stages.{stage}, omnicli.streams.read.reader, omnicli.media.source"
        )


def test_a_3d_model_is_loaded_without_the_libraries_of_others():
    """torchvision loads torch._dynamo, which takes as long as all the rest of the start of a task."""
    code = "import omnicli.inference.scorer, omnicli.models.loading; from omnicli.models.architectures import new_model"
    assert loaded_by(f"{code}; new_model('slowonly-r50', 2)") & {"torchvision", "timm"} == set()
