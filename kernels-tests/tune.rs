//! The tuner on a device: all correct candidates are timed, a wrong one never wins, and a schedule runs the winner.

use crate::harness::device::gpu;
use crate::harness::text;
use libtest_mimic::{Failed, Trial};
use wgslab::base::Result as BaseResult;
use wgslab::device::tune::Table;
use wgslab::device::{Caps, Kernel, Piece, groups_1d};
use wgslab::kernels::tune::{Subject, Tuning, chooser, key, missing, tune};
use wgslab::tape::{Cost, Emit, Op, Options, Schedule, Slot, Tape, Type};

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T1 tune {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("a step runs what won and is not tuned twice", winner_runs),
        trial("a fast candidate with wrong values never wins", wrong_is_refused),
    ]
}

fn winner_runs() -> Result<(), String> {
    let gpu = gpu(false)?;
    let mut t = Tape::new();
    let mut record = || {
        let a = t.input("a", Type::f32([70, 33]))?;
        let b = t.input("b", Type::f32([33, 40]))?;
        let c = t.matmul(a, b, false, false)?;
        t.output("c", c);
        Ok(())
    };
    record().map_err(text)?;
    let schedule = Schedule::new(&t, &Options::new(gpu.caps())).map_err(text)?;
    let mut table = Table::new(&gpu.adapter().name, &gpu.adapter().driver);
    let subjects = missing(&gpu, &schedule, &table).map_err(text)?;
    let [subject] = subjects.as_slice() else { return Err(format!("one op to tune, not {subjects:?}")) };
    let entry = tune(&gpu, subject, &Tuning::usual(gpu.caps())).map_err(text)?;
    if !entry.refused.is_empty() || entry.median_ms.len() != subject.variants.len() {
        return Err(format!("every variant of matmul is correct and must be timed: {entry:?}"));
    }
    if !entry.median_ms.contains_key(&entry.variant) {
        return Err(format!("the winner was not timed: {entry:?}"));
    }
    table.entries.insert(subject.key.clone(), entry.clone());
    if !missing(&gpu, &schedule, &table).map_err(text)?.is_empty() {
        return Err("what is in the table must not be tuned again".into());
    }
    // Sets other winners, to see that the table decides.
    for variant in &subject.variants {
        table.entries.get_mut(&subject.key).ok_or("the entry is gone")?.variant = variant.to_string();
        let choose = chooser(&table);
        let options = Options { choose: &choose, ..Options::new(gpu.caps()) };
        let schedule = Schedule::new(&t, &options).map_err(text)?;
        if schedule.steps[0].variant != *variant {
            return Err(format!("the table says {variant}, but {} is scheduled", schedule.steps[0].variant));
        }
    }
    table.entries.get_mut(&subject.key).ok_or("the entry is gone")?.checksum = "of other text".into();
    match missing(&gpu, &schedule, &table).map_err(text)?.len() {
        1 => Ok(()),
        n => Err(format!("an edited kernel must be tuned again; {n} ops are to be tuned")),
    }
}

/// Doubles its input. Its first variant does almost nothing and is wrong only in the last element.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct Double(&'static [&'static str]);

const HEAD: Piece = Piece {
    path: "a test: doubling",
    text: "@group(0) @binding(1) var<storage, read> x: array<f32>;
           @group(0) @binding(2) var<storage, read_write> y: array<f32>;
           @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
               let n = arrayLength(&y);",
};
const RIGHT: &[Piece] = &[HEAD, Piece { path: "a test: right", text: "if (id.x < n) { y[id.x] = 2.0 * x[id.x]; } }" }];
const WRONG: &[Piece] = &[
    HEAD,
    Piece { path: "a test: wrong", text: "if (id.x < n) { y[id.x] = select(2.0, 2.01, id.x + 1u == n) * x[id.x]; } }" },
];

wgslab::params! {
    struct Nothing {}
}

impl Op for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn infer(&self, x: &[Type]) -> BaseResult<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], _caps: &Caps) -> Vec<&'static str> {
        self.0.to_vec()
    }

    fn emit(&self, e: &mut Emit<'_>) -> BaseResult<()> {
        let pieces = if e.variant.contains("wrong") { WRONG } else { RIGHT };
        let kernel = Kernel::new("double.forward", e.variant, pieces);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &Nothing {}, groups_1d(e.y[0].shape.numel().div_ceil(64)));
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

fn subject(offered: &'static [&'static str]) -> Result<Subject, String> {
    let (op, x) = (Double(offered), vec![Type::f32([1000])]);
    let variants = op.variants(&x, gpu(false)?.caps());
    Ok(Subject { key: key(&op, &x, &variants), op: std::sync::Arc::new(op), x, variants })
}

fn wrong_is_refused() -> Result<(), String> {
    let gpu = gpu(false)?;
    for offered in [&["wrong", "naive"] as &[_], &["wrong", "right", "right too"]] {
        let entry = tune(&gpu, &subject(offered)?, &Tuning::usual(gpu.caps())).map_err(text)?;
        let why = entry.refused.get("wrong").cloned().unwrap_or_default();
        if !why.contains("element 999") || entry.median_ms.contains_key("wrong") || entry.variant == "wrong" {
            return Err(format!("the wrong candidate must be refused with the place of its error: {entry:?}"));
        }
    }
    match tune(&gpu, &subject(&["wrong", "right"])?, &Tuning::usual(gpu.caps())) {
        Err(e) if e.to_string().contains("no two variants") => Ok(()),
        other => Err(format!("a lone pair that differs must be an error, not {other:?}")),
    }
}
