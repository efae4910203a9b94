# Each command does everything it needs on a machine with Rust and a C toolchain. `make help` lists them.

# Rust's usual place, for shells that were open while it was installed. Last, so that the PATH decides first.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The study to run, and further words for it: make study CONFIG=configs/study/pneumonia.toml ARGS="--data-root data"
CONFIG ?= configs/smoke.toml
ARGS ?=

# Mesa's device-select layer prints two lines about XDG_RUNTIME_DIR where that is unset; wgslab orders adapters itself.
export NODEVICE_SELECT ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup build study test test-long examples lint fmt-check clippy lean doc package shell-check bench-smoke

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Without a Vulkan adapter nothing here can run, so every command that needs one makes sure of it first. On a ready machine
# this takes a moment and changes nothing.
setup: ## check the tools; give Linux a software Vulkan driver where it has no adapter
	@sh scripts/setup.sh

# One profile for the study, the tests and the benches: what is tested is what runs, and nothing is compiled twice.
build: setup ## build the program: target/release/wgslab
	cargo build --release

# Run it again after an interruption and it goes on where it stopped.
study: build ## run the main job, from images to a table and a report
	cargo run --release --quiet -- study run $(CONFIG) $(ARGS)

# Where no adapter can be had, tests that need one are skipped, loudly. REQUIRE_GPU=1 (as a variable of the environment or of
# make) makes that a failure; make hands it on.
test: setup ## run all tests
	cargo test --release

# What CI has no time for: new hostile files for every reader (CASES of them; the seed is printed), and every file of a study
# damaged in every way under every command.
CASES ?= 1000000
test-long: setup ## try a million hostile files, and every damage to a study
	FUZZ_CASES=$(CASES) DAMAGE=all cargo test --release --test fuzz --test damage

# Each one ends with an error where it did not learn, or where what it shows does not hold. They are built together first, so
# that the time of a run is the run's.
examples: setup ## run the examples of programs of one's own
	cargo build --release --examples
	for name in mlp training_loop two_players own_op; do \
		echo "== $$name"; cargo run --release --quiet --example $$name || exit 1; \
	done

lint: fmt-check clippy shell-check ## check format and warnings

# A fixed format keeps differences to what changed.
fmt-check:
	cargo fmt --all --check
# Lists of files (ops, methods, noise kinds, layouts) declare their modules in a macro, which cargo fmt does not look into.
	rustfmt --check --edition 2024 $$(find src kernels-tests examples -name '*.rs')

# All targets: tests and benches must not rot either. --release shares the one profile.
clippy:
	cargo clippy --release --all-targets -- -D warnings

# A program that uses the library alone pulls in no command line, no plots and no picture readers, and the library and the
# examples build without them.
lean:
	@tree=$$(cargo tree --no-default-features -e normal --prefix none) || exit 1; \
	found=$$(echo "$$tree" | grep -E '^(clap|ctrlc|image|indicatif|jpeg-decoder|plotters)[ _-]'); \
	if [ -n "$$found" ]; then echo "the library alone needs: $$found"; exit 1; fi
	cargo clippy --release --no-default-features --lib --examples -- -D warnings

# Shapes are written [N, C, H, W] in it, which look like links, and its pages speak of private parts, too.
doc: ## the documentation of the library, in target/doc
	RUSTDOCFLAGS="-D warnings -A rustdoc::broken-intra-doc-links -A rustdoc::private-intra-doc-links" cargo doc --release --no-deps --lib

# Publishing is for a person to do; that it would work is checked here.
package:
	cargo package --no-verify --allow-dirty --offline

# setup.sh decides what is installed on other people's machines, so it is tested on made-up ones.
shell-check:
	sh scripts/test-setup.sh

# An iteration or a few each, at a size of no meaning: a bench nobody runs stops compiling or working unseen.
bench-smoke: setup ## run each bench for a moment
	cargo bench --bench kernels -- --set smoke --variant all --seconds 0.01
	cargo bench --bench step -- --model resnet18 --width 0.125 --size 8 --batch 4 --steps 1
