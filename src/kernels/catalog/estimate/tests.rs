//! What the model counts, beside the formulas and the launches of products and convolutions.

use super::*;
use crate::kernels::conv2d::{self, Conv2d};
use crate::kernels::listing::kinds;
use crate::kernels::matmul;
use crate::tape::schedule::Step;
use crate::tape::{Options, Schedule, Tape};

/// The products of a convolution: forward, the gradient to the input, the gradient to the weight.
fn passes(x: [usize; 4], w: [usize; 4], conv: Conv2d) -> Vec<Step> {
    let mut t = Tape::new();
    let x = t.input("x", Type::f32(x)).unwrap();
    let w = t.input("w", Type::f32(w)).unwrap();
    let y = t.conv2d(x, w, conv).unwrap();
    let dy = t.input("dy", t.ty(y)).unwrap();
    let gradients = t.backward(&[y], &[Some(dy)], &[x, w]).unwrap();
    t.output("y", y);
    gradients.into_iter().flatten().enumerate().for_each(|(i, d)| t.output(["dx", "dw"][i], d));
    let mut steps = Schedule::new(&t, &Options::new(&gpu())).unwrap().steps;
    steps.sort_by_key(|s| s.op.name()); // which is this order
    assert_eq!(steps.len(), 3);
    steps
}

fn counted(step: &Step, variant: &'static str, caps: &Caps) -> Vec<Work> {
    work(step.op.as_ref(), &step.x, variant, caps).unwrap_or_else(|| panic!("{} [{variant}]", step.op.name()))
}

fn order(step: &Step, caps: &Caps, rates: &Rates) -> Vec<&'static str> {
    in_order(step.op.as_ref(), &step.x, &step.op.variants(&step.x, caps), caps, rates).0
}

fn flops(work: &[Work]) -> f64 {
    work.iter().map(|w| w.flops).sum()
}

fn gpu() -> Caps {
    crate::kernels::listing::gpu()
}

/// Every variant of every pass is known, on every kind of adapter, but those of cooperative matrices. A launch is counted with the workgroups that it has,
/// no sum is shorter than the formula's, and no operand is moved less than once.
#[test]
fn no_variant_does_less_than_the_formula() {
    let mut seen = 0;
    for case in conv2d::cases().into_iter().chain(matmul::cases()) {
        for recorded in std::iter::once(case.forward().unwrap()).chain(case.gradients().unwrap()) {
            let schedule = Schedule::new(&recorded.tape, &Options::new(&Caps::portable())).unwrap();
            for step in
                schedule.steps.iter().filter(|s| ["conv2d", "matmul"].iter().any(|op| s.op.name().starts_with(op)))
            {
                for (kind, caps) in kinds() {
                    for variant in step.op.variants(&step.x, &caps) {
                        let what = format!("{} [{variant}] of '{}' on {kind}", step.op.name(), case.name);
                        if variant.starts_with("coop") {
                            continue; // which the model does not know, so that their order stays
                        }
                        let all = counted(step, variant, &caps);
                        let mut e = Emit::apart(&step.x, &step.y, variant, &caps);
                        step.op.emit(&mut e).unwrap();
                        let grids: Vec<f64> =
                            e.launches.iter().map(|l| l.grid.iter().map(|g| f64::from(*g)).product()).collect();
                        assert_eq!(all.iter().map(|w| w.groups).collect::<Vec<_>>(), grids, "{what}");
                        // F(4×4, 3×3): 36 multiplications for 144. F(2×2, 3×3): 16 for 36.
                        let share = match variant {
                            v if v.starts_with("winograd_4x4") => 36.0 / 144.0,
                            v if v.starts_with("winograd") => 16.0 / 36.0,
                            _ => 1.0,
                        };
                        let cost = step.cost();
                        // With more border than window, the formula counts products with zeros that dx has none of.
                        if case.name != "padding past the window" || step.op.name() != "conv2d.grad_input" {
                            assert!(flops(&all) >= share * cost.flops as f64, "{what}: {all:?} for {cost:?}");
                        }
                        let bytes: f64 = all.iter().map(|w| w.bytes).sum();
                        assert!(bytes >= cost.bytes as f64, "{what}: {all:?} for {cost:?}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

/// Where tiles are whole and k is in one piece, the counts are those of the op.
#[test]
fn whole_tiles_do_what_the_formula_says() {
    for (x, w, conv) in
        [([8, 64, 64, 64], [64, 64, 3, 3], Conv2d::new(1, 1)), ([16, 64, 64, 64], [128, 64, 1, 1], Conv2d::new(1, 0))]
    {
        let all = passes(x, w, conv);
        for step in &all[..2] {
            let (work, cost) = (counted(step, "tiled_64", &gpu()), step.cost());
            assert_eq!(work.len(), 1);
            assert_eq!((work[0].flops, work[0].bytes), (cost.flops as f64, cost.bytes as f64), "{}", step.op.name());
        }
    }
    // The gradient to the input of a stride of 2 multiplies by no zero that the stride leaves.
    let strided = &passes([8, 64, 64, 64], [64, 64, 3, 3], Conv2d::new(2, 1))[1];
    assert_eq!(flops(&counted(strided, "tiled_64", &gpu())), strided.cost().flops as f64);
}

/// Winograd's four launches by hand: C = 8, K = 16, 2 images of 8 × 8, so 32 windows of two by two outputs, with 16 places
/// each, or 8 of four by four, with 36. A transform is as many operations for each row and then for each column.
#[test]
fn winograd_s_traffic_is_counted() {
    let forward = &passes([2, 8, 8, 8], [16, 8, 3, 3], Conv2d::new(1, 1))[0];
    for (variant, places, windows, of_a_transform) in [
        ("winograd_tiled", 16.0, 32.0, [6.0 * 7.0, 4.0 * 8.0, 4.0 * 6.0]),
        ("winograd_4x4_tiled", 36.0, 8.0, [13.0 * 9.0, 17.0 * 12.0, 13.0 * 10.0]),
    ] {
        let work = counted(forward, variant, &gpu());
        let [w, x, y] = [16 * 8 * 9, 2 * 8 * 64, 2 * 16 * 64].map(|n| F32 * n as f64);
        let [u, v, m] = [16.0 * 8.0, 8.0 * windows, 16.0 * windows].map(|n| F32 * n * places);
        let bytes: Vec<f64> = work.iter().map(|w| w.bytes).collect();
        assert_eq!(bytes, [w + u, x + v, u + v + m, m + y], "{variant}");
        let at: Vec<f64> = work.iter().map(|w| w.flops).collect();
        let [of_w, of_x, of_y] = of_a_transform;
        // A tile of 64 × 64 holds the outputs of each product, 16 × 32 or 16 × 8, and its walk of 16 the sums of 8.
        let product = places * 2.0 * 64.0 * 64.0 * 16.0;
        assert_eq!(at, [of_w * 128.0, of_x * 8.0 * windows, product, of_y * 16.0 * windows], "{variant}");
        let loaded = [9.0 + places, 2.0 * places, places + if places == 16.0 { 4.0 } else { 16.0 }];
        let elements = [128.0, 8.0 * windows, 16.0 * windows];
        for (launch, (numbers, elements)) in [0, 1, 3].into_iter().zip(loaded.into_iter().zip(elements)) {
            assert_eq!(work[launch].loaded, F32 * numbers * elements, "{variant}, launch {launch}");
        }
    }
}

/// 130 rows fill two tiles of 128 by half and three of 64 by two thirds; 1024 rows fill both.
#[test]
fn padding_of_a_tile_puts_the_small_one_first() {
    let caps = Caps { software: false, ..Caps::portable() };
    let first = |k: usize| {
        let step = &passes([16, 64, 64, 64], [k, 64, 1, 1], Conv2d::new(1, 0))[0];
        let offered = step.op.variants(&step.x, &caps)[0];
        let order = order(step, &caps, &Rates::usual(&caps));
        (offered, order.into_iter().find(|v| v.starts_with("tiled")).unwrap())
    };
    assert_eq!(first(130), ("tiled_128", "tiled_64"));
    assert_eq!(first(1024), ("tiled_128_vec4", "tiled_128_vec4"));
}

/// Fewer multiplications pay where channels are many. Where they are few, the transforms move more than they save; so
/// they do wherever memory is slow. A depthwise convolution needs no product.
#[test]
fn winograd_comes_first_only_where_its_traffic_allows() {
    let (caps, usual) = (gpu(), Rates::usual(&gpu()));
    let of = |c: usize, side: usize| passes([16, c, side, side], [c, c, 3, 3], Conv2d::new(1, 1));
    for pass in &of(256, 28)[..2] {
        let first = order(pass, &caps, &usual);
        assert_eq!(first[..2], ["winograd_4x4_tiled", "winograd_tiled"], "{}", pass.op.name());
        let slow = Rates { memory_gb_per_s: 50.0, ..usual };
        assert!(order(pass, &caps, &slow)[0].starts_with("tiled"), "{}", pass.op.name());
    }
    for pass in &of(8, 56)[..2] {
        assert!(order(pass, &caps, &usual)[0].starts_with("tiled"), "{}", pass.op.name());
    }
    let depthwise = passes([16, 64, 28, 28], [64, 1, 3, 3], Conv2d { groups: 64, ..Conv2d::new(1, 1) });
    for pass in &depthwise {
        assert_eq!(order(pass, &caps, &usual)[0], "direct", "{}", pass.op.name());
    }
}

/// An op with a kernel that the model does not know keeps its order, and has no estimate for that variant.
#[test]
fn what_is_not_known_keeps_its_order() {
    let mut t = Tape::new();
    let x = t.input("x", Type::f32([64, 100])).unwrap();
    let y = t.softmax(x, 1.0).unwrap();
    t.output("y", y);
    let step = &Schedule::new(&t, &Options::new(&gpu())).unwrap().steps[0];
    let variants = step.op.variants(&step.x, &gpu());
    assert!(variants.len() > 1);
    let (order, known) = in_order(step.op.as_ref(), &step.x, &variants, &gpu(), &Rates::usual(&gpu()));
    assert!(order == variants && known.is_empty(), "{order:?} {known:?}");
}

#[test]
fn a_launch_takes_its_slowest_part_and_a_round_of_workgroups() {
    let rates = Rates {
        gflop_per_s: 1000.0,
        memory_gb_per_s: 100.0,
        cache_gb_per_s: 200.0,
        workgroup_gb_per_s: 400.0,
        launch_us: 10.0,
        invocations: 640.0,
    };
    let full = Work { flops: 1e9, bytes: 1e7, loaded: 1e7, shared: 1e7, groups: 20.0, threads: 64.0 };
    let near = |w: Work, ms: f64| assert!((w.ms(&rates) - 0.01 - ms).abs() < 1e-9, "{w:?}: {}", w.ms(&rates));
    near(full, 1.0);
    near(Work { bytes: 2e8, ..full }, 2.0);
    near(Work { loaded: 6e8, ..full }, 3.0);
    near(Work { shared: 1.6e9, ..full }, 4.0);
    near(Work { groups: 21.0, ..full }, 30.0 / 21.0);
    near(Work { groups: 5.0, ..full }, 2.0);
    near(Work { groups: 3.0, threads: 1024.0, ..full }, 1.0);
}
