"""The container recipes: both install the same way, and nothing that they name is missing."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKER = (REPOSITORY / "containers" / "Dockerfile").read_text()
APPTAINER = (REPOSITORY / "containers" / "omni.def").read_text()


def test_both_recipes_install_alike():
    """The defaults, and the line that installs omni."""
    assert dict(re.findall(r"^ARG (\w+)=(.*)$", DOCKER, re.M)) == dict(
        re.findall(r"^    ([A-Z]+)=(.*)$", APPTAINER, re.M)
    )
    [installed] = re.findall(r"uv pip install .*", DOCKER)
    assert installed.replace("${TORCH}", "{{ TORCH }}").replace("${EXTRAS}", "{{ EXTRAS }}") in APPTAINER


def test_named_extras_exist_and_the_command_is_installed():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r"EXTRAS='\[(.*)\]'", DOCKER)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert 'ENTRYPOINT ["omni"]' in DOCKER and "omni" in project["scripts"]


def test_the_build_context_leaves_out_environments():
    """A copied .venv would add gigabytes."""
    assert {".venv", ".git"} <= set((REPOSITORY / ".dockerignore").read_text().splitlines())


def test_the_steps_of_the_apptainer_recipe_parse(tmp_path):
    [steps] = re.findall(r"%post\n(.*?)\n%", APPTAINER, re.S)
    done = subprocess.run(["bash", "-n"], input=steps, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs hadolint")
def test_the_dockerfile_passes_its_linter():
    command = ["hadolint", "--ignore", "DL3008", "--ignore", "DL3013", str(REPOSITORY / "containers" / "Dockerfile")]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout
