"""Builds the native codec and nothing else; everything declarative is in pyproject.toml.

GETNET_POS_EXTENSIONS chooses what happens to the extensions:
    auto     (default) build them; if that fails, warn and build the pure-Python package instead
    require  build them or fail
    skip     do not build them
GETNET_POS_SANITIZE=1 builds them with the address and undefined-behaviour sanitizers.
"""

import os
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODE = os.environ.get("GETNET_POS_EXTENSIONS", "auto")
SANITIZE = os.environ.get("GETNET_POS_SANITIZE") == "1"
SANITIZERS = ["-fsanitize=address,undefined"]

if MODE not in ("auto", "require", "skip"):
    raise SystemExit(f"GETNET_POS_EXTENSIONS must be auto, require or skip, not {MODE!r}")


class BuildNative(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # rebuilding always is cheaper than a stale one after a change of flags
        self.cython_c_in_temp = True
        self.cython_directives = {"language_level": 3, "boundscheck": False, "wraparound": False}

    def run(self) -> None:
        inplace = self.inplace
        try:
            if self.extensions:
                import Cython  # noqa: F401  (without it setuptools would look for a codec.c that is not there)
            super().run()
        except Exception as error:  # no Cython, no compiler, a failed compilation: each has its own exception
            if MODE == "require":
                raise
            self.inplace = inplace
            self.go_pure(error)

    def build_extensions(self) -> None:
        for extension in self.extensions:
            if self.compiler.compiler_type == "msvc":
                extension.extra_compile_args = ["/O2"]
            elif SANITIZE:
                extension.extra_compile_args = [*SANITIZERS, "-fno-omit-frame-pointer", "-g", "-O1"]
                extension.extra_link_args = SANITIZERS
            else:
                extension.extra_compile_args = ["-O3", "-g0"]
        super().build_extensions()

    def go_pure(self, error: Exception) -> None:
        """Carry on as if there were no extensions, so that the wheel is tagged for every platform."""
        self.warn(
            "the native codec was NOT built: getnet-pos will use its slower pure-Python codec. "
            f"GETNET_POS_EXTENSIONS=require makes this an error. Cause: {type(error).__name__}: {error}"
        )
        for extension in EXTENSIONS:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)  # left by an earlier build
        self.extensions = self.distribution.ext_modules = []
        wheel = self.distribution.get_command_obj("bdist_wheel", create=False)
        if wheel is not None:
            wheel.root_is_pure = True


EXTENSIONS = [
    Extension(f"getnet_pos.codec.{name}", sources=sources, include_dirs=["_native"], depends=sorted(glob("_native/*")))
    for name, sources in {
        "_native": ["_native/codec.pyx", "_native/sha256.c"],
        "_native_terminals": ["_native/terminals.pyx"],
    }.items()
]

setup(ext_modules=[] if MODE == "skip" else EXTENSIONS, cmdclass={"build_ext": BuildNative})
