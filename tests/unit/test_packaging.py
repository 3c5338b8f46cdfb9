# SPDX-License-Identifier: Apache-2.0
"""What is shipped: one wheel and one sdist are built from this checkout and looked into.

The wheel is built with a PATH that has no clang, as on a machine with a C compiler only.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

import verity
from tests.vm.cache import entry

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Where systemd and the boot look, below the prefix: there if the loader could be built.
DATA = re.compile(
    r"[^/]+\.data/data/lib/(verity/(verity-(load|unlock)|gate\.bpf\.o)|systemd/system/.*\.(service|timer))"
)
TOOLS = ["cc", "gcc", "as", "ld", "ar", "ranlib", "cmake", "ninja", "make", "git", "uname"]


@pytest.fixture(scope="session")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with the tools of a C build and without clang."""
    folder = tmp_path_factory.mktemp("bin")
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for tool in TOOLS:
        found = shutil.which(tool, path=places)
        if found is not None:
            (folder / tool).symlink_to(found)
    return str(folder)


def run(*command: str | Path, path: str) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, "CC": "cc"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session's, also of pytest-xdist's other workers: each is built once."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def wheel(shared: Path, plain_path: str) -> zipfile.ZipFile:
    def build(out: Path) -> None:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--no-build-isolation", "--no-deps", "-w", out, ".", path=plain_path)

    entry(shared / "wheel", build)
    (file,) = (shared / "wheel").glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="session")
def sdist(shared: Path, plain_path: str) -> set[str]:
    def build(out: Path) -> None:
        code = "import sys; from scikit_build_core.build import build_sdist as b; b(sys.argv[1])"
        run(sys.executable, "-c", code, out, path=plain_path)

    entry(shared / "sdist", build)
    (file,) = (shared / "sdist").glob("*.tar.gz")
    assert file.name == f"fsverity_chain-{verity.__version__}.tar.gz"
    with tarfile.open(file) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode("utf-8"))


def test_wheel_is_abi3(wheel: zipfile.ZipFile) -> None:
    name = Path(str(wheel.filename)).name
    assert name.startswith(f"fsverity_chain-{verity.__version__}-cp311-abi3-linux_")


@pytest.mark.parametrize(
    "name",
    [
        "verity/_kernel.abi3.so",
        "verity/_kernel.pyi",
        "verity/py.typed",
        "verity/_gate/verity.h",
        "verity/_gate/verity-load",
        "verity/_gate/verity-unlock",
        "verity/ports/kernel.py",
        "verity/formats/fsverity.py",
    ],
)
def test_wheel_contains(wheel: zipfile.ZipFile, name: str) -> None:
    assert name in wheel.namelist()


def test_wheel_has_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    ours = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "verity").rglob("*.py")}
    # built while others write: a module may be younger than the wheel, none may be a stranger
    assert {name for name in ours if name.endswith(".py")} <= modules
    assert all(name.startswith("verity/") or DATA.fullmatch(name) for name in ours)
    assert not [name for name in ours if re.search(r"__pycache__|\.c$|\.cdef\.h$", name)]


def test_without_clang_the_wheel_says_so(wheel: zipfile.ZipFile) -> None:
    assert "verity/_gate/gate.bpf.o" not in wheel.namelist()
    text = wheel.read("verity/_gate/gate.bpf.missing").decode("ascii")
    assert text == "clang was not found when this was built\n"


@pytest.mark.parametrize("name", ["verity-load", "verity-unlock"])
def test_the_programs_in_the_wheel_run_without_a_library(
    wheel: zipfile.ZipFile, tmp_path: Path, name: str
) -> None:
    info = wheel.getinfo(f"verity/_gate/{name}")
    assert info.external_attr >> 16 & 0o111 == 0o111
    program = tmp_path / name
    program.write_bytes(wheel.read(info))
    program.chmod(0o755)
    with program.open("rb") as file:
        assert not [s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_INTERP"]
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name} ")


def test_header_in_the_wheel_is_the_one_header(wheel: zipfile.ZipFile) -> None:
    assert (
        wheel.read("verity/_gate/verity.h") == (ROOT / "policy" / "gate" / "verity.h").read_bytes()
    )


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "cffi-build/CMakeLists.txt",
        "cffi-build/fsverity.c",
        "cffi-build/fsverity.cdef.h",
        "cffi-build/inode.c",
        "cffi-build/stamp.h",
        "policy/gate/gate.bpf.c",
        "policy/gate/loader/load.c",
        "policy/gate/verity.h",
        "policy/systemd/verity-accept.service",
        "policy/systemd/verity-denials.service",
        "policy/systemd/verity-gate.service",
        "policy/systemd/verity-unlock.service",
        "policy/systemd/verity-unlock.timer",
        "verity/_kernel.pyi",
        "tests/unit/test_packaging.py",
    ],
)
def test_sdist_contains(sdist: set[str], name: str) -> None:
    assert name in sdist


def test_sdist_has_no_build_products(sdist: set[str]) -> None:
    assert not [name for name in sdist if re.search(r"^build/|\.so$|\.o$|__pycache__", name)]


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "fsverity-chain"
    assert metadata["Version"] == verity.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)"
    needs = {
        (re.split(r"[<>=]", need)[0], need.partition(";")[2].strip())
        for need in metadata.get_all("Requires-Dist", [])
    }
    always = ("cffi", "click", "cryptography", "pyelftools", "securesystemslib", "segno")
    hsm = ("python-pkcs11", "extra == 'hsm'")
    assert {(name, extra.replace('"', "'")) for name, extra in needs} == {
        *((name, "") for name in always),
        hsm,
    }


def test_securesystemslib_counts_bytes(metadata: Message) -> None:
    assert "securesystemslib>=1.6" in metadata.get_all("Requires-Dist", [])


def test_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "verity = verity.cli.main:main" in wheel.read(name).decode("ascii")


def test_version_has_one_source() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]


def test_no_rebuild_at_import() -> None:
    assert "rebuild" not in PROJECT["tool"]["scikit-build"].get("editable", {})
