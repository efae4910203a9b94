//! softmax over the last axis with a temperature T: y = exp(x/T) / Σ exp(x/T), computed from a = (x − max x)/T so that
//! large values are safe; log_softmax: y = a − log Σ exp(a). −inf counts as impossible: its y is 0, or −inf. A row of
//! nothing else gives 0, or −inf, everywhere, where PyTorch gives NaN.
//! dx = y (dy − Σ y dy)/T; of log_softmax dx = (dy − exp(y) Σ dy)/T. Shaders: shaders/layers/softmax/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x [.., K] -> y [.., K].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Softmax {
    /// T.
    pub temperature: f32,
    /// Whether y is the logarithm.
    pub log: bool,
}

/// dx from (y, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct SoftmaxGrad(Softmax);

params! {
    struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
}

const ROWS: &[Piece] = &[piece!("layers/softmax/result.wgsl"), piece!("layers/softmax/forward_rows.wgsl")];
const GROUPS: &[Piece] =
    &[piece!("common/lse64.wgsl"), piece!("layers/softmax/result.wgsl"), piece!("layers/softmax/forward_groups.wgsl")];
const GRAD_ROWS: &[Piece] = &[piece!("layers/softmax/slope.wgsl"), piece!("layers/softmax/grad_rows.wgsl")];
const GRAD_GROUPS: &[Piece] =
    &[piece!("common/sum64.wgsl"), piece!("layers/softmax/slope.wgsl"), piece!("layers/softmax/grad_groups.wgsl")];

impl Tape {
    /// softmax(x / temperature) of f32 x [.., K] over the last axis.
    pub fn softmax(&mut self, x: Var, temperature: f32) -> Result<Var> {
        self.apply1(Softmax { temperature, log: false }, &[x])
    }

    /// log softmax(x / temperature) of f32 x [.., K] over the last axis.
    pub fn log_softmax(&mut self, x: Var, temperature: f32) -> Result<Var> {
        self.apply1(Softmax { temperature, log: true }, &[x])
    }
}

impl Softmax {
    fn launch(&self, e: &mut Emit<'_>, name: &'static str, own: [&[Piece]; 2], buffers: &[Slot]) {
        let shape = e.y[0].shape;
        let k = shape.dim(shape.rank() - 1);
        let (rows, whole) = (shape.numel() / k, k.is_multiple_of(4));
        let vectors = (if whole { k / 4 } else { k }) as u32;
        let params = Params { rows: rows as u32, vectors, inverse_temperature: 1.0 / self.temperature };
        let (own, grid) =
            if e.variant == "rows" { (own[0], groups_1d(rows.div_ceil(8))) } else { (own[1], groups_1d(rows)) };
        let kernel = Kernel::new(name, e.variant, units(whole)).followed_by(own).with("LOG", u32::from(self.log));
        e.launch(kernel, buffers, &params, grid);
    }
}

/// `rows`: an invocation a row. `groups`: a workgroup a row.
fn variants(caps: &Caps) -> Vec<&'static str> {
    if caps.software { vec!["rows", "groups"] } else { vec!["groups", "rows"] }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("softmax", "x", DType::F32)?;
        if x[0].shape.rank() == 0 || x[0].shape.numel() == 0 {
            return Err(Error::shape("softmax", format!("x is {} and has no last axis to go over", x[0].shape)));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let what = format!("the temperature is {} and must be a number above 0", self.temperature);
            return Err(Error::shape("softmax", what));
        }
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.launch(e, "softmax.forward", [ROWS, GROUPS], &[Slot::In(0), Slot::Out(0)]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(SoftmaxGrad(self.clone()), &[y[0], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 7 * x[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        self.0.launch(e, "softmax.grad", [GRAD_ROWS, GRAD_GROUPS], &buffers);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 5 * x[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], temperature, log, fill| {
        let input = (Type::f32(crate::base::Shape::new(shape)), fill);
        Case::new(name, Softmax { temperature, log }, vec![input])
    };
    let infinite = || Fill::Values(vec![f32::NEG_INFINITY, 0.5, -1.0, f32::NEG_INFINITY, 2.0, 3e38, -3e38]);
    vec![
        case("one", &[1], 1.0, false, Fill::Normal),
        case("one class, log", &[3, 1], 0.5, true, Fill::Normal),
        case("prime", &[7, 13], 1.0, false, Fill::Normal),
        case("prime, log", &[7, 13], 2.0, true, Fill::Normal),
        case("whole vec4", &[3, 5, 64], 0.1, false, Fill::Normal),
        case("whole vec4, log", &[3, 5, 64], 0.1, true, Fill::Normal),
        case("more than a workgroup", &[67, 260], 1.0, false, Fill::Normal),
        case("more than a workgroup, odd, log", &[5, 1001], 1.0, true, Fill::Normal),
        case("exp would overflow", &[9, 5], 0.5, false, Fill::Uniform(-500.0, 500.0)),
        case("exp would overflow, log", &[9, 5], 0.5, true, Fill::Uniform(-500.0, 500.0)),
        case("more than 65,535 rows", &[65_537, 2], 1.0, false, Fill::Normal),
        case("minus infinity", &[5, 7], 1.0, false, infinite()),
        case("minus infinity, log", &[5, 7], 1.0, true, infinite()),
        case("nothing but minus infinity", &[2, 4], 1.0, false, Fill::Values(vec![f32::NEG_INFINITY])),
    ]
}
