"""The native codec against the pure one on other processors: ``python -m tests.release.foreign``, on Debian 12 as root.

Compiles the extension with Debian's cross compilers, installs a Python of each architecture next to the system, runs
the agreement tests there under qemu, and tries the journal's lease within one process. Needs ``cython`` and ``pytest``
in this Python and, by apt, the packages in ``PACKAGES``. An architecture takes minutes; name those that you want.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = "gcc-{aarch64,s390x,i686}-linux-gnu gcc-arm-linux-gnueabihf qemu-user-static"
PYTHON = "python3.11"
TESTS = ["tests/properties", "tests/codec"]
# And not those of leases, which start other processes: qemu does not run those of another processor by itself.
LOADED = """
import os, pathlib, sys
from getnet_pos import codec
from getnet_pos.journal import leases
folder = pathlib.Path(sys.argv[1])
assert codec.BACKEND == "native"
held = leases.claim_file(folder, "a")
assert held and leases.claim_file(folder, "b") and leases.claim_file(folder, "a") is None
held.release()
assert leases.claim_file(folder, "a")
assert [path.name for path in folder.iterdir()] == ["held"]
print(os.uname().machine, sys.byteorder, sys.maxsize.bit_length() + 1, "bits: loaded, and leases hold")
"""
# Later ones have a compiled part, of which these architectures have no wheel here.
HYPOTHESIS = "hypothesis==6.130.13"
LIBRARIES = [
    *(HYPOTHESIS, "pytest", "pytest-asyncio", "pytest-cov", "pytest-timeout", "pytest-xdist"),
    *("certifi", "h11", "httpx", "platformdirs", "pyserial", "sniffio"),
]
"""What the library and these tests need; none of it is compiled."""


@dataclass(frozen=True)
class Machine:
    """How Debian, its compiler and qemu call one processor."""

    debian: str
    compiler: str
    library: str
    emulator: str


MACHINES = {
    "aarch64": Machine("arm64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu", "qemu-aarch64-static"),
    "armhf": Machine("armhf", "arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf", "qemu-arm-static"),
    "i386": Machine("i386", "i686-linux-gnu-gcc", "i386-linux-gnu", "qemu-i386-static"),
    "s390x": Machine("s390x", "s390x-linux-gnu-gcc", "s390x-linux-gnu", "qemu-s390x-static"),
}


def run(*command: object, **environment: str) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env={**os.environ, **environment})


def bring_python(machine: Machine, work: Path) -> None:
    """Unpack a Python of that architecture into ``work/root``; the machine's own packages are left alone."""
    if (work / "root/usr/bin" / PYTHON).exists():
        return
    for folder in ("state/lists/partial", "cache/archives/partial", "root"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "state/status").touch()
    (work / "sources.list").write_text("deb http://deb.debian.org/debian bookworm main\n", encoding="ascii")
    options = {
        "APT::Architecture": machine.debian,
        "APT::Architectures::": machine.debian,
        "APT::Install-Recommends": "false",
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": work / "state",
        "Dir::State::status": work / "state/status",
        "Dir::Cache": work / "cache",
    }
    apt = ["apt-get", "-qq", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "install", "-y", "--download-only", f"{PYTHON}-minimal", f"lib{PYTHON}-stdlib", f"lib{PYTHON}-dev")
    for package in sorted((work / "cache/archives").glob("*.deb")):
        run("dpkg-deb", "-x", package, work / "root")


def build(machine: Machine, work: Path) -> None:
    """A copy of the library with its extension compiled for that architecture, in ``work/src``."""
    shutil.rmtree(work / "src", ignore_errors=True)
    shutil.copytree(ROOT / "src", work / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    [headers] = (work / "cache/archives").glob(f"lib{PYTHON}-dev_*.deb")
    # The compiler brings a C library of its own, so the headers of Python's stand alone.
    run("dpkg-deb", "-x", headers, work / "headers")
    include = work / "headers/usr/include"
    for module, sources in (("_native", ["codec", "sha256.c"]), ("_native_terminals", ["terminals"])):
        made = work / f"{module}.c"
        run(sys.executable, "-m", "cython", "-3", "--module-name", f"getnet_pos.codec.{module}",
            f"_native/{sources[0]}.pyx", "-o", made)  # fmt: skip
        library = work / f"src/getnet_pos/codec/{module}.cpython-311-{machine.library}.so"
        run(machine.compiler, "-shared", "-fPIC", "-O2", "-g0", f"-I{include / PYTHON}", f"-I{include}", "-I_native",
            made, *(f"_native/{name}" for name in sources[1:]), "-o", library)  # fmt: skip


def check(machine: Machine, work: Path, libraries: Path) -> None:
    """Run the tests there; an extension that is not loaded fails them."""
    python = [machine.emulator, "-L", work / "root", work / "root/usr/bin" / PYTHON]
    path = os.pathsep.join([str(work / "src"), str(ROOT), str(libraries)])
    with tempfile.TemporaryDirectory() as folder:
        run(*python, "-c", LOADED, folder, PYTHONPATH=path)
    run(*python, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "--timeout=1800", *TESTS, PYTHONPATH=path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("machines", nargs="*", metavar="{aarch64,armhf,i386,s390x}", help="all where none is named")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "getnet-pos-foreign",
        help="what is kept between runs",
    )
    chosen = parser.parse_args()
    missing = [tool for one in MACHINES.values() for tool in (one.compiler, one.emulator) if not shutil.which(tool)]
    if missing:
        sys.exit(f"{', '.join(missing)} missing: apt-get install {PACKAGES}")
    chosen.work.mkdir(parents=True, exist_ok=True)
    lock = (chosen.work / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Each run lays its sources anew, which another one would find half there.
        sys.exit(f"another run uses {chosen.work}: wait for it, or name another folder with --work")
    libraries = chosen.work / "libraries"
    run(sys.executable, "-m", "pip", "install", "-qq", "--upgrade", "--target", libraries, *LIBRARIES)
    for name in chosen.machines or MACHINES:
        work = chosen.work / name
        bring_python(MACHINES[name], work)
        build(MACHINES[name], work)
        check(MACHINES[name], work, libraries)
        print(f"{name}: all agree", flush=True)


if __name__ == "__main__":
    main()
