//! An op of your own in WGSL, from outside the crate: checked against f64 and timed like wgslab's own. `cargo run
//! --release --example own_op`
//!
//! This file uses only the public library. In your program it would look the same.

use wgslab::base::progress::Silent;
use wgslab::base::{DType, Result, Shape};
use wgslab::device::{Caps, Gpu, GpuOptions, Kernel, Piece, groups_1d};
use wgslab::kernels::{Case, Fill};
use wgslab::lab::check::{self, Answer, Expected, Tensor};
use wgslab::lab::{Asked, SamplingRule, Set, bench};
use wgslab::tape::{Cost, Emit, Feed, Op, Options, Plan, Schedule, Slot, State, Tape, Type, Var};

/// A file beside this one.
macro_rules! own {
    ($file:literal) => {
        Piece { path: concat!("examples/own_op/", $file), text: include_str!($file) }
    };
}

const FORWARD: Piece = own!("forward.wgsl");
const GRAD: Piece = own!("grad.wgsl");

wgslab::params! {
    struct Params { count: u32, b: f32 }
}

/// y = (x + √(x² + b)) / 2 of an f32 tensor of any shape.
#[derive(Clone, Debug, serde::Serialize)]
struct Squareplus {
    b: f32,
}

/// Its gradient: (x, y, dy) -> dx.
#[derive(Clone, Debug, serde::Serialize)]
struct SquareplusGrad {
    b: f32,
}

/// Records it.
fn squareplus(t: &mut Tape, x: Var, b: f32) -> Result<Var> {
    t.apply1(Squareplus { b }, &[x])
}

/// The variants: one with four elements for each invocation, and the plain one that it is compared with.
fn variants() -> Vec<&'static str> {
    vec!["wide", "naive"]
}

/// Launches `piece` over as many invocations as the variant needs.
fn launch(e: &mut Emit<'_>, name: &'static str, piece: Piece, buffers: &[Slot], b: f32) {
    let (alias, at_once) = if e.variant == "wide" { (own!("wide.wgsl"), 4) } else { (own!("single.wgsl"), 1) };
    let count = e.y[0].shape.numel().div_ceil(at_once);
    let kernel = Kernel::new(name, e.variant, &[alias, piece]);
    e.launch(kernel, buffers, &Params { count: count as u32, b }, groups_1d(count.div_ceil(64)));
}

impl Op for Squareplus {
    fn name(&self) -> &'static str {
        "squareplus"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("squareplus", "x", DType::F32)?;
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], _caps: &Caps) -> Vec<&'static str> {
        variants()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        launch(e, "squareplus.forward", FORWARD, &[Slot::In(0), Slot::Out(0)], self.b);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let dx = dy[0].map(|dy| t.apply1(SquareplusGrad { b: self.b }, &[x[0], y[0], dy]));
        Ok(vec![dx.transpose()?])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 6 * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

impl Op for SquareplusGrad {
    // `<op>.<entry>` makes it a part of squareplus for the lab.
    fn name(&self) -> &'static str {
        "squareplus.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], _caps: &Caps) -> Vec<&'static str> {
        variants()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        launch(e, "squareplus.grad", GRAD, &buffers, self.b);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 5 * y[0].shape.numel() as u64, bytes: 4 * y[0].bytes() }
    }
}

/// The same in f64, from the formula. Nothing cancels in it, so each element is as exact as its square root (4.5 ulps)
/// and its division (2.5 ulps). Input 0 has a gradient, through output 0.
fn reference(b: f64, x: &[Tensor]) -> Answer {
    let y = |v: &f64| (v + (v * v + b).sqrt()) / 2.0;
    let terms = x[0].f.iter().map(|v| (y(v), y(v))).collect();
    Answer::new(vec![Expected::sums(terms, 3).ulps(4.5 + 2.5)]).gradient(&[0], &[0])
}

fn main() -> Result<()> {
    let open = |checked| Gpu::open(&GpuOptions { checked, ..GpuOptions::default() });
    let (checked, gpu) = (open(true)?, open(false)?);
    const B: f32 = 0.25;
    let case =
        |name, dims: &[usize]| Case::new(name, Squareplus { b: B }, vec![(Type::f32(Shape::new(dims)), Fill::Normal)]);
    // Awkward sizes: one, a prime in each dimension, one more than a workgroup.
    let cases = [case("one", &[1]), case("primes", &[7, 13, 11]), case("a workgroup and one", &[257])];
    let count = check::all([&checked, &gpu], &cases, &|_, x| reference(B.into(), x))?;
    println!("{count} variants of {} cases agree with f64, values and gradients", cases.len());

    // On a tape it is applied, composed and differentiated like any op.
    let mut t = Tape::new();
    let x = t.input("x", Type::f32([3]))?;
    let y = squareplus(&mut t, x, B)?;
    t.output("y", y);
    if let Some(dx) = t.gradient(y, &[x])?[0] {
        t.output("dx", dx);
    }
    let plan = Plan::new(&gpu, Schedule::new(&t, &Options::new(gpu.caps()))?, &State::new())?;
    plan.run(&gpu, &Feed::new().input("x", &[-1.0f32, 0.0, 1.0]))?;
    println!("of -1, 0, 1: {:?}, slopes {:?}", plan.read_f32(&gpu, "y")?, plan.read_f32(&gpu, "dx")?);

    let rule = SamplingRule { samples: 16, seconds: 0.05, limit: 0.2, ..SamplingRule::default() };
    let asked = Asked { variants: vec!["all".into()], rule, ..Asked::default() };
    for report in bench(&[&gpu], &Set::of(vec![case("a million", &[1 << 20])]), &asked, &Silent)? {
        for row in &report.rows {
            let ms = row.ms().median;
            println!("{:20} {:6} {ms:.3} ms, {:.1} GB/s", row.entry, row.variant, row.bytes as f64 / ms / 1e6);
        }
    }
    Ok(())
}
