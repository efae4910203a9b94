//! Every test of the kernels. Each is one trial, which the runner counts.
//!
//! T0 needs no adapter: shaders, floors, schedules, snapshots. T1 needs an adapter, which may be a software one: each
//! op × case × variant against an f64 reference, and what plans do on a device.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is wrong")]

mod augment;
mod barriers;
mod draws;
mod facts;
mod fusion;
mod golden;
mod golden_cases;
mod golden_elementwise;
mod golden_learners;
mod golden_losses;
mod golden_misc;
mod golden_norms;
mod golden_not_numbers;
mod golden_resnet;
mod golden_shape;
mod golden_ssl;
mod golden_views;
mod golden_vit;
mod half_methods;
mod half_networks;
mod halves;
mod harness;
mod holes;
mod not_numbers;
mod packed;
mod plans;
mod properties;
mod random_augment;
mod random_listed;
mod random_losses;
mod random_misc;
mod random_norms;
mod random_optim;
mod random_product;
mod random_shape;
mod reach;
mod reference;
mod spoiled;
mod tidy;
mod tidy_homes;
mod training;
mod traps;
mod tree;
mod tune;
mod unrolled;
mod wgsl;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut args = Arguments::from_args();
    // A software driver uses every core for a dispatch, but most of its time is compiling, each kernel on one core. More
    // than a few devices at once would only take memory.
    args.test_threads.get_or_insert(std::thread::available_parallelism().map_or(1, |n| n.get().min(4)));
    let mut trials = vec![Trial::test("T0 every op has a reference", || reference::complete().map_err(Failed::from))];
    trials.extend(wgsl::trials());
    trials.extend(tidy::trials());
    trials.extend(tidy_homes::trials());
    trials.extend(holes::trials());
    trials.extend(half_methods::trials());
    trials.extend(half_networks::trials());
    trials.extend(halves::trials());
    trials.extend(traps::trials());
    trials.extend(plans::trials());
    trials.extend(fusion::trials());
    let device = device_trials();
    let skipped = match harness::device::available() {
        Ok(()) => {
            trials.extend(device);
            None
        }
        Err(why) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            trials.push(Trial::test("T1 needs an adapter", move || Err(Failed::from(why))));
            None
        }
        Err(why) => Some((device.len(), why)),
    };
    let conclusion = libtest_mimic::run(&args, trials);
    if let Some((count, why)) = skipped {
        eprintln!("T1 SKIPPED: no adapter, {count} trials did not run ({why}). REQUIRE_GPU=1 makes this a failure.");
    }
    harness::device::closed();
    conclusion.exit();
}

/// The trials that run on a device.
fn device_trials() -> Vec<Trial> {
    let mut trials = plans::device_trials();
    trials.extend(augment::device_trials());
    trials.extend(draws::trials());
    trials.extend(facts::trials());
    trials.extend(fusion::device_trials());
    trials.extend(golden::trials());
    trials.extend(golden_cases::trials());
    trials.extend(golden_norms::trials());
    trials.extend(golden_elementwise::trials());
    trials.extend(golden_learners::trials());
    trials.extend(golden_misc::trials());
    trials.extend(golden_losses::trials());
    trials.extend(golden_not_numbers::trials());
    trials.extend(golden_resnet::trials());
    trials.extend(properties::trials());
    trials.extend(random_listed::trials());
    trials.extend(not_numbers::trials());
    trials.extend(packed::trials());
    trials.extend(golden_shape::trials());
    trials.extend(golden_ssl::trials());
    trials.extend(golden_views::trials());
    trials.extend(golden_vit::trials());
    trials.extend(reach::trials());
    trials.extend(training::trials());
    trials.extend(traps::device_trials());
    trials.extend(half_methods::device_trials());
    trials.extend(half_networks::device_trials());
    trials.extend(halves::device_trials());
    trials.extend(tree::trials());
    trials.extend(tune::trials());
    trials.extend(unrolled::trials());
    trials.extend(harness::trials());
    trials
}
