//! binary: y = f(a, b), element by element, of equal shapes; an operand that is repeated goes through
//! [`Tape::broadcast`] first. One walk, a small piece of WGSL for each f.
//!
//! add: da = dy, db = dy. sub: da = dy, db = −dy. mul: da = b·dy, db = a·dy. div: da = dy/b, db = −y·dy/b.
//! minimum, maximum: dy to the chosen operand, half to each where both are equal (PyTorch's choice).
//! Comparisons give 1 or 0 in f32 and have no gradient. add, sub and mul take f16 too, computed in f32 and rounded once.
//! Shaders: shaders/elementwise/binary/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, held, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// A function of two numbers. The names are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Binary {
    /// a + b.
    Add,
    /// a/b.
    Div,
    /// Whether a = b.
    Eq,
    /// Whether a ≥ b.
    Ge,
    /// Whether a > b.
    Gt,
    /// Whether a ≤ b.
    Le,
    /// Whether a < b.
    Lt,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// a·b.
    Mul,
    /// Whether a ≠ b.
    Ne,
    /// a − b.
    Sub,
}

/// The gradient of b in a/b, from (y, b, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct DivGrad;

/// The gradient of one operand of a maximum, from (that operand, the other, dy); of a minimum, from (the other, that
/// operand, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct MaximumGrad;

params! {
    struct Params { vectors: u32 }
}

/// What is a function's own: the name of its kernel, and the pieces that define it.
#[derive(Clone, Copy)]
struct Function {
    kernel: &'static str,
    pieces: &'static [Piece],
}

/// The function of shaders/elementwise/binary/`$name`.wgsl, and the piece that it needs, if any.
macro_rules! function {
    ($name:literal $(, $needs:literal)?) => {
        Function {
            kernel: concat!($name, ".forward"),
            pieces: &[$(piece!($needs),)? piece!(concat!("elementwise/binary/", $name, ".wgsl"))],
        }
    };
}

const ADD: Function = function!("add");
const DIV: Function = function!("div");
const EQ: Function = function!("eq");
const GE: Function = function!("ge");
const GT: Function = function!("gt");
const LE: Function = function!("le");
const LT: Function = function!("lt");
const MAXIMUM: Function = function!("maximum", "elementwise/binary/is_nan.wgsl");
const MINIMUM: Function = function!("minimum", "elementwise/binary/is_nan.wgsl");
const MUL: Function = function!("mul");
const NE: Function = function!("ne");
const SUB: Function = function!("sub");

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// The walk.
const FORWARD: &[Piece] = &[piece!("elementwise/binary/forward.wgsl")];

const DIV_GRAD: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("elementwise/binary/div_grad.wgsl"), piece!("elementwise/binary/grad.wgsl")];
const MAXIMUM_GRAD: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("elementwise/binary/maximum_grad.wgsl"),
    piece!("elementwise/binary/grad.wgsl"),
];

impl Tape {
    /// a + b, both f32 or both f16, of one shape.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Add, &[a, b])
    }

    /// a − b, both f32 or both f16, of one shape.
    pub fn sub(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Sub, &[a, b])
    }

    /// a·b, both f32 or both f16, of one shape.
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Mul, &[a, b])
    }

    /// a/b, both f32 of one shape.
    pub fn div(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Div, &[a, b])
    }

    /// The smaller of a and b, both f32 of one shape.
    pub fn minimum(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Minimum, &[a, b])
    }

    /// The larger of a and b, both f32 of one shape.
    pub fn maximum(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Maximum, &[a, b])
    }

    /// 1 where a = b, else 0, as f32; a and b are both f32 or both u32, of one shape. No gradient.
    pub fn eq(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Eq, &[a, b])
    }

    /// 1 where a ≠ b, else 0; otherwise as [`Tape::eq`].
    pub fn ne(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Ne, &[a, b])
    }

    /// 1 where a < b, else 0; otherwise as [`Tape::eq`].
    pub fn lt(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Lt, &[a, b])
    }

    /// 1 where a ≤ b, else 0; otherwise as [`Tape::eq`].
    pub fn le(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Le, &[a, b])
    }

    /// 1 where a > b, else 0; otherwise as [`Tape::eq`].
    pub fn gt(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Gt, &[a, b])
    }

    /// 1 where a ≥ b, else 0; otherwise as [`Tape::eq`].
    pub fn ge(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Binary::Ge, &[a, b])
    }
}

impl Binary {
    /// Its name, what it computes, and which operands it takes besides f32.
    fn form(self) -> (&'static str, Function, Option<DType>) {
        match self {
            Binary::Add => ("add", ADD, Some(DType::F16)),
            Binary::Div => ("div", DIV, None),
            Binary::Eq => ("eq", EQ, Some(DType::U32)),
            Binary::Ge => ("ge", GE, Some(DType::U32)),
            Binary::Gt => ("gt", GT, Some(DType::U32)),
            Binary::Le => ("le", LE, Some(DType::U32)),
            Binary::Lt => ("lt", LT, Some(DType::U32)),
            Binary::Maximum => ("maximum", MAXIMUM, None),
            Binary::Minimum => ("minimum", MINIMUM, None),
            Binary::Mul => ("mul", MUL, Some(DType::F16)),
            Binary::Ne => ("ne", NE, Some(DType::U32)),
            Binary::Sub => ("sub", SUB, Some(DType::F16)),
        }
    }

    /// The kernel for operands of this type, or an error that names the op.
    fn kernel(self, dtype: DType) -> Result<Kernel> {
        let (name, function, other) = self.form();
        if dtype != DType::F32 && other != Some(dtype) {
            return Err(Error::shape(name, format!("a must hold F32, not {}", dtype.name())));
        }
        let kernel = Kernel::new(function.kernel, "portable", INDEX).followed_by(held::quads(dtype));
        Ok(kernel.followed_by(function.pieces).followed_by(FORWARD))
    }
}

/// Launches an elementwise kernel over the inputs in order and the one output.
fn launch(e: &mut Emit<'_>, kernel: Kernel) {
    let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
    let mut buffers: Vec<Slot> = (0..e.x.len()).map(Slot::In).collect();
    buffers.push(Slot::Out(0));
    e.launch(kernel, &buffers, &Params { vectors }, grid);
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        self.form().0
    }

    fn takes_f16(&self) -> bool {
        self.form().2 == Some(DType::F16)
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.kernel(x[0].dtype)?;
        x[1].expect_dtype(self.name(), "b", x[0].dtype)?;
        if x[0].shape != x[1].shape {
            let need = "they must be equal; repeat the smaller one with broadcast";
            return Err(Error::shapes(self.name(), ("a", x[0].shape), ("b", x[1].shape), need));
        }
        let half = x[0].dtype == DType::F16;
        Ok(vec![if half { x[0] } else { Type::f32(x[0].shape) }])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let kernel = self.kernel(e.x[0].dtype)?;
        launch(e, kernel);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None, None]) };
        let (a, b) = (x[0], x[1]);
        let (want_a, want_b) = (t.wants(a), t.wants(b));
        let mut wanted = |want: bool, f: &dyn Fn(&mut Tape) -> Result<Var>| want.then(|| f(t)).transpose();
        let (da, db) = match self {
            Binary::Add => (Some(dy), Some(dy)),
            Binary::Sub => (Some(dy), wanted(want_b, &|t| t.neg(dy))?),
            Binary::Mul => (wanted(want_a, &|t| t.mul(dy, b))?, wanted(want_b, &|t| t.mul(dy, a))?),
            Binary::Div => {
                (wanted(want_a, &|t| t.div(dy, b))?, wanted(want_b, &|t| t.apply1(DivGrad, &[y[0], b, dy]))?)
            }
            Binary::Maximum | Binary::Minimum => {
                let (first, second) = if *self == Binary::Maximum { ([a, b], [b, a]) } else { ([b, a], [a, b]) };
                let chosen = |[a, b]: [Var; 2]| move |t: &mut Tape| t.apply1(MaximumGrad, &[a, b, dy]);
                (wanted(want_a, &chosen(first))?, wanted(want_b, &chosen(second))?)
            }
            Binary::Eq | Binary::Ge | Binary::Gt | Binary::Le | Binary::Lt | Binary::Ne => (None, None),
        };
        Ok(vec![da, db])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for DivGrad {
    fn name(&self) -> &'static str {
        "div.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        launch(e, Kernel::new("div.grad", "portable", DIV_GRAD));
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 3 * y[0].shape.numel() as u64, bytes: 4 * y[0].bytes() }
    }
}

impl Op for MaximumGrad {
    fn name(&self) -> &'static str {
        "maximum.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        launch(e, Kernel::new("maximum.grad", "portable", MAXIMUM_GRAD));
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 2 * y[0].shape.numel() as u64, bytes: 4 * y[0].bytes() }
    }
}

/// Named cases of each function, by its name. Operands that are compared are drawn from a coarse grid: they are equal
/// or well apart.
pub fn families() -> Vec<(&'static str, Vec<Case>)> {
    use Binary::{Add, Div, Eq, Ge, Gt, Le, Lt, Maximum, Minimum, Mul, Ne, Sub};
    let labels = |op| {
        let x = (Type::u32([1025]), Fill::Below(3));
        vec![Case::new("labels", op, vec![x.clone(), x])]
    };
    let arithmetic = |op| {
        let x = (Type::f16([1025]), Fill::Normal);
        let halves = vec![Case::new("f16, odd", op, vec![x.clone(), x])];
        [sizes(op, Fill::Normal, Fill::Normal), halves].concat()
    };
    let compare = |op| [sizes(op, Fill::Distinct, Fill::Distinct), labels(op)].concat();
    vec![
        ("add", arithmetic(Add)),
        ("div", sizes(Div, Fill::Normal, Fill::AwayFromZero)),
        ("eq", compare(Eq)),
        ("ge", compare(Ge)),
        ("gt", compare(Gt)),
        ("le", compare(Le)),
        ("lt", compare(Lt)),
        ("maximum", sizes(Maximum, Fill::Distinct, Fill::Distinct)),
        ("minimum", sizes(Minimum, Fill::Distinct, Fill::Distinct)),
        ("mul", arithmetic(Mul)),
        ("ne", compare(Ne)),
        ("sub", arithmetic(Sub)),
    ]
}

fn sizes(op: Binary, a: Fill, b: Fill) -> Vec<Case> {
    let case = |name, shape: &[usize]| {
        let ty = Type::f32(crate::base::Shape::new(shape));
        Case::new(name, op, vec![(ty, a.clone()), (ty, b.clone())])
    };
    vec![
        case("one", &[1]),
        case("prime", &[7, 13, 11]),
        case("a whole workgroup", &[1024]),
        case("a workgroup and one", &[1025]),
    ]
}
