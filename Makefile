# Each command does all that it needs on a machine with Rust and a C toolchain. `make help` lists them.

# Rust's usual place, for shells that were open while Rust was installed. It comes last, so the PATH decides first.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The study to run, and more options for it: make study CONFIG=configs/study/pneumonia.toml ARGS="--data-root data"
CONFIG ?= configs/smoke.toml
ARGS ?=

# Mesa's device-select layer prints two lines about XDG_RUNTIME_DIR if that is not set. wgslab orders adapters itself.
export NODEVICE_SELECT ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup build study test test-swiftshader test-long tint examples lint fmt-check clippy lean doc package shell-check bench-smoke

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

# SwiftShader is a Vulkan driver that Chromium brings. It has 4 lanes and 10 storage buffers, so it finds what Mesa's driver
# hides. Each named case of an op runs there in the variants that the program would take; the loader sees no other driver.
# tests/common/mod.rs has the same list of folders. That packed attention has the bits of the other is asked of one driver, in
# every variant, and its cases run here. Golden values are for test-long. NaN is not tried: to this driver exp(NaN) is infinity
# and log(NaN) a number, as Vulkan allows, so 20 of 175 trials of spoiled inputs differ, those of all ops with either.
SWIFTSHADER ?= $(firstword $(wildcard $(addsuffix /vk_swiftshader_icd.json,/usr/lib/chromium /usr/lib/chromium-browser \
	/usr/lib64/chromium-browser /opt/google/chrome)))
VARIANTS ?= first
THERE = -- --skip 'T0 ' :: --skip 'T1 golden' --skip 'T1 NaN' --skip 'T1 packed '
test-swiftshader: setup ## run the ops' named cases on a second driver, Chromium's SwiftShader
	@if [ -n "$(SWIFTSHADER)" ]; then \
		VK_DRIVER_FILES="$(SWIFTSHADER)" VK_ICD_FILENAMES="$(SWIFTSHADER)" VARIANTS=$(VARIANTS) \
			cargo test --release --test kernels $(THERE); \
	elif [ "$$REQUIRE_SWIFTSHADER" = 1 ]; then \
		echo "SwiftShader is missing: Chromium's package brings vk_swiftshader_icd.json (or let SWIFTSHADER name it)" >&2; exit 1; \
	else \
		echo "test-swiftshader SKIPPED: no SwiftShader. REQUIRE_SWIFTSHADER=1 makes this a failure."; \
	fi

# Chromium's WGSL compiler is stricter than naga. Dawn, which holds it, comes from npm.
tint: build ## give every kernel to Chromium's WGSL compiler
	@if ! command -v npm >/dev/null || ! command -v node >/dev/null; then \
		echo "tint SKIPPED: node and npm are missing"; \
	elif ! npm install --silent --no-save --prefix target/tint webgpu@0.6.2; then \
		echo "tint SKIPPED: npm could not install webgpu 0.6.2, which holds Dawn"; \
	else \
		node scripts/tint.mjs target/release/wgslab target/tint; \
	fi

# What CI has no time for: new hostile files for every reader (CASES of them; the seed is printed), every kind of damage
# to every file of a study under every command, every case of the variant `subgroups`, every variant and random cases on the
# second driver, Chromium's compiler.
CASES ?= 1000000
test-long: setup tint ## try a million hostile files, every damage to a study, and all cases on a second driver
	FUZZ_CASES=$(CASES) DAMAGE=all cargo test --release --test fuzz --test damage
	VARIANTS=all cargo test --release --test kernels -- ::subgroups
	$(MAKE) test-swiftshader VARIANTS=all
	$(MAKE) test-swiftshader THERE="-- 'T1 random'"
	$(MAKE) test-swiftshader THERE="-- 'T1 golden'"

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
	found=$$(echo "$$tree" | grep -E '^(clap|ctrlc|image|indicatif|plotters)[ _-]'); \
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
