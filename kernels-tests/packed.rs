//! Attention that reads q, k and v in place from the product that made them gives, bit for bit, what slices, permutes and
//! attention of three tensors give, forward and in the gradient, in every variant.

use crate::harness::device::gpu;
use crate::harness::recording::chooser;
use crate::harness::{ensure, text};
use libtest_mimic::{Failed, Trial};
use wgslab::base::{DType, Result as BaseResult};
use wgslab::kernels::Fill;
use wgslab::kernels::attention::Attention;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Type, Var};

/// Samples, heads, tokens and the size of a head.
struct Case {
    dims: [usize; 4],
    causal: bool,
    lengths: Option<Vec<u32>>,
    dtype: DType,
}

impl Case {
    /// The types of qkv and of dy, and that of the lengths of keys where there are some.
    fn types(&self) -> Vec<Type> {
        let ([b, h, t, e], dtype) = (self.dims, self.dtype);
        let of = |parts| Type { shape: [b, t, parts * h * e].into(), dtype };
        [of(3), of(1)].into_iter().chain(self.lengths.as_ref().map(|_| Type::u32([b]))).collect()
    }
}

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut list = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        let plain = |dims| Case { dims, causal: false, lengths: None, dtype };
        let cases = [
            ("a ViT's tokens", plain([2, 3, 65, 64])),
            ("one token", plain([2, 2, 1, 8])),
            ("one number", plain([1, 1, 1, 1])),
            ("primes", plain([2, 3, 7, 5])),
            ("one head", plain([3, 1, 9, 12])),
            ("a mask and padded keys", Case { causal: true, lengths: Some(vec![5, 0, 99]), ..plain([3, 2, 37, 20]) }),
        ];
        for (name, case) in cases {
            let label = format!("T1 packed attention, {}, {name}", dtype.name());
            list.push(Trial::test(label, move || same_bits(&case).map_err(Failed::from)));
        }
    }
    list
}

/// The results of one way: y [B, T, H·E], lse, and the gradient of qkv.
type Way = [Var; 3];

/// Records attention in place.
fn in_place(t: &mut Tape, case: &Case, x: &[Var]) -> BaseResult<Way> {
    let op = Attention { causal: case.causal, scale: None, packed: Some(case.dims[1]) };
    let inputs: Vec<Var> = [x[0]].into_iter().chain(x.get(2).copied()).collect();
    let out = t.apply(op, &inputs)?;
    let gradient = t.backward(&[out[0]], &[Some(x[1])], &[x[0]])?;
    Ok([out[0], out[1], gradient[0].unwrap_or(x[0])])
}

/// Records attention of three tensors, which are cut out of qkv before and joined behind.
fn moved(t: &mut Tape, case: &Case, x: &[Var]) -> BaseResult<Way> {
    let [b, h, tokens, e] = case.dims;
    let width = h * e;
    let three = (0..3).map(|i| {
        let part = t.slice(x[0], 2, i * width, width)?;
        let part = t.reshape(part, [b, tokens, h, e])?;
        t.permute(part, &[0, 2, 1, 3])
    });
    let three = three.collect::<BaseResult<Vec<Var>>>()?;
    let back = |t: &mut Tape, rows: Var| {
        let rows = t.permute(rows, &[0, 2, 1, 3])?;
        t.reshape(rows, [b, tokens, width])
    };
    let [y, lse] = t.attention(three[0], three[1], three[2], x.get(2).copied(), case.causal)?;
    let y = back(t, y)?;
    let gradients = t.backward(&[y], &[Some(x[1])], &three)?;
    let gradients = gradients.into_iter().zip(&three).map(|(g, part)| back(t, g.unwrap_or(*part)));
    let gradients = gradients.collect::<BaseResult<Vec<Var>>>()?;
    Ok([y, lse, t.concat(&gradients, 2)?])
}

fn same_bits(case: &Case) -> Result<(), String> {
    let (gpu, types) = (gpu(true)?, case.types());
    let mut t = Tape::new();
    let mut record = || {
        let names = ["qkv", "dy", "lengths"];
        let x: Vec<Var> = names.iter().zip(&types).map(|(n, ty)| t.input(n, *ty)).collect::<BaseResult<_>>()?;
        for (way, results) in [("packed", in_place(&mut t, case, &x)?), ("moved", moved(&mut t, case, &x)?)] {
            for (what, var) in ["y", "lse", "gradient"].iter().zip(results) {
                t.output(&format!("{way} {what}"), var);
            }
        }
        BaseResult::Ok(())
    };
    record().map_err(text)?;
    let filled = |(i, ty): (usize, &Type)| match &case.lengths {
        Some(lengths) if i == 2 => lengths.clone(),
        _ => Fill::Normal.words(*ty, 11, i as u32),
    };
    let words: Vec<Vec<u32>> = types.iter().enumerate().map(filled).collect();
    let bytes = |i: usize| &bytemuck::cast_slice::<u32, u8>(&words[i])[..types[i].bytes() as usize];
    let first = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let attention = first.steps.iter().find(|s| s.op.name() == "attention").ok_or("no attention is recorded")?;
    for variant in attention.op.variants(&attention.x, gpu.caps()) {
        let choose = chooser(variant);
        let schedule = Schedule::new(&t, &Options { choose: &choose, ..Options::new(gpu.caps()) }).map_err(text)?;
        let taken = |s: &&wgslab::tape::schedule::Step| s.op.name().starts_with("attention") && s.variant == variant;
        ensure(schedule.steps.iter().filter(taken).count() == 4, format!("[{variant}] was not run"))?;
        let plan = Plan::new(&gpu, schedule, &State::new()).map_err(text)?;
        let mut feed = Feed::new().input("qkv", bytes(0)).input("dy", bytes(1));
        if case.lengths.is_some() {
            feed = feed.input("lengths", bytes(2));
        }
        plan.run(&gpu, &feed).map_err(text)?;
        for what in ["y", "lse", "gradient"] {
            let read = |way: &str| plan.read(&gpu, &format!("{way} {what}")).map_err(text);
            let (packed, moved) = (read("packed")?, read("moved")?);
            let nothing = packed.iter().all(|b| *b == 0);
            ensure(!nothing, format!("[{variant}] {what} is 0 everywhere"))?;
            let other = packed.iter().zip(&moved).position(|(a, b)| a != b);
            ensure(
                other.is_none() && packed.len() == moved.len(),
                format!("[{variant}] {what}: byte {other:?} of {} and {} differs", packed.len(), moved.len()),
            )?;
        }
    }
    Ok(())
}
