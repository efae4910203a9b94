//! kernels: one file per op, in one order: formula, data, params, shaders, public method, shapes, dispatch, gradient,
//! cost, cases. The same name stands in `shaders/<op>/` and `kernels-tests/reference/<op>.rs`. An op file reaches
//! other ops through `Tape` methods, or through a core they share, nothing else.

pub mod add;
pub mod case;
pub mod color_jitter;
pub mod crop_resize;
pub mod draw;
pub mod fill;
pub mod gaussian_blur;
pub mod normalize;
pub mod relu;

pub use case::{Case, Fill};

use crate::base::Result;
use crate::device::groups_1d;
use crate::tape::backward::Arithmetic;
use crate::tape::{Tape, Var};

/// A list of an op's name and its named cases: tests, gradients and benches read it.
pub fn ops() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("add", add::cases()),
        ("color_jitter", color_jitter::cases()),
        ("crop_resize", crop_resize::cases()),
        ("fill", fill::cases()),
        ("gaussian_blur", gaussian_blur::cases()),
        ("normalize", normalize::cases()),
        ("relu", relu::cases()),
    ]
}

/// What a backward pass needs of the ops.
struct Ops;

impl Arithmetic for Ops {
    fn ones(t: &mut Tape, like: Var) -> Result<Var> {
        let shape = t.shape(like);
        t.fill(shape, 1.0)
    }

    fn sum(t: &mut Tape, a: Var, b: Var) -> Result<Var> {
        t.add(a, b)
    }
}

impl Tape {
    /// Appends the gradient of Σ ⟨output, cotangent⟩ with respect to each of `wrt`; a cotangent of `None` means ones.
    /// `None` comes back where nothing depends on that value.
    pub fn backward(&mut self, outputs: &[Var], cotangents: &[Option<Var>], wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward_with::<Ops>(outputs, cotangents, wrt)
    }

    /// The gradient of one scalar loss.
    pub fn gradient(&mut self, loss: Var, wrt: &[Var]) -> Result<Vec<Option<Var>>> {
        self.backward(&[loss], &[None], wrt)
    }
}

/// vec4 count and grid of an elementwise kernel of 256 vec4 a workgroup over `elements` elements.
pub(crate) fn vec4_grid(elements: usize) -> (u32, [u32; 3]) {
    let vectors = elements.div_ceil(4);
    (vectors as u32, groups_1d(vectors.div_ceil(256)))
}
