//! unary: y = f(x), element by element: one walk, a small piece of WGSL for each f, which holds its formula.
//! dx = f′(x)·dy, from y instead of x where f′ follows from y, so that x need not be kept.
//! f16 elements are computed in f32 and rounded once. A function whose slope is computed from the size of y has no f16
//! form, because y is rounded there. Shaders: shaders/elementwise/unary/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::epilogue::Activation;
use crate::kernels::{Case, Fill, held, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// A function of one number. The names are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Unary {
    /// |x|; gradient 0 at 0.
    Abs,
    /// min(max(x, min), max); the gradient passes between them and is 0 at either.
    Clamp {
        /// The least value; −∞ for none.
        min: f32,
        /// The largest; ∞ for none.
        max: f32,
    },
    /// eˣ.
    Exp,
    /// x·Φ(x), or its approximation by a tanh.
    Gelu(Approximate),
    /// x where x > 0, else negative_slope·x.
    LeakyRelu {
        /// The slope below 0.
        negative_slope: f32,
    },
    /// ln x, x > 0.
    Log,
    /// −x.
    Neg,
    /// x^exponent, finite and below 2³¹; x ≥ 0 unless the exponent is a whole number.
    Pow {
        /// The exponent.
        exponent: f32,
    },
    /// 1/x.
    Reciprocal,
    /// max(x, 0); gradient 0 at 0.
    Relu,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// x/(1 + e⁻ˣ).
    Silu,
    /// √x, x ≥ 0.
    Sqrt,
    /// tanh x, for x of any size.
    Tanh,
}

/// How gelu is computed, as PyTorch's argument of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Approximate {
    /// By the normal distribution function (erf).
    None,
    /// x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2.
    Tanh,
}

/// dx from (y, dy) or (x, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct UnaryGrad(pub(crate) Unary);

params! {
    struct Params { vectors: u32, a: f32, b: f32 }
}

/// What is a function's own: the names of its two kernels, and the pieces that define it.
#[derive(Clone, Copy)]
struct Function {
    forward: &'static str,
    grad: &'static str,
    pieces: &'static [Piece],
}

/// The function of shaders/elementwise/unary/`$name`.wgsl, and the piece that it needs, if any.
macro_rules! function {
    ($name:literal $(, $needs:literal)?) => {
        Function {
            forward: concat!($name, ".forward"),
            grad: concat!($name, ".grad"),
            pieces: &[$(piece!($needs),)? piece!(concat!("elementwise/unary/", $name, ".wgsl"))],
        }
    };
}

const ABS: Function = function!("abs");
const CLAMP: Function = function!("clamp");
const EXP: Function = function!("exp");
const GELU: Function = function!("gelu");
const GELU_TANH: Function = function!("gelu_tanh", "elementwise/unary/logistic.wgsl");
const LEAKY_RELU: Function = function!("leaky_relu");
const LOG: Function = function!("log");
const NEG: Function = function!("neg");
const POW: Function = function!("pow", "elementwise/binary/is_nan.wgsl");
const POW_WHOLE: Function = function!("pow_whole");
const RECIPROCAL: Function = function!("reciprocal");
const RELU: Function = function!("relu");
const SIGMOID: Function = function!("sigmoid", "elementwise/unary/logistic.wgsl");
const SILU: Function = function!("silu", "elementwise/unary/logistic.wgsl");
const SQRT: Function = function!("sqrt");
const TANH: Function = function!("tanh");

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// The walks.
const FORWARD: &[Piece] = &[piece!("elementwise/unary/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("elementwise/unary/grad.wgsl")];

impl Tape {
    /// |x| of an f32 or f16 tensor of any shape.
    pub fn abs(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Abs, &[x])
    }

    /// x, at least `min` and at most `max`, of an f32 or f16 tensor of any shape; an error where min > max.
    pub fn clamp(&mut self, x: Var, min: f32, max: f32) -> Result<Var> {
        self.apply1(Unary::Clamp { min, max }, &[x])
    }

    /// eˣ of an f32 tensor of any shape.
    pub fn exp(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Exp, &[x])
    }

    /// x·Φ(x) of an f32 or f16 tensor of any shape (Hendrycks and Gimpel 2016).
    pub fn gelu(&mut self, x: Var, approximate: Approximate) -> Result<Var> {
        self.apply1(Unary::Gelu(approximate), &[x])
    }

    /// x where x > 0, else negative_slope·x, of an f32 or f16 tensor of any shape.
    pub fn leaky_relu(&mut self, x: Var, negative_slope: f32) -> Result<Var> {
        self.apply1(Unary::LeakyRelu { negative_slope }, &[x])
    }

    /// ln x of an f32 or f16 tensor of any shape; x must be positive.
    pub fn log(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Log, &[x])
    }

    /// −x of an f32 or f16 tensor of any shape.
    pub fn neg(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Neg, &[x])
    }

    /// x^exponent of an f32 or f16 tensor of any shape; x must not be negative unless the exponent is a whole number.
    pub fn pow(&mut self, x: Var, exponent: f32) -> Result<Var> {
        self.apply1(Unary::Pow { exponent }, &[x])
    }

    /// 1/x of an f32 tensor of any shape.
    pub fn reciprocal(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Reciprocal, &[x])
    }

    /// max(x, 0) of an f32 or f16 tensor of any shape.
    pub fn relu(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Relu, &[x])
    }

    /// 1/(1 + e⁻ˣ) of an f32 tensor of any shape.
    pub fn sigmoid(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Sigmoid, &[x])
    }

    /// x/(1 + e⁻ˣ) of an f32 or f16 tensor of any shape.
    pub fn silu(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Silu, &[x])
    }

    /// √x of an f32 tensor of any shape; x must not be negative.
    pub fn sqrt(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Sqrt, &[x])
    }

    /// tanh x of an f32 tensor of any shape.
    pub fn tanh(&mut self, x: Var) -> Result<Var> {
        self.apply1(Unary::Tanh, &[x])
    }
}

/// What the gradient needs besides dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
enum Reads {
    X,
    Y,
    Nothing,
}

/// What the ops below ask of a function.
struct Form {
    name: &'static str,
    function: Function,
    reads: Reads,
    /// Flops of an element, each call of a built-in counted as one.
    flops: u64,
    a: f32,
    b: f32,
}

impl Unary {
    fn form(self) -> Form {
        use Reads::{Nothing, X, Y};
        let form = |name, function, reads, flops| Form { name, function, reads, flops, a: 0.0, b: 0.0 };
        match self {
            Unary::Abs => form("abs", ABS, X, 1),
            Unary::Clamp { min, max } => Form { a: min, b: max, ..form("clamp", CLAMP, X, 2) },
            Unary::Exp => form("exp", EXP, Y, 1),
            Unary::Gelu(Approximate::None) => form("gelu", GELU, X, 28),
            Unary::Gelu(Approximate::Tanh) => form("gelu", GELU_TANH, X, 9),
            // A negative slope maps both sides of 0 to one: only x tells them apart.
            Unary::LeakyRelu { negative_slope: a } => {
                Form { a, ..form("leaky_relu", LEAKY_RELU, if a < 0.0 { X } else { Y }, 2) }
            }
            Unary::Log => form("log", LOG, X, 1),
            Unary::Neg => form("neg", NEG, Nothing, 1),
            Unary::Pow { exponent } => {
                let function = if exponent.fract() == 0.0 { POW_WHOLE } else { POW };
                Form { a: exponent, ..form("pow", function, X, 1) }
            }
            Unary::Reciprocal => form("reciprocal", RECIPROCAL, Y, 1),
            Unary::Relu => form("relu", RELU, Y, 1),
            Unary::Sigmoid => form("sigmoid", SIGMOID, Y, 4),
            Unary::Silu => form("silu", SILU, X, 5),
            Unary::Sqrt => form("sqrt", SQRT, Y, 1),
            Unary::Tanh => form("tanh", TANH, Y, 17),
        }
    }

    /// Whether the slope has no rounding of y in it.
    fn takes_f16(self) -> bool {
        self.form().reads != Reads::Y || matches!(self, Unary::LeakyRelu { .. } | Unary::Relu)
    }

    /// Launches one of the function's kernels: `walk` goes over its elements.
    fn launch(self, e: &mut Emit<'_>, name: &'static str, walk: &[Piece], buffers: &[Slot]) {
        let Form { function, a, b, .. } = self.form();
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let kernel = Kernel::new(name, "portable", INDEX).followed_by(held::quads(e.y[0].dtype));
        let kernel = kernel.followed_by(function.pieces).followed_by(walk);
        e.launch(kernel, buffers, &Params { vectors, a, b }, grid);
    }
}

impl Activation for Unary {
    /// None where no kernel that ends so is tested, or where the function takes numbers of its own.
    fn pieces(self) -> Option<&'static [Piece]> {
        let ends = matches!(self, Unary::Relu | Unary::Gelu(_) | Unary::Silu | Unary::Sigmoid | Unary::Tanh);
        ends.then(|| self.form().function.pieces)
    }

    fn flops(self) -> u64 {
        self.form().flops
    }
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.form().name
    }

    fn takes_f16(&self) -> bool {
        (*self).takes_f16()
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float(self.name(), "x")?;
        match *self {
            Unary::Clamp { min, max } if min.is_nan() || max.is_nan() || min > max => {
                Err(Error::shape("clamp", format!("min must be at most max, not {min} with a max of {max}")))
            }
            Unary::Pow { exponent } if exponent.is_nan() || exponent.abs() >= 2_147_483_648.0 => {
                Err(Error::shape("pow", format!("the exponent must be finite and below 2^31, not {exponent}")))
            }
            _ => Ok(vec![x[0]]),
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.launch(e, self.form().function.forward, FORWARD, &[Slot::In(0), Slot::Out(0)]);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None]) };
        let dx = match self.form().reads {
            Reads::X => t.apply1(UnaryGrad(*self), &[x[0], dy]),
            Reads::Y => t.apply1(UnaryGrad(*self), &[y[0], dy]),
            Reads::Nothing => t.neg(dy),
        };
        Ok(vec![Some(dx?)])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: self.form().flops * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

impl Op for UnaryGrad {
    fn name(&self) -> &'static str {
        self.0.form().function.grad
    }

    fn takes_f16(&self) -> bool {
        self.0.takes_f16()
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[1]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.0.launch(e, self.name(), GRAD, &[Slot::In(0), Slot::In(1), Slot::Out(0)]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: (self.0.form().flops + 1) * y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

/// Named cases of each function, by its name; values stay away from kinks and poles: bounds lie
/// off the grid of `Distinct`.
pub fn families() -> Vec<(&'static str, Vec<Case>)> {
    let pow = |exponent| Unary::Pow { exponent };
    let leaky = |negative_slope| Unary::LeakyRelu { negative_slope };
    let clamp = Unary::Clamp { min: -0.7525, max: 0.5025 };
    let gelu = [Unary::Gelu(Approximate::None), Unary::Gelu(Approximate::Tanh)];
    let wide = || Fill::Uniform(-12.0, 12.0);
    let positive = || Fill::Uniform(0.05, 4.0);
    // Where e^(2x) overflows, and where 1 − 2/(e^(2x) + 1) would lose everything.
    let extreme = || Fill::Values(vec![-1e30, -200.0, -9.01, -0.6, -1e-3, -1e-20, 0.0, 3e-9, 0.04, 0.63, 15.5, 90.0]);
    vec![
        ("abs", [sizes(&[Unary::Abs], Fill::AwayFromZero), halves(&[Unary::Abs], Fill::AwayFromZero)].concat()),
        ("clamp", [sizes(&[clamp], Fill::Distinct), halves(&[clamp], Fill::Distinct)].concat()),
        ("exp", sizes(&[Unary::Exp], Fill::Uniform(-20.0, 6.0))),
        (
            "gelu",
            [
                sizes(&gelu, Fill::Normal),
                halves(&gelu, Fill::Normal),
                vec![case("tails", 257, Unary::Gelu(Approximate::None), wide())],
                vec![case("tails, tanh", 257, Unary::Gelu(Approximate::Tanh), wide())],
                vec![case("extremes", 24, Unary::Gelu(Approximate::None), extreme())],
                vec![case("extremes, tanh", 24, Unary::Gelu(Approximate::Tanh), extreme())],
            ]
            .concat(),
        ),
        (
            "leaky_relu",
            [
                sizes(&[leaky(0.01), leaky(0.0), leaky(-0.5)], Fill::AwayFromZero),
                halves(&[leaky(0.01), leaky(-0.5)], Fill::AwayFromZero),
            ]
            .concat(),
        ),
        ("log", [sizes(&[Unary::Log], positive()), halves(&[Unary::Log], positive())].concat()),
        ("neg", [sizes(&[Unary::Neg], Fill::Normal), halves(&[Unary::Neg], Fill::Normal)].concat()),
        (
            "pow",
            [
                sizes(&[pow(2.0), pow(3.0), pow(-2.0), pow(0.0), pow(1.0)], Fill::AwayFromZero),
                vec![case("a root, a workgroup and one", 1025, pow(0.5), positive())],
                vec![case("a fraction, prime", 1001, pow(2.7), positive())],
                vec![case("a negative fraction, one", 1, pow(-1.5), positive())],
                vec![case("a large exponent", 65, pow(41.0), Fill::Uniform(-1.1, 1.1))],
                vec![case("zero", 5, pow(2.0), Fill::Values(vec![0.0, -1.0, 2.0]))],
                halves(&[pow(3.0), pow(2.7)], Fill::Uniform(0.5, 2.0)), // powers that f16 can hold
            ]
            .concat(),
        ),
        ("reciprocal", sizes(&[Unary::Reciprocal], Fill::AwayFromZero)),
        ("relu", [sizes(&[Unary::Relu], Fill::AwayFromZero), halves(&[Unary::Relu], Fill::AwayFromZero)].concat()),
        ("sigmoid", [sizes(&[Unary::Sigmoid], wide()), vec![case("extremes", 24, Unary::Sigmoid, extreme())]].concat()),
        (
            "silu",
            [
                sizes(&[Unary::Silu], wide()),
                halves(&[Unary::Silu], Fill::Normal),
                vec![case("extremes", 24, Unary::Silu, extreme())],
            ]
            .concat(),
        ),
        ("sqrt", sizes(&[Unary::Sqrt], positive())),
        ("tanh", [sizes(&[Unary::Tanh], wide()), vec![case("extremes", 24, Unary::Tanh, extreme())]].concat()),
    ]
}

/// Odd and even sizes in f16.
fn halves(ops: &[Unary], fill: Fill) -> Vec<Case> {
    let case = |(i, &op): (usize, &Unary)| {
        let (name, n) = [("f16, odd", 1001), ("f16, a workgroup and two", 1026)][i];
        Case::new(name, op, vec![(Type::f16([n]), fill.clone())])
    };
    ops.iter().enumerate().map(case).collect()
}

fn case(name: &'static str, n: usize, op: Unary, fill: Fill) -> Case {
    Case::new(name, op, vec![(Type::f32([n]), fill)])
}

/// Awkward sizes, the functions in turn: each of up to five has one, and a lone one has them all.
fn sizes(ops: &[Unary], fill: Fill) -> Vec<Case> {
    let names = ["a workgroup and one", "prime", "one", "a whole workgroup", "three"];
    let counts = [1025, 1001, 1, 1024, 3];
    let used = ops.len().max(3);
    (0..used).map(|i| case(names[i], counts[i], ops[i % ops.len()], fill.clone())).collect()
}
