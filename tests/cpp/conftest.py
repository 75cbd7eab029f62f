"""The C++ built once for all of its tests, and the library for C as ctypes sees it."""

import ctypes
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cpp.building import ROOT, run

LIBRARIES = ("nlohmann_json", "libutf8proc")
BUILD = "CAROUSEL_CPP_BUILD"
"""The environment variable that names a folder in which all is built already (make sanitize)."""


def missing_libraries():
    if shutil.which("pkg-config") is None:
        return ["pkg-config"]
    found = {
        name: subprocess.run(["pkg-config", "--exists", name], check=False).returncode == 0
        for name in LIBRARIES
    }
    return [name for name in LIBRARIES if not found[name]]


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory):
    """The folder in which the tests in C++ are built, and the library for C where it can be."""
    if given := os.environ.get(BUILD):
        return Path(given)
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    build = shared / "cpp-build"
    library = "OFF" if missing_libraries() else "ON"
    options = ["-DCAROUSEL_TESTS=ON", f"-DCAROUSEL_C_API={library}", "-DCMAKE_BUILD_TYPE=Release"]
    # Several processes may run the tests: one builds, and the others wait.
    with (shared / "cpp-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (build / "built").exists():
            run("cmake", "-S", ROOT, "-B", build, *options)
            run("cmake", "--build", build, "--parallel", "2")
            (build / "built").touch()
    return build


@pytest.fixture(scope="session")
def c_library_path(cpp_build):
    path = cpp_build / "libcarousel.so"
    if not path.exists() and (missing := missing_libraries()):
        pytest.skip(f"{' and '.join(missing)} are missing: the library for C can't be built")
    return path


@pytest.fixture(scope="session")
def c_library(c_library_path):
    library = ctypes.CDLL(str(c_library_path))
    library.carousel_version.restype = ctypes.c_char_p
    library.carousel_last_error.restype = ctypes.c_char_p
    library.carousel_vocab_size.restype = ctypes.c_size_t
    library.carousel_state_size.restype = ctypes.c_size_t
    library.carousel_close.restype = None
    return library
