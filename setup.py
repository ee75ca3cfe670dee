"""Builds the native codec, and a bill of materials in each wheel; everything declarative is in pyproject.toml.

GETNET_POS_EXTENSIONS chooses what happens to the extensions:
    auto     (default) build them; if that fails, warn and build the pure-Python package instead
    require  build them or fail
    skip     do not build them
GETNET_POS_SANITIZE=1 builds them with the address and undefined-behaviour sanitizers.
"""

import json
import os
import platform
import re
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
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


class WheelWithMaterials(bdist_wheel):
    """Writes ``.dist-info/sboms/getnet-pos.cdx.json`` (PEP 770): what this is, made by what, and what it needs.

    It has no time and no random number, so that the same sources make the same wheel.
    """

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        path = Path(distinfo_path, "sboms", "getnet-pos.cdx.json")
        path.parent.mkdir()
        path.write_text(json.dumps(self.materials(), indent=1) + "\n", encoding="utf-8")

    def materials(self) -> dict[str, object]:
        name, version = self.distribution.get_name(), self.distribution.get_version()
        this = f"pkg:pypi/{name}@{version}"
        needs = {
            match[0].lower(): need
            for need in self.distribution.install_requires
            if (match := re.match(r"[A-Za-z0-9._-]+", need))
        }
        made_by = [("python", platform.python_version())]
        if self.distribution.ext_modules:
            from Cython import __version__ as cython

            made_by.append(("cython", cython))
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "library",
                    "bom-ref": this,
                    "name": name,
                    "version": version,
                    "purl": this,
                    "licenses": [{"license": {"id": "MIT"}}],
                },
                "tools": {
                    "components": [{"type": "application", "name": tool, "version": number} for tool, number in made_by]
                },
            },
            # Which versions are installed with it is decided where it is installed.
            "components": [
                {
                    "type": "library",
                    "bom-ref": f"pkg:pypi/{need}",
                    "name": need,
                    "purl": f"pkg:pypi/{need}",
                    "scope": "required" if ";" not in whole else "optional",
                    "properties": [{"name": "getnet-pos:requirement", "value": whole}],
                }
                for need, whole in sorted(needs.items())
            ],
            "dependencies": [{"ref": this, "dependsOn": [f"pkg:pypi/{need}" for need in sorted(needs)]}],
        }


EXTENSIONS = [
    Extension(f"getnet_pos.codec.{name}", sources=sources, include_dirs=["_native"], depends=sorted(glob("_native/*")))
    for name, sources in {
        "_native": ["_native/codec.pyx", "_native/sha256.c"],
        "_native_terminals": ["_native/terminals.pyx"],
    }.items()
]

setup(
    ext_modules=[] if MODE == "skip" else EXTENSIONS,
    cmdclass={"bdist_wheel": WheelWithMaterials, "build_ext": BuildNative},
)
