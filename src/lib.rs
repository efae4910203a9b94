//! wgslab: hand-written WGSL kernels and a small autodiff tape, and on top of them a study of self-supervised
//! pretraining against label noise in medical images. This page is the map of the code.
//!
//! # Floors
//!
//! ```text
//! base → device → tape → kernels → nn → { data | ssl | noise } → study → lab → cli      (→ "is used by")
//! ```
//!
//! | floor | holds |
//! |---|---|
//! | [`base`] | shapes, dtypes, counter-based randomness, errors with exit codes, hashes, whole-file writes, line plots, event files |
//! | [`device`] | adapters and what they can do, WGSL pieces (built in or edited) put together and reflected by naga, pipelines, buffers, dispatches, timestamps, what a driver says of a kernel |
//! | [`tape`] | recording, backward, state, the pure schedule, the plan that replays it, programs of plans, the trace |
//! | [`kernels`] | one op per file, in families; the same names in `shaders/<family>/<op>/` and `kernels-tests/reference/<family>/<op>.rs` |
//! | [`nn`] | backbones ([`nn::Backbone`]) with torchvision's and timm's names, initial values, optimizers, schedules, checkpoints, weights that people bring, and what methods record through ([`nn::Recorder`]) |
//! | [`data`] | one layout of a dataset per file, splits without shared images or patients, generated datasets, labels that people gave, images on the device or in pages on disk, augmentation |
//! | [`ssl`] | one self-supervised method per file, and the list of them |
//! | [`noise`] | one kind of label noise per file and one way to learn from wrong labels per file, and the lists of them; which labels are probably wrong |
//! | [`study`] | configs, the grid, resumable stages, evaluation, statistics, the report |
//! | [`lab`] | single kernels and steps measured, compared, profiled and edited, what a GPU's compiler makes of them, and pages that run them in a browser |
//! | [`cli`] | the command line, thin |
//!
//! Rules a test keeps (`kernels-tests/tidy.rs`, `kernels-tests/tidy_homes.rs`): floors go one way, and so do the modules
//! of `kernels/core`, `noise`, `ssl` and `study`; each foreign crate has a home, which `tidy_homes.rs` lists for every
//! dependency: only `device` says `wgpu::`, only `device/shader.rs` `naga::`, only `data/decode` `image::`, only `cli`
//! `clap::`; `ssl` and `noise` never see each other or `data`; below `study` nothing reads the environment, and only
//! `device/timing.rs`, `device/tune.rs` and `device/statistics.rs` a clock. An op reaches other ops through `Tape`
//! methods, or a core they share, in `kernels/core/`:
//! `gemm.rs` (products), `strided.rs` (of matrices as they lie), `conv2d_route.rs` (how a convolution is computed),
//! `epilogue.rs` (how products end), `many.rs` (many tensors at once), `pool.rs` (windows), `order.rs` (sorting),
//! `walk.rs` (normalizations), `lanes.rs` (what the lanes of a workgroup add), `row_loss.rs`
//! (losses over rows), `contrast.rs` (contrastive losses), `tiles.rs` (planes of images), `draw.rs` (randomness), `held.rs` (how
//! elements lie, in f32 or f16). An op has
//! a reference, random cases, a place in files of benches, and values by PyTorch; what one lacks stands in
//! `kernels-tests/holes.rs` with the reason, a list that can only get shorter.
//!
//! # The path of a training step
//!
//! **Record.** A model is straight-line Rust over [`tape::Var`] handles; each call appends a node that holds an op: plain
//! data, printable, never a closure. Nothing runs. **Differentiate.** [`tape::Tape::backward`] appends the nodes that
//! each op's `grad` asks for. **Fuse.** Where a product's result is read by a bias, a batch norm, a residual or an activation
//! alone, one node stands for all ([`tape::rewrite`], by the table of `kernels/fuse.rs`); so it is with batch norm in training,
//! a residual and relu, forward and backward. No table, nothing is fused.
//! **Recompute.** Where the options ask for it, what the backward pass reads is computed again just before it is read,
//! instead of being kept (`tape/recompute.rs`): the fused nodes run twice, so no bit changes, and never an assign.
//! **Defer.** What moves state in place but was recorded before the guard of its scope was known (running statistics, a
//! queue of keys) runs at the end of the step, under the guard, so that the state is not copied (`tape/deferred.rs`).
//! **Join.** What is recorded tensor by tensor (optimizers, averages) becomes one node over all tensors ([`tape::join`],
//! `kernels/core/many.rs`), and what such a node takes together lies in one buffer, an arena ([`tape::arena`]), so that one
//! launch walks all: gradients in a slab, parameters and moments each in an arena of the state. Names in files do not change.
//! **Schedule.** [`tape::Schedule`] is pure: from the nodes, the adapter's capabilities and the
//! chosen variants it computes order, lifetimes and slabs, and the launches as plain data. **As data.** A
//! [`tape::Recording`] is what a schedule becomes: kernels as complete text with their layout, buffers and parts of them with
//! role and size, launches with the bytes of their parameters, and names of what goes in and out. It serializes, and nothing else is run,
//! so that a run's address and a file speak of what really runs. **Plan.** [`tape::Plan`] binds it to a device: buffers,
//! parameters, pipelines and bind groups are made once ([`tape::Replay`] does so with a recording from a file, whose text
//! runs with naga's checks). **Replay.** `Plan::run` writes the inputs and one buffer of named scalars, encodes and submits;
//! nothing is allocated and no shape is looked at.
//!
//! Nothing that is looked up again depends on what Rust prints. An op is known by its name and its constants
//! ([`tape::constants`]): values in the order of the fields, without the names of types and fields.
//!
//! What outlives a step is a named tensor in a [`tape::State`]; `Tape::assign` is the only write to it. A step is a
//! transaction: every assign takes effect at its end, and none does when its guard (for instance a non-finite gradient)
//! is raised. The schedule lets an in-place op write state directly where nobody could tell the difference. Two players of
//! one step have a scope each ([`tape::Tape::scope`]): guard, step count, loss scale and learning rate are the player's own.
//! What a second guard, output, ring or assign of one name would lose, and a feed that a plan does not have, are errors.
//!
//! [`tape::Trace`] runs the same nodes one dispatch at a time, each value in a buffer of its own, bit-equal to the plan:
//! it is the debugger.
//!
//! # For your own program
//!
//! The features `cli` (the default) and `study` are what a program that uses the library alone leaves out: `study` is the
//! floors `data` and `study` and what draws in `base` and `lab`, `cli` the command line. `examples/` holds a network, a
//! training loop with a checkpoint, two players and an op of one's own; [`lab::check`] compares an op with f64,
//! [`lab::bench`] times it.
//!
//! A page of [`lab::export`] runs recordings in a browser: `lab/export/web/replay.js` reads their JSON, to which `lab/export/browser.rs`
//! adds what browsers ask for. A bench travels with its inputs' seed, not with its inputs, so `web/values.js` draws and checks as
//! `base/rng.rs` (there `web/rng.js`, which also orders the images of a training) and `lab/export/bench/expected.rs` do, and
//! `web/measure.js` samples by the rule of `lab/sampling_rule.rs`, whose numbers the page is given.
//!
//! # A kernel
//!
//! WGSL is put together from pieces of `shaders/`: the op's own piece says where operands come from, a core says how to
//! walk them. What WGSL cannot unroll (named registers) the templater of [`device::shader`] does; there is no `#ifdef`.
//! Each op offers variants, the one expected to be fastest on this adapter first; the naive one stays as oracle. A GPU
//! wants workgroup tiles and coalesced loads; Mesa's software driver runs a subgroup as one vector of the CPU, where
//! only arithmetic per load counts: hence the `broadcast` family (`shaders/core/gemm/columns.wgsl` says why). What the lanes of
//! a workgroup add goes through its memory, or in the variant `subgroups` through subgroups of any size
//! (`kernels/core/lanes.rs`); no GPU has run that one, so it is offered last.
//!
//! # A study
//!
//! [`study::Job`] is what every stage is given; `study/runner.rs` walks a grid of cells with it. The stages
//! (`pretrain.rs`, `train.rs`, `probe.rs`, `evaluate.rs`) know none of each other. Each stage has an address
//! (`study/provenance.rs`): the hash of what its bits depend on, the addresses of its recordings included
//! ([`tape::Recording::address`]), and of nothing else. Through it cells share a pretraining, and a folder of
//! something else is never gone on with. Host code that moves bits has a number in it, `RESULTS`. What a stage writes
//! is compared with its checksum before it is used (`base/seal.rs`, `study/folder.rs`): weights and cursors in their
//! metadata, JSON in a key, configs in a first line, and `done` holds the SHA-256 of every file. A stage
//! (`study/stage.rs`) checkpoints its whole state every few seconds; what a step does depends on (seed, epoch, step)
//! and the state alone, so a stopped run goes on to the same bits. What a grid will take
//! (`study/forecast.rs`) is counted from the same recordings (`study/outlay.rs`). What cells of one process share, schedules and the
//! account of their time, is in `study/shared.rs`. Who works in a folder holds its lock and,
//! because locks of network disks may lie, a mark there that others watch (`study/owner.rs`). What fails one cell is kept
//! in its folder, with the address of what failed (`study/failure.rs`), and stops no other cell.
//!
//! **A set larger than memory** streams (`data/pages.rs`, `data/ahead.rs`, `data/store.rs`): pages of decoded images on disk, and the
//! images of a step as inputs of its plan, in the order of its `indices`. An op finds an image there by its index, and draws
//! for it by its index, so recordings of methods do not know of it and the bits are those of a set that the device holds. A
//! run's address is that of the resident recording.
//!
//! **A claim** of the report is a sentence with an effect, its interval and p, made by a stated rule
//! (`study/report/questions.rs`) from tests that stand alone, a file each, in `study/statistics/`; a test that has too few
//! values answers how many would do. `study report --check` makes every printed number again from `results.csv`.
//!
//! **A method** is data with a trait: [`ssl::Method`] and [`noise::learn::Learner`] record the turns of a step through
//! [`nn::Recorder`]; a stage (`study/turns.rs`) gives each turn its optimizer, guard and metrics, in a scope of its own
//! ([`tape::Tape::scope`]) where there are several. A parameter belongs to a player; what a turn does not train is frozen in
//! it. Where the network sees some images of a batch at a time (`nn/micro.rs`), a turn is several recordings of the same method, and
//! what it calls between network and loss is where they are cut. The lists alone know the names. A method's settings are a
//! table of the config that its own file reads; the table's defaults are the method's overlay in `configs/`.
//!
//! # Where building departed from the first design
//!
//! - Assigns commit together at the end of a step instead of in the order they were recorded: with a guard known only
//!   after the backward pass, this makes "all or nothing" hold for running statistics recorded before it, too.
//! - Running statistics, EMA teachers and queues are ordinary in-place ops, not part of batch norm or a loss.
//! - Variants are chosen by the adapter's kind and the shape, or by a table that `wgslab tune` fills
//!   (`kernels/catalog/tune.rs`, `device/tune.rs`) and a study keeps beside its runs. A race begins in the order of a model of
//!   flops and bytes, which reads the launches that an op would record (`kernels/catalog/estimate.rs`); where times are equal, a
//!   driver's compiler decides, if it tells anything (`device/tie.rs`). `study run` tunes by itself on a GPU; on a
//!   software driver it does with `--tune` alone: there it would take longer than the smoke study, and the order that ops
//!   offer was measured there. Parts of a study never tune.
//! - A 1×1 convolution is a product of matrices only where its planes fill tiles; else its columns run on from one image to
//!   the next, as those of other windows do.
//! - Fusing at evaluation leaves batch norm beside the product instead of folding it into the weights
//!   (`kernels/core/epilogue.rs` says why).
//! - f16 is storage: an op reads halves, computes in f32 and rounds once. Recording refuses f16 to an op that does not say
//!   that it takes it (`Op::takes_f16`). A backbone whose ops all do follows the elements of its images
//!   ([`nn::Precision`]): ResNets and vision transformers do. Where a row or a plane has an odd number of halves, two
//!   invocations share a word, and each sets its own half by atomics on whole numbers (`shaders/common/put_half.wgsl`): the
//!   alternative, a pass in f32 and one that packs, would write such a tensor twice. What moves halves without looking at them
//!   (concat, slice, gather, permute, broadcast) moves them in whole words where rows have an even number of them.
//!
//! # Where to start
//!
//! `kernels/elementwise/scale.rs` is the shortest op with a gradient; `kernels/layers/conv2d.rs` with
//! `kernels/core/gemm.rs` the longest. `tape/schedule/builder.rs` is the heart. `ssl/simclr.rs` shows a method, `study/turns.rs` how
//! its step is recorded whole.

pub mod base;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "study")]
pub mod data;
pub mod device;
pub mod kernels;
pub mod lab;
pub mod nn;
pub mod noise;
pub mod ssl;
#[cfg(feature = "study")]
pub mod study;
pub mod tape;
