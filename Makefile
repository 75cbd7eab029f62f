# Carousel. `make demo` and `make test` need Python >= 3.11 and nothing else; they make `.venv`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRAINABLE := $(VENV)/.trainable

.PHONY: demo test sanitize fuzz lint format bench docs clean

demo: $(TRAINABLE)
	$(BIN)/carousel demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --cov

# The kernels with AddressSanitizer and UndefinedBehaviorSanitizer, in an environment of their own
# that sees the libraries of the usual one, and the engine's tests on them; the library for C with
# its tests; then the tests in C++, which use the engine from many threads, with ThreadSanitizer.
SANITIZED := build/sanitize
SITE = $(shell $(BIN)/python -c 'import site; print(site.getsitepackages()[0])')
PRELOADED = LD_PRELOAD="$$($${CXX:-c++} -print-file-name=libasan.so) $$($${CXX:-c++} -print-file-name=libstdc++.so.6)" \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
sanitize: $(READY)
	$(PYTHON) -m venv $(SANITIZED)
	echo $(SITE) > $$($(SANITIZED)/bin/python -c 'import site; print(site.getsitepackages()[0])')/usual.pth
	$(SANITIZED)/bin/python -m pip install --quiet --no-deps --force-reinstall \
	  --config-settings=build-dir=$(SANITIZED)/cmake \
	  "--config-settings=cmake.define.CAROUSEL_SANITIZE=address,undefined" \
	  --config-settings=install.strip=false .
	$(PRELOADED) $(SANITIZED)/bin/python -m pytest -q -p no:cacheprovider tests/engine tests/test_onnx.py
	cmake -S . -B $(SANITIZED)/c -DCAROUSEL_TESTS=ON -DCAROUSEL_C_API=ON \
	  -DCAROUSEL_SANITIZE=address,undefined
	cmake --build $(SANITIZED)/c
	$(PRELOADED) CAROUSEL_CPP_BUILD=$(SANITIZED)/c $(SANITIZED)/bin/python -m pytest -q \
	  -p no:cacheprovider tests/cpp --ignore=tests/cpp/test_c_library.py
	cmake -S . -B $(SANITIZED)/thread -DCAROUSEL_TESTS=ON -DCAROUSEL_SANITIZE=thread
	cmake --build $(SANITIZED)/thread
	$(SANITIZED)/thread/engine_tests

# Bad files, chosen by coverage: for the parsers in Python, then, where Clang is installed, for the
# C++ reader of model folders, with the sanitizers. Each takes FUZZ_SECONDS. What was learned is
# kept in build/reliability/corpus and build/fuzz/corpus; an input that breaks something, in
# build/reliability or build/fuzz.
FUZZ := build/fuzz
FUZZ_CXX ?= clang++
FUZZ_SECONDS ?= 3600
.PHONY: fuzz-python fuzz-cpp
fuzz: $(READY)
	@echo "Bad files for the parsers in Python, for $(FUZZ_SECONDS) s"
	@$(MAKE) --no-print-directory fuzz-python
	@if command -v $(FUZZ_CXX) >/dev/null; then \
	  echo "Bad files for the C++ reader of model folders, for $(FUZZ_SECONDS) s"; \
	  $(MAKE) --no-print-directory fuzz-cpp; \
	else echo "$(FUZZ_CXX) is not installed: the C++ reader of model folders is not tried"; fi

fuzz-python: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt atheris
	$(BIN)/python benchmarks/reliability.py coverage_guided --seconds $(FUZZ_SECONDS)

fuzz-cpp: $(READY)
	cmake -S . -B $(FUZZ)/cmake -DCMAKE_CXX_COMPILER=$(FUZZ_CXX) -DCAROUSEL_C_API=ON \
	  -DCAROUSEL_FUZZ=ON -DCAROUSEL_SANITIZE=address,undefined
	cmake --build $(FUZZ)/cmake --target fuzz_folder
	$(BIN)/python tests/cpp/fuzz_seeds.py $(FUZZ)/seeds
	mkdir -p $(FUZZ)/corpus
	$(FUZZ)/cmake/fuzz_folder -max_total_time=$(FUZZ_SECONDS) -malloc_limit_mb=1024 -max_len=32768 \
	  -timeout=60 -print_final_stats=1 -artifact_prefix=$(FUZZ)/ \
	  -dict=cpp/tests/fuzz_folder.dict $(FUZZ)/corpus $(FUZZ)/seeds

CPP = $(wildcard cpp/include/carousel/*.h cpp/*/*.h cpp/*/*.cpp examples/*.c)
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v clang-format >/dev/null; then clang-format --dry-run --Werror $(CPP); \
	  else echo "clang-format is not installed: the C++ is not checked"; fi
	@# The types of the page's JavaScript, where TypeScript is installed.
	@if command -v tsc >/dev/null; then tsc --project jsconfig.json; fi

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if command -v clang-format >/dev/null; then clang-format -i $(CPP); fi

# Those that need no text of yours; benchmarks/train.py and benchmarks/tokenizing.py take one.
bench: $(READY)
	@for name in lens decode crash reliability; do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

# The pages that come from the code, then all pages as a site in build/site: open index.html there.
docs: $(READY)
	$(BIN)/python tools/write_docs.py
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The site is in build/site/index.html"

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp is made last, so that an interrupted install starts again. The demo needs what trains;
# everything else needs what developers have, too.
CHECK = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Carousel needs Python 3.11 or newer")'
INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
$(TRAINABLE): pyproject.toml constraints.txt
	$(CHECK)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[train]'
	@touch $@

$(READY): pyproject.toml constraints.txt
	$(CHECK)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	@touch $(TRAINABLE) $@
