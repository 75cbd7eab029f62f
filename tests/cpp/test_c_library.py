"""The library for C as it is installed: found, small, clean, and used by the example."""

import re
import shutil
import subprocess

import pytest

import carousel
from carousel.pretrained import PRETRAINED
from cpp.building import ROOT, run

EXAMPLE = ROOT / "examples" / "keyboard.c"
MAX_BYTES = 1_000_000
TYPED = "krish likes pizza so he orders \nkrish likes p\n\nzzz\n"


@pytest.fixture(scope="module")
def installed(cpp_build, c_library_path, tmp_path_factory):
    """The folder in which the library is installed, and then moved."""
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", cpp_build, "--prefix", folder / "first", "--strip")
    return (folder / "first").rename(folder / "moved")


def library_folder(installed):
    (library,) = (path for path in installed.rglob("libcarousel.so"))
    return library.parent


def test_it_is_small(installed):
    library = library_folder(installed) / "libcarousel.so"
    assert library.stat().st_size < MAX_BYTES


def test_nothing_but_the_functions_of_the_header_is_visible(installed):
    if shutil.which("nm") is None:
        pytest.skip("nm is missing")
    lines = run("nm", "-D", "--defined-only", library_folder(installed) / "libcarousel.so")
    header = (installed / "include" / "carousel.h").read_text()
    declared = set(re.findall(r"\b(carousel_\w+)\(", header))
    visible = {line.split()[-1] for line in lines.splitlines()}
    assert {name for name in visible if not name.startswith("_")} == declared
    assert len(declared) == 13


def test_the_header_is_plain_c_and_cpp(installed, tmp_path):
    compilers = [("cc", "-std=c99", "c"), ("c++", "-std=c++11", "c++")]
    for compiler, standard, language in compilers:
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is missing")
        flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
        header = installed / "include" / "carousel.h"
        run(compiler, standard, "-x", language, *flags, header)


def test_the_version_is_that_of_the_package(c_library):
    assert c_library.carousel_version().decode() == carousel.__version__


def expected_lines():
    model = carousel.load("stories-lstm")
    for line in TYPED.splitlines():
        before, space, prefix = line.rpartition(" ")
        words = model.next_words(before + space, k=3, prefix=prefix)
        yield " | ".join(f"{word} {100 * probability:.1f}%" for word, probability in words)


def type_into(keyboard, **options):
    done = subprocess.run(
        [keyboard, PRETRAINED / "stories-lstm"],
        input=TYPED,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_by_pkg_config(installed, tmp_path):
    libraries = library_folder(installed)
    flags = run(
        "pkg-config",
        "--cflags",
        "--libs",
        "carousel",
        env={"PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "PATH": "/usr/bin:/bin"},
    ).split()
    keyboard = tmp_path / "keyboard"
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    run("cc", *warnings, EXAMPLE, "-o", keyboard, *flags)
    shown = type_into(keyboard, env={"LD_LIBRARY_PATH": str(libraries)})
    assert shown.splitlines() == list(expected_lines())
    done = subprocess.run(
        [keyboard, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={"LD_LIBRARY_PATH": str(libraries)},
    )
    assert done.returncode == 2
    assert "config.json is missing" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_example_by_find_package(installed, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\n"
        "project(keyboard LANGUAGES C)\n"
        "find_package(carousel 0.1 REQUIRED)\n"
        f"add_executable(keyboard {EXAMPLE})\n"
        "target_link_libraries(keyboard PRIVATE carousel::carousel)\n"
    )
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", build)
    assert type_into(build / "keyboard").splitlines() == list(expected_lines())


def test_the_program_of_the_docs(installed, tmp_path):
    text = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    program, printed = re.search(r"```c\n(.*?)```\n.*?```\n(.*?)```", text, re.DOTALL).groups()
    source = tmp_path / "program.c"
    source.write_text(program)
    libraries = library_folder(installed)
    paths = [f"-I{installed / 'include'}", f"-L{libraries}", f"-Wl,-rpath,{libraries}"]
    run("cc", "-Wall", "-Werror", source, "-o", tmp_path / "program", *paths, "-lcarousel")
    shown = run(tmp_path / "program", PRETRAINED / "stories-lstm")
    assert printed.splitlines()[1:] == shown.splitlines()


def test_the_example_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 100
