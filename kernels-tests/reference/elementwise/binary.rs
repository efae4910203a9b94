//! binary: functions of two numbers. The error is one rounding of the exact value, and what Vulkan grants a division.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::kernels::binary::Binary;
use wgslab::tape::Op;

pub const NAMES: &[&str] = &["add", "div", "eq", "ge", "gt", "le", "lt", "maximum", "minimum", "mul", "ne", "sub"];

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = *cast::<Binary>(op);
    let float = |t: &Tensor| if t.f.is_empty() { t.u.iter().map(|&v| v as f64).collect() } else { t.f.clone() };
    let (a, b) = (float(&x[0]), float(&x[1]));
    let pairs = || a.iter().zip(&b).map(|(&a, &b)| (a, b));
    let each = |f: &dyn Fn(f64, f64) -> f64| Expected::exact(pairs().map(|(a, b)| f(a, b)).collect());
    let truth = |f: &dyn Fn(&f64, &f64) -> bool| Answer::new(vec![each(&|a, b| f(&a, &b) as u32 as f64)]);
    let y = match op {
        Binary::Add => each(&|a, b| a + b),
        Binary::Sub => each(&|a, b| a - b),
        Binary::Mul => each(&|a, b| a * b),
        Binary::Div => Expected::within(pairs().map(|(a, b)| (a / b, 5.0 * (a / b).abs())).collect()),
        Binary::Minimum => each(&f64::min),
        Binary::Maximum => each(&f64::max),
        Binary::Eq => return truth(&f64::eq),
        Binary::Ne => return truth(&f64::ne),
        Binary::Lt => return truth(&f64::lt),
        Binary::Le => return truth(&f64::le),
        Binary::Gt => return truth(&f64::gt),
        Binary::Ge => return truth(&f64::ge),
    };
    Answer::new(vec![y]).gradient(&[0, 1], &[0])
}
