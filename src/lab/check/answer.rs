//! What a reference in f64 gets and returns: the value of each output, and how exact f32 can be.
//!
//! For an element that folds K products or sums, |error| ≤ 2⁻²⁴ · Σ|terms| · (4 · max(1, √K) + 2 · ulps) is allowed.
//! `ulps` is what Vulkan grants to the inexact built-ins in the formula (division 2.5, sqrt 4.5, exp 3 + 2|x|, log 3),
//! in addition to the rounding of sums.

use crate::base::{DType, Shape};
use crate::tape::{Op, Type};

/// Half an ulp of 1 in f32: what one rounding may add.
pub const HALF_ULP: f64 = 1.0 / 16_777_216.0;

/// The least normal f32, in units of [`HALF_ULP`]: a device may take anything smaller for 0.
pub const FLUSHED: f64 = f32::MIN_POSITIVE as f64 / HALF_ULP;

/// An input as a reference reads it: `f` for f32 and f16 elements, `u` for u32.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Shape,
    /// Elements of an f32 or f16 tensor.
    pub f: Vec<f64>,
    /// Elements of a u32 tensor.
    pub u: Vec<u32>,
}

impl Tensor {
    /// A tensor from its words.
    pub fn new(ty: Type, words: &[u32]) -> Self {
        let (mut f, mut u) = (Vec::new(), Vec::new());
        match ty.dtype {
            DType::F16 => {
                let halves = words.iter().flat_map(|w| [w & 0xffff, w >> 16]);
                f = halves.take(ty.shape.numel()).map(|h| half::f16::from_bits(h as u16).to_f64()).collect();
            }
            DType::F32 => f = words.iter().map(|w| f32::from_bits(*w) as f64).collect(),
            DType::U32 => u = words.to_vec(),
        }
        Tensor { shape: ty.shape, f, u }
    }

    /// Dimension `i`.
    pub fn dim(&self, i: usize) -> usize {
        self.shape.dim(i)
    }
}

/// What one output must be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Float elements. The tolerance is that of f32. An f16 element may be off by half an ulp of f16 in addition.
    Floats {
        /// The values.
        value: Vec<f64>,
        /// Σ|terms| of each; 0 asks for the nearest f32.
        terms: Vec<f64>,
        /// How many terms are folded into an element.
        length: usize,
        /// Ulps of inexact built-ins.
        ulps: f64,
    },
    /// u32 elements, exactly.
    Words(Vec<u32>),
}

impl Expected {
    /// Values that must be given to the last bit.
    pub fn exact(value: Vec<f64>) -> Self {
        let terms = vec![0.0; value.len()];
        Expected::Floats { value, terms, length: 1, ulps: 0.0 }
    }

    /// Values of (value, Σ|terms|) pairs over `length` terms.
    pub fn sums(pairs: Vec<(f64, f64)>, length: usize) -> Self {
        let (value, terms) = pairs.into_iter().unzip();
        Expected::Floats { value, terms, length, ulps: 0.0 }
    }

    /// Pairs of a value and its allowed error in units of 2⁻²⁴. A value below the least normal f32 may come out as 0.
    pub fn within(pairs: Vec<(f64, f64)>) -> Self {
        let (value, terms) = pairs.into_iter().map(|(v, error)| (v, (error + FLUSHED) / 4.0)).unzip();
        Expected::Floats { value, terms, length: 1, ulps: 0.0 }
    }

    /// The same with inexact built-ins on the way.
    pub fn ulps(mut self, more: f64) -> Self {
        if let Expected::Floats { ulps, .. } = &mut self {
            *ulps += more;
        }
        self
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Expected::Floats { value, .. } => value.len(),
            Expected::Words(w) => w.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The outputs of an op, given its inputs.
pub type Outputs = fn(&dyn Op, &[Tensor]) -> Vec<Expected>;

/// What a reference says of a case.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Each output.
    pub outputs: Vec<Expected>,
    /// Variants that sum other terms than the formula, by the beginning of their names, and what is expected of them. The
    /// longest beginning counts.
    pub other_terms: Vec<(&'static str, Outputs)>,
    /// Inputs that must have a gradient; every other input must have none.
    pub wrt: Vec<usize>,
    /// Outputs whose cotangents the op takes.
    pub through: Vec<usize>,
    /// Absolute error that a gradient may always have: for formulas whose parts cancel.
    pub gradient_floor: f64,
    /// For each input: the absolute error that its gradient, of f16 elements, may have besides, where it is found from an output
    /// that was rounded to f16. None for inputs that are not here.
    pub half_floors: Vec<f64>,
    /// If output 0 chooses among the elements of input 0: the index that each of its elements chose. The gradient then
    /// follows the choice. Without it, ties would have no gradient.
    pub picks: Option<Vec<usize>>,
}

impl Answer {
    /// Outputs without a gradient.
    pub fn new(outputs: Vec<Expected>) -> Self {
        Answer {
            outputs,
            other_terms: Vec::new(),
            wrt: Vec::new(),
            through: Vec::new(),
            gradient_floor: 0.0,
            half_floors: Vec::new(),
            picks: None,
        }
    }

    /// What is expected of a variant of `op` over `x`.
    pub fn of(&self, variant: &str, op: &dyn Op, x: &[Tensor]) -> Vec<Expected> {
        let of_it = self.other_terms.iter().filter(|(begins, _)| variant.starts_with(begins));
        match of_it.max_by_key(|(begins, _)| begins.len()) {
            Some((_, outputs)) => outputs(op, x),
            None => self.outputs.clone(),
        }
    }

    /// Inputs `wrt` have a gradient, through the outputs `through`.
    pub fn gradient(mut self, wrt: &[usize], through: &[usize]) -> Self {
        (self.wrt, self.through) = (wrt.to_vec(), through.to_vec());
        self
    }

    /// Output 0 is a choice among the elements of input 0.
    pub fn picks(mut self, picks: Vec<usize>) -> Self {
        self.picks = Some(picks);
        self
    }

    /// Allows gradients this much of absolute error.
    pub fn floor(mut self, floor: f64) -> Self {
        self.gradient_floor = floor;
        self
    }

    /// Allows the gradients of the inputs, of f16 elements, so much of absolute error besides, in the order of the inputs.
    pub fn half_floors(mut self, floors: &[f64]) -> Self {
        self.half_floors = floors.to_vec();
        self
    }

    /// The absolute error that the gradient of input `i`, of such elements, may always have.
    pub(super) fn floor_of(&self, i: usize, dtype: DType) -> f64 {
        let half = self.half_floors.get(i).copied().filter(|_| dtype == DType::F16);
        self.gradient_floor + half.unwrap_or(0.0)
    }
}
