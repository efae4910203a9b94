//! info_nce: the loss of MoCo (He et al. 2020, arXiv:1911.05722, eq. 1): each query against its positive key and the K rows
//! of a queue, all normalised: s_i = query_i·key_i / τ, n_ij = query_i·queue_j / τ,
//! loss_i = log (exp(s_i) + Σ_j exp(n_ij)) − s_i; loss = Σ w_i loss_i / max(Σ w_i, tiny). The N × (1 + K) logits are never
//! kept. With f_i = dy w_i / max(Σ w, tiny) + dlosses_i:
//! dquery_i = f_i/τ ((exp(−loss_i) − 1) key_i + Σ_j exp(n_ij − lse_i) queue_j), dkey_i = f_i/τ (exp(−loss_i) − 1) query_i.
//! The queue has no gradient; MoCo detaches the key as well. Shaders: shaders/losses/info_nce/, shaders/core/contrast/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::contrast::{self, Walk};
use crate::kernels::row_loss;
use crate::kernels::{Case, Fill, same_types, units};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (query [N, D], key [N, D], queue [K, D], weights [N]) -> (loss [1], losses [N], shares [N], lse [N]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct InfoNce {
    /// τ; MoCo uses 0.07, its second version 0.2.
    pub temperature: f32,
}

/// dquery from (query, queue, key, lse, losses, dloss and shares | dlosses).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct InfoNceGrad {
    temperature: f32,
}

/// dkey from (query, losses, dloss and shares | dlosses).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct InfoNceGradKey {
    temperature: f32,
}

params! {
    struct Key { rows: u32, vectors: u32, inverse_temperature: f32 }
}

const PAIRS: &[Piece] = &[piece!("losses/info_nce/pairs.wgsl")];
const FINISH: &[Piece] =
    &[piece!("core/contrast/params.wgsl"), piece!("losses/info_nce/start.wgsl"), piece!("core/contrast/finish.wgsl")];
const PULL: &[Piece] = &[piece!("losses/info_nce/pull.wgsl")];
const GRAD_KEY: &[Piece] = &[piece!("losses/info_nce/grad_key.wgsl")];
/// What the cotangent belongs to.
const OF_LOSS: &[Piece] = &[piece!("core/row_loss/of_loss.wgsl")];
const OF_LOSSES: &[Piece] = &[piece!("core/row_loss/of_losses.wgsl")];

impl Tape {
    /// InfoNCE of queries [N, D] with their positive keys [N, D] against a queue [K, D], rows normalised, under weights [N]:
    /// [loss [1], losses [N]]. Query and key have a gradient; detach the key where it comes from a momentum encoder.
    pub fn info_nce(&mut self, [query, key, queue]: [Var; 3], weights: Var, temperature: f32) -> Result<[Var; 2]> {
        let y = self.apply(InfoNce { temperature }, &[query, key, queue, weights])?;
        Ok([y[0], y[1]])
    }
}

/// How a variant walks queries against the queue.
fn walk(query: Type, queue: Type, variant: &str) -> Walk {
    Walk::new([query.shape.dim(0), queue.shape.dim(0), query.shape.dim(1)], variant)
}

impl Op for InfoNce {
    fn name(&self) -> &'static str {
        "info_nce"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        same_types("info_nce", &[("query", x[0]), ("key", x[1])])?;
        x[2].expect_dtype("info_nce", "queue", DType::F32)?;
        x[3].expect_dtype("info_nce", "weights", DType::F32)?;
        let [n, d] = x[0].shape.matrix("info_nce", "query")?;
        let [k, e] = x[2].shape.matrix("info_nce", "queue")?;
        if d != e || n * k * d == 0 {
            let need = "rows must have one length, and none may be empty";
            return Err(Error::shapes("info_nce", ("query", x[0].shape), ("queue", x[2].shape), need));
        }
        if x[3].shape.vector("info_nce", "weights")? != n {
            let need = "weights must have one element for each row";
            return Err(Error::shapes("info_nce", ("weights", x[3].shape), ("query", x[0].shape), need));
        }
        Ok(vec![Type::f32([1]), Type::f32([n]), Type::f32([n]), Type::f32([n])])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        contrast::variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        vec![walk(x[0], x[2], variant).partials()]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let w = walk(e.x[0], e.x[2], e.variant);
        let params = w.params(self.temperature, 1.0);
        let names = ["info_nce.forward", "info_nce.finish"];
        let [query, key, queue] = [0, 1, 2].map(Slot::In);
        let to = [Slot::Out(3), Slot::Out(1)];
        let finish = [units(w.is_whole()), FINISH].concat();
        w.forward(e, names, (PAIRS, &[query, queue]), (&finish, &[query, key]), to, params);
        let rows = e.x[0].shape.dim(0);
        row_loss::mean(e, "info_nce.mean", [Slot::Out(1), Slot::In(3), Slot::Out(0), Slot::Out(2)], rows, None);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[2].is_some() || dy[3].is_some() {
            let what = "only its loss and losses have a gradient; detach its other outputs";
            return Err(Error::no_gradient("info_nce", what));
        }
        let temperature = self.temperature;
        let mut dx = vec![None; 4];
        for (cotangent, shares) in [(dy[0], Some(y[2])), (dy[1], None)] {
            let Some(cotangent) = cotangent else { continue };
            let with = |base: &[Var]| base.iter().copied().chain([cotangent]).chain(shares).collect::<Vec<Var>>();
            for i in (0..2).filter(|&i| t.wants(x[i])).collect::<Vec<_>>() {
                let g = match i {
                    0 => t.apply1(InfoNceGrad { temperature }, &with(&[x[0], x[2], x[1], y[3], y[1]]))?,
                    _ => t.apply1(InfoNceGradKey { temperature }, &with(&[x[0], y[1]]))?,
                };
                dx[i] = Some(dx[i].map_or(Ok(g), |have| t.add(have, g))?);
            }
        }
        Ok(dx)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (n, k) = (x[0].shape.dim(0) as u64, x[2].shape.dim(0) as u64);
        let flops = n * (2 * x[2].shape.numel() as u64 + 4 * k);
        Cost { flops, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for InfoNceGrad {
    fn name(&self) -> &'static str {
        "info_nce.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn variants(&self, _x: &[Type], caps: &Caps) -> Vec<&'static str> {
        contrast::variants(caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        walk(x[0], x[1], variant).partial_gradients()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let w = walk(e.x[0], e.x[1], e.variant);
        let params = w.params(self.temperature, 1.0 / self.temperature);
        let pieces = [PAIRS, if e.x.len() > 6 { OF_LOSS } else { OF_LOSSES }, PULL].concat();
        let inputs: Vec<Slot> = (0..e.x.len()).map(Slot::In).collect();
        w.grad(e, ["info_nce.grad", "info_nce.grad_sum"], (&pieces, &inputs), 6, Slot::Out(0), params);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (n, k) = (x[0].shape.dim(0) as u64, x[1].shape.dim(0) as u64);
        let flops = n * (4 * x[1].shape.numel() as u64 + 3 * k);
        Cost { flops, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for InfoNceGradKey {
    fn name(&self) -> &'static str {
        "info_nce.grad_key"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [n, d] = e.x[0].shape.matrix("info_nce.grad_key", "query")?;
        let whole = d.is_multiple_of(4);
        let vectors = if whole { d / 4 } else { d };
        let kernel = Kernel::new("info_nce.grad_key", "portable", units(whole))
            .followed_by(if e.x.len() == 3 { OF_LOSSES } else { OF_LOSS })
            .followed_by(GRAD_KEY)
            .with("DY", 3)
            .with("DX", e.x.len() as u32 + 1);
        let buffers: Vec<Slot> = (0..e.x.len()).map(Slot::In).chain([Slot::Out(0)]).collect();
        let params = Key { rows: n as u32, vectors: vectors as u32, inverse_temperature: 1.0 / self.temperature };
        e.launch(kernel, &buffers, &params, groups_1d((n * vectors).div_ceil(64)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: 3 * x[0].shape.numel() as u64, bytes }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, [n, k, d]: [usize; 3], temperature: f32, reach: f32| {
        let matrix = |rows: usize| (Type::f32([rows, d]), Fill::Uniform(-reach, reach));
        let inputs = vec![matrix(n), matrix(n), matrix(k), (Type::f32([n]), Fill::Weights)];
        Case::new(name, InfoNce { temperature }, inputs)
    };
    vec![
        case("one of each", [1, 1, 1], 0.5, 1.0),
        case("prime", [7, 11, 5], 0.5, 0.8),
        case("whole vec4", [9, 70, 16], 0.07, 0.4),
        case("a tile", [32, 64, 32], 0.2, 0.3),
        case("a tile and one", [33, 65, 7], 0.5, 0.6),
        case("exp would overflow", [13, 20, 12], 0.02, 1.0),
        case("a queue of several slices", [5, 530, 8], 0.2, 0.5),
        case("more than small blocks are for", [522, 6, 4], 0.5, 0.7),
    ]
}
