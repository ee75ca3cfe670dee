"""What importing the package brings in, and which codec it takes: each in an interpreter of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

import getnet_pos

SOURCE = Path(getnet_pos.__file__).parent
BUILT = find_spec("getnet_pos.codec._native") is not None
needs_native = pytest.mark.skipif(not BUILT, reason="the native codec was not built")

FOREIGN = {"typer", "rich", "psycopg", "starlette", "uvicorn", "Cython", "hypothesis", "pytest"}
WITHOUT_FOREIGN = f"import sys; sys.modules.update(dict.fromkeys({FOREIGN!r})); import getnet_pos; print('works')"
SHOW_BACKEND = "from getnet_pos import codec; print(codec.BACKEND)"


def run(code: str, *, backend: str | None = None, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``code``; with ``path``, the package is taken from there alone."""
    environment = {name: value for name, value in os.environ.items() if name != "GETNET_POS_BACKEND"}
    if backend is not None:
        environment["GETNET_POS_BACKEND"] = backend
    if path is not None:
        code = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def pure_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed where the extension was not built."""
    folder = tmp_path_factory.mktemp("pure")
    without_extension = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(SOURCE, folder / "getnet_pos", ignore=without_extension)
    return folder


def test_the_library_works_without_what_only_its_extras_need() -> None:
    done = run(WITHOUT_FOREIGN)
    assert (done.stdout, done.stderr) == ("works\n", "")


def test_a_journal_in_a_database_says_what_it_needs() -> None:
    done = run(
        "import sys; sys.modules['psycopg'] = None\n"
        "from getnet_pos.journal import open_journal\n"
        "try: open_journal('postgresql://localhost/shop')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    assert done.stdout == (
        'ConfigurationError a journal in PostgreSQL needs psycopg: pip install "getnet-pos[postgres]"\n'
    )


def test_all_names_of_the_simulator_are_there_without_its_extra() -> None:
    done = run("import sys; sys.modules['uvicorn'] = None\nfrom getnet_pos.simulator import *; print('works')")
    assert (done.stdout, done.stderr) == ("works\n", "")
    done = run("from getnet_pos.simulator import HttpServer; print(HttpServer.__name__)")
    assert done.stdout == "HttpServer\n"


def test_the_extra_of_the_simulator_is_named() -> None:
    code = """if True:
        import sys
        sys.modules.update(dict.fromkeys(["starlette", "uvicorn", "wsproto"]))
        from getnet_pos import simulator
        from getnet_pos.simulator.cloud import VirtualCloud
        uses = [
            lambda: simulator.HttpServer,
            lambda: simulator.ScreenServer,
            lambda: VirtualCloud().__enter__(),
            lambda: __import__("getnet_pos.simulator.equipment"),
        ]
        for use in uses:
            try:
                use()
            except ModuleNotFoundError as error:
                print(error)
    """
    said = run(code).stdout.splitlines()
    assert len(said) == 4
    assert all(line.endswith('pip install "getnet-pos[simulator]"') for line in said)


@needs_native
def test_the_native_codec_runs_where_it_is() -> None:
    assert run(SHOW_BACKEND).stdout == "native\n"
    assert run(SHOW_BACKEND, backend="").stdout == "native\n"
    assert run(SHOW_BACKEND, backend="native").stdout == "native\n"


def test_the_pure_codec_runs_where_it_is_asked_for() -> None:
    assert run(SHOW_BACKEND, backend="pure").stdout == "pure\n"


@needs_native
def test_both_codecs_side_by_side() -> None:
    done = run(
        "from getnet_pos import codec; pure, native = codec.backend('pure'), codec.backend('native')\n"
        "print(codec.BACKEND, pure.BACKEND, native.BACKEND, pure.lrc(b'103') == native.lrc(b'103'))",
        backend="pure",
    )
    assert done.stdout == "pure pure native True\n"


def test_an_unknown_codec_is_named() -> None:
    done = run(SHOW_BACKEND, backend="rust")
    assert done.returncode == 1
    assert "there is no codec backend 'rust': use 'native' or 'pure'" in done.stderr.splitlines()[-1]


def test_without_the_extension_the_pure_codec_runs(pure_only: Path) -> None:
    assert run(SHOW_BACKEND, path=pure_only).stdout == "pure\n"


def test_without_the_extension_the_native_codec_is_not_replaced_in_silence(pure_only: Path) -> None:
    done = run(SHOW_BACKEND, backend="native", path=pure_only)
    assert done.returncode == 1
    assert "the native codec is not installed" in done.stderr.splitlines()[-1]
    asked = run("from getnet_pos import codec; codec.backend('native')", path=pure_only)
    assert "GETNET_POS_EXTENSIONS=require" in asked.stderr.splitlines()[-1]


def test_every_public_name_is_there() -> None:
    done = run("from getnet_pos import *; print(Connector, AsyncConnector, SaleReply, OutcomeUnknown, Profile)")
    assert done.returncode == 0, done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        installed = metadata.version("getnet-pos")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed, only on the path")
    assert getnet_pos.__version__ == installed
