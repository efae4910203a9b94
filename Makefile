# Each command does all that it needs on a machine with Rust and a C toolchain. `make help` lists them.

# Rust's usual place, for shells that were open while Rust was installed. It comes last, so the PATH decides first.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The study to run, and more options for it: make study CONFIG=configs/study/pneumonia.toml ARGS="--data-root data"
CONFIG ?= configs/smoke.toml
ARGS ?=

# Mesa's device-select layer prints two lines about XDG_RUNTIME_DIR if that is not set. wgslab orders adapters itself.
export NODEVICE_SELECT ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup build study test test-long examples lint fmt-check clippy lean doc package shell-check bench-smoke

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Nothing here can run without a Vulkan adapter, so every command that needs one checks for it first. On a ready machine this
# takes a moment and changes nothing.
setup: ## check the tools; give Linux a software Vulkan driver where it has no adapter
	@sh scripts/setup.sh

# The study, the tests and the benches share one profile: what is tested is what runs, and nothing is compiled twice.
build: setup ## build the program: target/release/wgslab
	cargo build --release

# After an interruption, the same command goes on where it stopped.
study: build ## run the main job, from images to a table and a report
	cargo run --release --quiet -- study run $(CONFIG) $(ARGS)

# Tests that need an adapter are skipped with a message if there is none. REQUIRE_GPU=1 (in the environment or as a variable
# of make) makes that a failure; make passes it on.
test: setup ## run all tests
	cargo test --release

# What CI has no time for: new hostile files for every reader (CASES of them; the seed is printed), and every kind of damage
# to every file of a study under every command.
CASES ?= 1000000
test-long: setup ## try a million hostile files, and every kind of damage to a study
	FUZZ_CASES=$(CASES) DAMAGE=all cargo test --release --test fuzz --test damage

# Each example ends with an error if it did not learn, or if what it shows does not hold. They are built first, so that the
# time of a run is only the run's.
examples: setup ## run the examples
	cargo build --release --examples
	for name in mlp training_loop two_players own_op; do \
		echo "== $$name"; cargo run --release --quiet --example $$name || exit 1; \
	done

lint: fmt-check clippy shell-check ## check format and warnings

# A fixed format keeps diffs to what changed.
fmt-check:
	cargo fmt --all --check
# Lists of files (ops, methods, noise kinds, layouts) declare their modules in a macro, which cargo fmt does not read.
	rustfmt --check --edition 2024 $$(find src kernels-tests examples -name '*.rs')

# All targets, so that tests and benches stay free of warnings, too. --release shares the one profile.
clippy:
	cargo clippy --release --all-targets -- -D warnings

# A program that uses only the library must not depend on a command line, plots or picture readers. The library and the
# examples must build without them.
lean:
	@tree=$$(cargo tree --no-default-features -e normal --prefix none) || exit 1; \
	found=$$(echo "$$tree" | grep -E '^(clap|ctrlc|image|indicatif|jpeg-decoder|plotters)[ _-]'); \
	if [ -n "$$found" ]; then echo "the library alone needs: $$found"; exit 1; fi
	cargo clippy --release --no-default-features --lib --examples -- -D warnings

# In the comments, shapes are written [N, C, H, W], which looks like links, and private parts are mentioned.
doc: ## the documentation of the library, in target/doc
	RUSTDOCFLAGS="-D warnings -A rustdoc::broken-intra-doc-links -A rustdoc::private-intra-doc-links" cargo doc --release --no-deps --lib

# A person publishes; this checks that it would work.
package:
	cargo package --no-verify --allow-dirty --offline

# setup.sh decides what is installed on other people's machines, so it is tested on simulated machines.
shell-check:
	sh scripts/test-setup.sh

# Each bench runs for a few iterations at a meaningless size. A bench that nobody runs would stop compiling or working
# unnoticed.
bench-smoke: setup ## run each bench for a moment
	cargo bench --bench kernels -- --set smoke --variant all --seconds 0.01
	cargo bench --bench step -- --model resnet18 --width 0.125 --size 8 --batch 4 --steps 1
	cargo bench --bench load -- 'phantom:covid?train=16&val=8&test=8' --store 16 --rounds 1
	cargo bench --bench stream -- --images 64 --store 16 --size 8 --width 0.125 --batch 4 --resident 16 --steps 2 --rounds 1
