//! Thousands of random cases. Ops, parameters, shapes and data are drawn, one plan is run, and values and gradients are
//! compared with the reference. A family is a function that draws a case; the rest is shared.
//!
//! The seed is fixed by default, so that two runs try the same cases. `WGSLAB_PROPERTY_SEED=random` draws a new seed
//! and prints it. `WGSLAB_PROPERTY_SEED=<number>` repeats that seed. `WGSLAB_PROPERTY_CASES=<number>` sets the number
//! of cases.

use crate::harness::recording::Recording;
use crate::harness::{self, compare, device, gradient, text};
use crate::reference::{self, Answer};
use crate::{random_augment, random_losses, random_misc, random_norms, random_optim, random_product, random_shape};
use libtest_mimic::{Failed, Trial};
use std::any::Any;
use wgslab::base::Shape;
use wgslab::base::rng::Rng;
use wgslab::kernels::broadcast::Broadcast;
use wgslab::kernels::unary::Unary;
use wgslab::kernels::{self, Case, Fill};
use wgslab::tape::{Op, Options, Plan, Schedule, State, Type};

/// Draws a case of one op file.
pub type Generator = fn(&mut Rng) -> Case;

/// Draws a case and gives the name of its op file. Shapes should be small, because each element of an input costs two
/// evaluations of the reference.
type Draw = fn(&mut Rng) -> (&'static str, Case);

/// Draws from one of a list of op files.
fn any(rng: &mut Rng, list: &[(&'static str, Generator)]) -> (&'static str, Case) {
    let (name, draw) = *one(rng, list);
    (name, draw(rng))
}

fn named(case: Case) -> (&'static str, Case) {
    (case.op.name(), case)
}

const FAMILIES: &[(&str, Draw)] = &[
    ("augmentation", |rng| any(rng, random_augment::GENERATORS)),
    ("binary", |rng| named(binary(rng))),
    ("broadcast", |rng| named(broadcast(rng))),
    ("conv2d", |rng| named(random_product::conv2d(rng))),
    ("epilogue", |rng| ("epilogue", random_product::epilogue(rng))),
    ("losses", |rng| any(rng, random_losses::GENERATORS)),
    ("matmul", |rng| named(random_product::matmul(rng))),
    ("normalization and attention", |rng| any(rng, random_norms::GENERATORS)),
    ("optimizers", |rng| any(rng, random_optim::GENERATORS)),
    ("pooling, resize and dropout", |rng| any(rng, random_misc::GENERATORS)),
    ("select", |rng| named(select(rng))),
    ("shapes, reductions and order", |rng| any(rng, random_shape::GENERATORS)),
    ("unary", |rng| named(unary(rng))),
];

/// Whether a family draws cases of the op.
pub fn draws(op: &str) -> bool {
    let lists = [
        random_augment::GENERATORS,
        random_losses::GENERATORS,
        random_misc::GENERATORS,
        random_norms::GENERATORS,
        random_optim::GENERATORS,
        random_shape::GENERATORS,
    ];
    let families = [kernels::binary::families(), kernels::unary::families()];
    lists.iter().any(|list| list.iter().any(|generator| generator.0 == op))
        || families.iter().flatten().any(|family| family.0 == op)
        || FAMILIES.iter().any(|family| family.0 == op)
}

/// The default number of cases of a family.
const CASES: u64 = 1000;
/// The default seed.
pub const SEED: u64 = 7;
/// The stream that draws cases. Data and cotangents have a seed of their own.
const STREAM: u32 = 0;
/// In cases with more work than this, gradients are checked only along random directions.
const WORK: u64 = 2_000_000;
/// The most elements of a drawn shape.
const ELEMENTS: usize = 300;

/// One trial for each family.
pub fn trials() -> Vec<Trial> {
    let trial = |&(name, draw): &(&'static str, Draw)| {
        Trial::test(format!("T1 properties {name}"), move || family(name, draw).map_err(Failed::from))
    };
    FAMILIES.iter().map(trial).collect()
}

/// An environment variable as a number.
fn number(variable: &str) -> Result<Option<u64>, String> {
    match std::env::var(variable) {
        Err(_) => Ok(None),
        Ok(v) => v.parse().map(Some).map_err(|e| format!("{variable}={v} must be a whole number: {e}")),
    }
}

fn seed() -> Result<u64, String> {
    if std::env::var("WGSLAB_PROPERTY_SEED").is_ok_and(|v| v == "random") {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(|e| e.to_string())?;
        return Ok(now.as_nanos() as u64);
    }
    Ok(number("WGSLAB_PROPERTY_SEED")?.unwrap_or(SEED))
}

fn family(name: &str, draw: Draw) -> Result<(), String> {
    let (seed, cases) = (seed()?, number("WGSLAB_PROPERTY_CASES")?.unwrap_or(CASES));
    if seed != SEED {
        eprintln!("properties {name}: {cases} cases of WGSLAB_PROPERTY_SEED={seed}");
    }
    for i in 0..cases {
        let mut rng = Rng::new(seed, STREAM, i);
        let (op, case) = draw(&mut rng);
        check(op, &case, &mut rng).map_err(|e| {
            let types: Vec<String> = case.inputs.iter().map(|i| i.0.to_string()).collect();
            format!("case {i} of seed {seed}, {:?} of {}: {e}", case.op, types.join(", "))
        })?;
    }
    Ok(())
}

/// Checks values and gradients of one run of one plan. Buffers are poisoned first, and each op runs under one of its
/// variants.
pub fn check(name: &str, case: &Case, rng: &mut Rng) -> Result<(), String> {
    let reference = reference::expect(name)?;
    let (seed, variant) = (rng.word() as u64, rng.word() as usize);
    let inputs = case.words(seed);
    let answer: Answer = harness::answer(&reference, case, &inputs)?;
    let recording = Recording::new(case, &answer, &answer.through, seed)?;
    let gpu = device::gpu(true)?;
    let choose = |_: &dyn Op, _: &[Type], offered: &[&'static str]| Some(offered[variant % offered.len()]);
    let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
    let plan = Plan::new(&gpu, Schedule::new(&recording.recorded.tape, &options).map_err(text)?, &State::new())
        .map_err(text)?;
    harness::poison(&gpu, &plan, 0)?;
    plan.run(&gpu, &recording.feed()).map_err(text)?;
    let got = recording.read(|name, _| plan.read(&gpu, name))?;
    let types: Vec<Type> = case.inputs.iter().map(|i| i.0).collect();
    let offered = case.op.variants(&types, gpu.caps());
    let x = harness::tensors(case, &inputs);
    let expected = answer.of(offered[variant % offered.len()], case.op.as_ref(), &x);
    for (i, expected) in expected.iter().enumerate() {
        compare::output(&format!("output {i}"), expected, &got.find(&format!("y{i}"))?)?;
    }
    gradient::check(&reference, case, &answer, &recording, &inputs, &got, WORK)
}

/// A shape of rank 1 to 4 with at most `elements` elements. Any dimension may be the largest.
fn shape(rng: &mut Rng, elements: usize) -> Shape {
    let (rank, mut left) = (1 + rng.below(4), elements);
    let mut dims = vec![1; rank];
    for d in rng.permutation(rank) {
        dims[d] = 1 + rng.below(left);
        left /= dims[d];
    }
    Shape::new(&dims)
}

/// One of a list.
fn one<'a, T>(rng: &mut Rng, list: &'a [T]) -> &'a T {
    &list[rng.below(list.len())]
}

/// A named case of the family with a random shape for all its inputs.
fn reshaped(rng: &mut Rng, families: &[(&'static str, Vec<Case>)]) -> Case {
    let family = one(rng, families);
    let mut case = one(rng, &family.1).clone();
    let shape = shape(rng, ELEMENTS);
    case.inputs.iter_mut().for_each(|(ty, _)| ty.shape = shape);
    case
}

fn binary(rng: &mut Rng) -> Case {
    reshaped(rng, &kernels::binary::families())
}

fn select(rng: &mut Rng) -> Case {
    reshaped(rng, &[("select", kernels::select::cases())])
}

/// Draws the parameters again, within what the case's data allow.
fn unary(rng: &mut Rng) -> Case {
    let case = reshaped(rng, &kernels::unary::families());
    let op: &dyn Any = case.op.as_ref();
    // A quarter of a step off the grid of the data, because a bound is a kink.
    let off_grid = |rng: &mut Rng| (rng.below(100) as f32 + 0.25) * 0.01;
    let drawn = match op.downcast_ref::<Unary>() {
        Some(Unary::Clamp { .. }) => Unary::Clamp { min: -off_grid(rng), max: off_grid(rng) },
        Some(Unary::LeakyRelu { .. }) => Unary::LeakyRelu { negative_slope: rng.uniform() - 0.5 },
        Some(Unary::Pow { exponent }) if exponent.fract() == 0.0 && exponent.abs() < 9.0 => {
            let positive = matches!(case.inputs[0].1, Fill::Values(_)); // data that hold a 0
            Unary::Pow { exponent: rng.below(9) as f32 - if positive { 0.0 } else { 3.0 } }
        }
        Some(Unary::Pow { exponent }) if exponent.fract() != 0.0 => Unary::Pow { exponent: 6.0 * rng.uniform() - 3.0 },
        _ => return case,
    };
    Case::new(case.name, drawn, case.inputs)
}

/// Repeats any dimensions. One shape in thirty is long enough for a gradient in two stages.
fn broadcast(rng: &mut Rng) -> Case {
    let long = rng.below(30) == 0;
    let mut y: Vec<usize> = shape(rng, ELEMENTS).dims().iter().map(|d| *d as usize).collect();
    let repeated: Vec<bool> = y.iter().map(|_| rng.below(2) == 0).collect();
    if let Some(d) = repeated.iter().position(|r| *r).filter(|_| long) {
        y[d] = 2048 + rng.below(2048);
    }
    let x: Vec<usize> = y.iter().zip(&repeated).map(|(&d, &r)| if r { 1 } else { d }).collect();
    let ones = x.iter().take_while(|d| **d == 1).count();
    let x = &x[rng.below(ones + 1)..];
    Case::new("random", Broadcast { shape: Shape::new(&y) }, vec![(Type::f32(Shape::new(x)), Fill::Normal)])
}
