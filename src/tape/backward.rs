//! Reverse-mode differentiation: walks the recording backwards and lets each op append its gradient.

use super::record::{StepPart, Tape, Var};
use crate::base::{DType, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The layer of the nodes that a backward pass appends itself: the first cotangent, and the sum of the gradients of a
/// value that is read twice.
const SUMS: &str = "gradients";

/// The two ops that a backward pass needs and that are no op's gradient. This floor names no op, so `kernels` passes
/// them in.
pub trait Arithmetic {
    /// A tensor of ones in the shape of `like`: the cotangent of a scalar loss.
    fn ones(t: &mut Tape, like: Var) -> Result<Var>;
    /// a + b: the sum of two gradients of a value that is read twice. Both have the value's shape and are of one dtype.
    fn sum(t: &mut Tape, a: Var, b: Var) -> Result<Var>;
    /// A gradient as another float dtype.
    fn cast(t: &mut Tape, a: Var, dtype: DType) -> Result<Var>;
}

impl Tape {
    /// Appends the gradient of Σ ⟨output, cotangent⟩ with respect to each of `wrt`. A cotangent has the shape and dtype
    /// of its output; `None` means ones. The results are in the order of `wrt`, each of the shape and dtype of its
    /// value, and `None` for a value that no output depends on. It is an error if the lists differ in length, a
    /// cotangent has another type, an op has no gradient, or the gradient of a gradient is asked for.
    pub fn backward_with<A: Arithmetic>(
        &mut self,
        outputs: &[Var],
        cotangents: &[Option<Var>],
        wrt: &[Var],
    ) -> Result<Vec<Option<Var>>> {
        if outputs.len() != cotangents.len() {
            return Err(Error::Failed(format!(
                "backward was given {} outputs and {} cotangents; give one for each, or None",
                outputs.len(),
                cotangents.len()
            )));
        }
        let recorded = self.nodes.len();
        self.wanted = self.reached_from(wrt, recorded);
        let result = self.part(StepPart::Backward, |t| t.walk::<A>(outputs, cotangents, wrt, recorded));
        self.wanted.clear();
        result
    }

    /// Every value that depends on one of `wrt` through differentiable nodes, `wrt` included.
    fn reached_from(&self, wrt: &[Var], recorded: usize) -> BTreeSet<Var> {
        let mut reached: BTreeSet<Var> = wrt.iter().copied().collect();
        for node in &self.nodes[..recorded] {
            if node.inputs.iter().any(|v| reached.contains(v)) {
                let through = node.outputs.iter().filter(|v| self.is_float(**v) && !self.detached.contains(v));
                reached.extend(through);
            }
        }
        reached
    }

    fn walk<A: Arithmetic>(
        &mut self,
        outputs: &[Var],
        cotangents: &[Option<Var>],
        wrt: &[Var],
        recorded: usize,
    ) -> Result<Vec<Option<Var>>> {
        let mut grads: BTreeMap<Var, Var> = BTreeMap::new();
        for (&y, &dy) in outputs.iter().zip(cotangents) {
            if !self.wanted.contains(&y) {
                continue;
            }
            let dy = match dy {
                Some(d) if self.ty(d) != self.ty(y) => {
                    return Err(Error::Failed(format!(
                        "a cotangent is {} and its output is {}",
                        self.ty(d),
                        self.ty(y)
                    )));
                }
                Some(d) => d,
                None => self.layer(SUMS, |t| A::ones(t, y))?,
            };
            self.accumulate::<A>(&mut grads, y, dy)?;
        }
        for i in (0..recorded).rev() {
            let node = self.nodes[i].clone();
            let mut dy: Vec<Option<Var>> = node.outputs.iter().map(|v| grads.get(v).copied()).collect();
            if dy.iter().all(Option::is_none) || !node.inputs.iter().any(|v| self.wanted.contains(v)) {
                continue;
            }
            if node.part == StepPart::Backward {
                return Err(Error::Failed(format!(
                    "{} was appended by a backward pass; gradients of gradients are not supported, detach it",
                    node.op.name()
                )));
            }
            let layer = format!("{}'", node.layer);
            for (dy, &y) in dy.iter_mut().zip(&node.outputs).filter(|_| !node.op.takes_long_gradients()) {
                *dy = dy.map(|dy| self.layer(&layer, |t| t.as_of::<A>(dy, y))).transpose()?;
            }
            let dx = self.layer(&layer, |t| node.op.grad(t, &node.inputs, &node.outputs, &dy))?;
            for (&x, dx) in node.inputs.iter().zip(dx) {
                if let (Some(dx), true) = (dx, self.wanted.contains(&x)) {
                    if !self.can_be_gradient(dx, x) {
                        let (op, a, b) = (node.op.name(), self.ty(dx), self.ty(x));
                        return Err(Error::Failed(format!("{op}: its gradient is {a} for an input of {b}")));
                    }
                    self.accumulate::<A>(&mut grads, x, dx)?;
                }
            }
        }
        let mut of = |&v: &Var| grads.get(&v).map(|&d| self.layer(SUMS, |t| t.as_of::<A>(d, v))).transpose();
        wrt.iter().map(&mut of).collect()
    }

    /// Whether `dx` is a gradient of `x`: of its shape and dtype, or of f32 where that is f16 and a long sum was kept.
    fn can_be_gradient(&self, dx: Var, x: Var) -> bool {
        let (dx, x) = (self.ty(dx), self.ty(x));
        dx == x || (dx.shape == x.shape && [dx.dtype, x.dtype] == [DType::F32, DType::F16])
    }

    /// The gradient `d` in the dtype of `v`.
    fn as_of<A: Arithmetic>(&mut self, d: Var, v: Var) -> Result<Var> {
        let dtype = self.ty(v).dtype;
        if self.ty(d).dtype == dtype { Ok(d) } else { A::cast(self, d, dtype) }
    }

    fn accumulate<A: Arithmetic>(&mut self, grads: &mut BTreeMap<Var, Var>, x: Var, dx: Var) -> Result<()> {
        let sum = match grads.get(&x) {
            Some(&have) => self.layer(SUMS, |t| {
                let longer = if t.ty(have).dtype == DType::F32 { have } else { dx };
                let (have, dx) = (t.as_of::<A>(have, longer)?, t.as_of::<A>(dx, longer)?);
                A::sum(t, have, dx)
            })?,
            None => dx,
        };
        grads.insert(x, sum);
        Ok(())
    }
}
