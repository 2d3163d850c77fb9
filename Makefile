# make demo    what a person in a real video feels and why
# make test    everything that CI checks
# make pack    the built-in model, in build/packs
# make bench BENCH=llm|encoders|media|pipeline|sdks|all BENCH_JSON=FILE   how long it takes on this machine, ours and others alternately (BENCH_ISA=avx2: with AVX2 at most)
# make install PREFIX=…   libemotionllama with header, pkg-config and CMake files
# make dist    the same as a tarball that works anywhere, in build/dist
# make fuzz RUNS=1000000   mutated inputs to every reader, see docs/fuzzing.md
# make sdk-python (-node -go -java -csharp)   the SDK's packages, in dist/; make sdks makes all
# make test-sdks   installs them in empty directories, runs tests, conformance cases and examples there, and prints a table
# make test-server the page in Chromium, the API guide's snippets, published clients, load and kills, against `emotion-llama serve`
# make test-cuda  on a machine with an NVIDIA GPU: what runs on it against the processor
# make bench-cuda BENCH_JSON=FILE  there too: pictures beside torchvision, encoders beside PyTorch
# make lint    rustfmt and clippy

PACK   := build/packs/emotion-llama-mini
PYTHON := build/venv/bin/python
CLI    := target/release/emotion-llama
CLIP   ?= build/clips/1001_DFA_ANG_XX.flv
PREFIX ?= /usr/local
SDKS   := python node go java csharp

.PHONY: all setup pack clips build demo test test-cuda fuzz lint bench bench-cuda install dist sdks test-sdks test-server $(SDKS:%=sdk-%)
all: build

setup:
	@bash tools/setup.sh

pack: setup
	@$(PYTHON) tools/build_pack.py

clips: setup
	@$(PYTHON) tools/build_pack.py --clips

build: setup
	@cargo build --release --workspace

demo: build pack clips
	@$(CLI) analyze $(CLIP) --task reason

# The tarball's FFmpeg comes from apt's sources; where there is no apt, what is made of it is not tested.
APT := $(shell command -v apt-get)
test: lint pack clips $(if $(APT),sdks)
	@bash tools/setup.sh test
	cargo test --release --workspace
	EMOTION_LLAMA_MAX_ISA=avx2 cargo test --release --workspace --test parity --test engine
	EMOTION_LLAMA_MAX_ISA=portable cargo test --release --workspace --test parity
	bash tools/test_aarch64.sh
	bash tools/check_cuda.sh
	bash tools/fuzz.sh
	$(PYTHON) -m unittest discover -s tools/tests -t tools
	$(PYTHON) training/test_recipe.py
	$(PYTHON) conformance/test_server.py
	$(if $(APT),bash tools/test_sdks.sh $(SDKS),@echo "SKIPPED the SDKs: without apt-get there is no FFmpeg to put in")
	bash tools/test_servers.sh

fuzz: setup
	@RUNS=$(RUNS) SEED=$(SEED) TARGETS="$(TARGETS)" bash tools/fuzz.sh

lint: setup
	cargo fmt --all --check
	cargo fmt --manifest-path tools/aarch64/Cargo.toml --check
	cargo fmt --manifest-path bindings/node/native/Cargo.toml --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release --manifest-path bindings/node/native/Cargo.toml --all-targets -- -D warnings

bench: build pack clips
	@BENCH="$(BENCH)" BENCH_ISA="$(BENCH_ISA)" BENCH_JSON="$(BENCH_JSON)" BENCH_MARKDOWN="$(BENCH_MARKDOWN)" bash tools/bench.sh

bench-cuda:
	@python3 tools/cuda/has_gpu.py
	@$(MAKE) --no-print-directory build pack
	@BENCH=cuda BENCH_JSON="$(BENCH_JSON)" BENCH_MARKDOWN="$(BENCH_MARKDOWN)" bash tools/bench.sh

install: build
	@bash tools/install_library.sh target/release $(PREFIX)

# FFmpeg is configured, and the packages are made, on one processor each: two things at a time.
dist: setup
	@bash tools/setup.sh dist
	@printf '%s\n' 'cargo build --release --workspace' 'bash tools/dist.sh ffmpeg' | xargs -P 2 -I COMMAND sh -c COMMAND
	@bash tools/dist.sh target/release

sdks: dist pack
	@bash tools/setup.sh sdks
	@printf '%s\n' $(SDKS) | xargs -P 2 -I LANGUAGE bash tools/sdk_LANGUAGE.sh

$(SDKS:%=sdk-%): sdk-%: dist pack
	@bash tools/setup.sh sdks
	@bash tools/sdk_$*.sh

test-cuda: build pack clips
	@bash tools/cuda_kernels.sh
	. tools/cuda/environment.sh; \
	cargo test --release --workspace --features emotion-llama-core/cuda --lib -- cuda:: device:: --nocapture && \
	cargo test --release --workspace --features emotion-llama-core/cuda --test parity_cuda -- --nocapture

test-sdks: sdks clips
	@bash tools/test_sdks.sh $(SDKS)

test-server: build pack clips $(if $(APT),sdk-python sdk-node)
	@bash tools/test_servers.sh
