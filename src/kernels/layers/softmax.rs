//! softmax over the last axis with a temperature T: y = exp(x/T) / Σ exp(x/T), computed from a = (x − max x)/T so that
//! large values are safe; log_softmax: y = a − log Σ exp(a). −inf counts as impossible: its y is 0, or −inf. A row of
//! nothing else gives 0, or −inf, everywhere, where PyTorch gives NaN.
//! dx = y (dy − Σ y dy)/T; of log_softmax dx = (dy − exp(y) Σ dy)/T. Of f16 x, y is f32, as PyTorch's autocast has it: dx is
//! computed from y, and most shares of a long row are less than a half can tell. dx is f16 then. Shaders:
//! shaders/layers/softmax/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Piece, groups_1d};
use crate::kernels::epilogue::is_f32;
use crate::kernels::{Case, Fill, held, lanes};
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
struct SoftmaxGrad {
    softmax: Softmax,
    /// The elements of x.
    #[serde(skip_serializing_if = "is_f32")]
    dtype: DType,
}

params! {
    struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
}

const ROWS: &[Piece] = &[piece!("layers/softmax/result.wgsl"), piece!("layers/softmax/forward_rows.wgsl")];
const GROUPS: &[Piece] = &[piece!("layers/softmax/result.wgsl"), piece!("layers/softmax/forward_groups.wgsl")];
const GRAD_ROWS: &[Piece] = &[piece!("layers/softmax/slope.wgsl"), piece!("layers/softmax/grad_rows.wgsl")];
const GRAD_GROUPS: &[Piece] = &[piece!("layers/softmax/slope.wgsl"), piece!("layers/softmax/grad_groups.wgsl")];

impl Tape {
    /// softmax(x / temperature) of f32 or f16 x [.., K] over the last axis: f32 [.., K].
    pub fn softmax(&mut self, x: Var, temperature: f32) -> Result<Var> {
        self.apply1(Softmax { temperature, log: false }, &[x])
    }

    /// log softmax(x / temperature) of f32 or f16 x [.., K] over the last axis: f32 [.., K].
    pub fn log_softmax(&mut self, x: Var, temperature: f32) -> Result<Var> {
        self.apply1(Softmax { temperature, log: true }, &[x])
    }
}

impl Softmax {
    /// Launches a kernel that reads rows of `dtype`, or makes them at the binding `made`.
    fn launch(
        &self,
        e: &mut Emit<'_>,
        (name, own): (&'static str, [&[Piece]; 2]),
        (dtype, made): (DType, Option<u32>),
        buffers: &[Slot],
    ) {
        let shape = e.y[0].shape;
        let k = shape.dim(shape.rank() - 1);
        let (rows, whole) = (shape.numel() / k, k.is_multiple_of(4));
        let vectors = (if whole { k / 4 } else { k }) as u32;
        let params = Params { rows: rows as u32, vectors, inverse_temperature: 1.0 / self.temperature };
        let kernel = match made {
            Some(at) => held::made(held::rows(name, e.variant, whole), held::cells(whole), dtype, at),
            None => held::over_rows(name, e.variant, whole, dtype),
        };
        let together = if made.is_some() { lanes::sum64 } else { lanes::lse64 };
        let (kernel, grid) = match e.variant {
            "rows" => (kernel.followed_by(own[0]), groups_1d(rows.div_ceil(8))),
            _ => (together(kernel).followed_by(own[1]), groups_1d(rows)),
        };
        e.launch(kernel.with("LOG", u32::from(self.log)), buffers, &params, grid);
    }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("softmax", "x")?;
        if x[0].shape.rank() == 0 || x[0].shape.numel() == 0 {
            return Err(Error::shape("softmax", format!("x is {} and has no last axis to go over", x[0].shape)));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let what = format!("the temperature is {} and must be a number above 0", self.temperature);
            return Err(Error::shape("softmax", what));
        }
        Ok(vec![Type::f32(x[0].shape)])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let dtype = e.x[0].dtype;
        self.launch(e, ("softmax.forward", [ROWS, GROUPS]), (dtype, None), &[Slot::In(0), Slot::Out(0)]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let grad = SoftmaxGrad { softmax: self.clone(), dtype: t.ty(x[0]).dtype };
        Ok(vec![dy[0].map(|dy| t.apply1(grad, &[y[0], dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 7 * x[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![Type { shape: x[0].shape, dtype: self.dtype }])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        lanes::row_variants(caps)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        self.softmax.launch(e, ("softmax.grad", [GRAD_ROWS, GRAD_GROUPS]), (self.dtype, Some(3)), &buffers);
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
    let infinite_half = || Fill::Values(vec![f32::NEG_INFINITY, 0.5, -1.0, f32::NEG_INFINITY, 2.0, 6e4, -6e4]);
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
        case("f16, one", &[1], 1.0, false, Fill::Normal).halved(&[0]),
        case("f16, prime", &[7, 13], 1.0, false, Fill::Normal).halved(&[0]),
        case("f16, prime, log", &[7, 13], 2.0, true, Fill::Normal).halved(&[0]),
        case("f16, whole vec4", &[3, 5, 64], 0.1, false, Fill::Normal).halved(&[0]),
        case("f16, more than a workgroup, odd, log", &[5, 1001], 1.0, true, Fill::Normal).halved(&[0]),
        case("f16, minus infinity", &[5, 7], 1.0, false, infinite_half()).halved(&[0]),
    ]
}
