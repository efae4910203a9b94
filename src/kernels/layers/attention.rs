//! attention: s_ij = scale·⟨q_i, k_j⟩ over the keys j that query i sees, P_ij = exp(s_ij − lse_i),
//! lse_i = log Σ_j exp(s_ij), y_i = Σ_j P_ij·v_j: scaled dot product attention (Vaswani et al. 2017, arXiv:1706.03762,
//! eq. 1). With D_i = ⟨dy_i, y_i⟩ and dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i): dq_i = scale·Σ_j dS_ij·k_j,
//! dk_j = scale·Σ_i dS_ij·q_i, dv_j = Σ_i P_ij·dy_i. Shaders: shaders/layers/attention/.
//!
//! Neither direction ever holds the T × S matrix: forward keeps a running maximum (online softmax), backward computes P
//! again from lse, dq in a walk over the keys and dk and dv in one over the queries (FlashAttention-2, Dao 2023,
//! arXiv:2307.08691, algorithms 1 and 2), without atomics. The variant `naive` holds it.
//!
//! Layout: q and y [B, H, T, E], k and v [B, H, S, E], as PyTorch's scaled_dot_product_attention. A causal mask begins
//! at the start, as its is_causal: query i sees the keys 0 to i. A query that sees no key has y 0, lse −1e30 (for log 0)
//! and gradients of 0; nor does one whose every score is −inf. What a mask hides counts for nothing, but some variants
//! multiply its value by 0: a NaN in it may be seen.
//!
//! q, k, v, y and their gradients are all f32 or all f16; lse, D and all sums are f32. D is taken from y as it is kept, so in
//! f16 from a rounded one: it is off by up to 2⁻¹¹·Σ_e |dy_ie·y_ie|, as in FlashAttention-2.

mod launch;

use crate::base::{DType, Error, Result};
use crate::device::Caps;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use launch::Launcher;

/// q [B, H, T, E], k and v [B, H, S, E], and, where keys are padded, the u32 number of keys that count [B] ->
/// (y [B, H, T, E], lse [B, H, T]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Attention {
    /// Query i sees the keys 0 to i only.
    pub causal: bool,
    /// What scores are multiplied by; `None` for 1/√E.
    pub scale: Option<f32>,
}

/// (dq, dk, dv) from (q, k, v, y, lse, dy) and the number of keys where it was given.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct AttentionGrad {
    attention: Attention,
}

/// The largest head: sums of a row are held in registers.
const LARGEST_HEAD: usize = 128;

impl Tape {
    /// Attention of q [B, H, T, E] to k and v [B, H, S, E], all f32 or all f16, scores times 1/√E, E at most 128. With
    /// `causal` query i sees the keys 0 to i; with `key_lengths` u32 [B] the first of each sample (more than S counts as S).
    /// Returns [y [B, H, T, E] of q's elements, lse f32 [B, H, T]]; a query that sees no key has y 0 and lse −1e30. lse has
    /// no gradient.
    pub fn attention(&mut self, q: Var, k: Var, v: Var, key_lengths: Option<Var>, causal: bool) -> Result<[Var; 2]> {
        let inputs: Vec<Var> = [q, k, v].into_iter().chain(key_lengths).collect();
        let out = self.apply(Attention { causal, scale: None }, &inputs)?;
        Ok([out[0], out[1]])
    }
}

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Samples times heads.
    total: usize,
    heads: usize,
    t: usize,
    s: usize,
    e: usize,
    /// The elements of q, k, v and y.
    dtype: DType,
}

impl Sizes {
    fn of(q: &Type, k: &Type) -> Self {
        let [b, heads, t, e] = [0, 1, 2, 3].map(|i| q.shape.dim(i));
        Sizes { total: b * heads, heads, t, s: k.shape.dim(2), e, dtype: q.dtype }
    }
}

impl Attention {
    /// Pairs of a query and a key it may see, all of them where lengths come with the data.
    fn pairs(&self, z: Sizes) -> u64 {
        let of_head = if self.causal { (1..=z.t).map(|i| i.min(z.s)).sum() } else { z.t * z.s };
        (z.total * of_head) as u64
    }
}

/// `rows`: an invocation owns rows, and adds up in y, dq, dk and dv themselves: f16 would be rounded at each step there, and
/// has no such variant. `tiles`: a workgroup stages tiles. `naive`: the matrix of scores is held in memory.
fn variants(q: &Type, caps: &Caps) -> Vec<&'static str> {
    match (q.dtype, caps.software) {
        (DType::F16, _) => vec!["tiles", "naive"],
        (_, true) => vec!["rows", "tiles", "naive"],
        (_, false) => vec!["tiles", "rows", "naive"],
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("attention", "q")?;
        for (ty, name) in x[1..].iter().zip(["k", "v"]) {
            ty.expect_dtype("attention", name, x[0].dtype)?;
        }
        let (&[b, h, t, e], &[kb, kh, s, ke]) = (x[0].shape.dims(), x[1].shape.dims()) else {
            let need = "both must have four dimensions, B H T E and B H S E";
            return Err(Error::shapes("attention", ("q", x[0].shape), ("k", x[1].shape), need));
        };
        if (b, h, e) != (kb, kh, ke) {
            let need = "samples, heads and the size of a head must be equal";
            return Err(Error::shapes("attention", ("q", x[0].shape), ("k", x[1].shape), need));
        }
        if x[1].shape != x[2].shape {
            return Err(Error::shapes("attention", ("k", x[1].shape), ("v", x[2].shape), "they must be equal"));
        }
        if e as usize > LARGEST_HEAD || [b, h, t, s, e].contains(&0) {
            let what = format!(
                "q {} to k {}: a head has 1 to {LARGEST_HEAD} elements, and none is empty",
                x[0].shape, x[1].shape
            );
            return Err(Error::shape("attention", what));
        }
        if let Some(lengths) = x.get(3).filter(|l| **l != Type::u32([b as usize])) {
            return Err(Error::shape("attention", format!("key_lengths must be U32 [{b}], not {lengths}")));
        }
        Ok(vec![x[0], Type::f32([b as usize, h as usize, t as usize])])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let z = Sizes::of(&x[0], &x[1]);
        match variant {
            "naive" => vec![z.scores()],
            _ if z.e.is_multiple_of(4) => Vec::new(),
            _ => vec![z.padded(z.t), z.padded(z.s), z.padded(z.s), z.padded(z.t)],
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let z = Sizes::of(&e.x[0], &e.x[1]);
        let lengths = (e.x.len() > 3).then_some(Slot::In(3));
        let (naive, padded) = (e.variant == "naive", !z.e.is_multiple_of(4));
        let mut l = Launcher::new(e, z, self, lengths);
        let ([q, k, v], [y, lse]) = ([0, 1, 2].map(Slot::In), [0, 1].map(Slot::Out));
        if naive {
            l.naive_forward([q, k, v], Slot::Work(0), [y, lse]);
            return Ok(());
        }
        if !padded {
            l.forward(&[q, k, v, y, lse]);
            return Ok(());
        }
        let [pq, pk, pv, py] = [0, 1, 2, 3].map(Slot::Work);
        for (x, wide, rows) in [(q, pq, z.t), (k, pk, z.s), (v, pv, z.s)] {
            l.pad(x, wide, rows);
        }
        l.forward(&[pq, pk, pv, py, lse]);
        l.unpad(py, y, z.t);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::no_gradient("attention", "its lse output has no gradient; detach it"));
        }
        let Some(dy) = dy[0] else { return Ok(vec![None; x.len()]) };
        let mut inputs = vec![x[0], x[1], x[2], y[0], y[1], dy];
        inputs.extend(x.get(3));
        let mut g: Vec<_> =
            t.apply(AttentionGrad { attention: self.clone() }, &inputs)?.into_iter().map(Some).collect();
        g.resize(x.len(), None);
        Ok(g)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let z = Sizes::of(&x[0], &x[1]);
        Cost { flops: 4 * self.pairs(z) * z.e as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for AttentionGrad {
    fn name(&self) -> &'static str {
        "attention.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[0], x[1], x[2]])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let z = Sizes::of(&x[0], &x[1]);
        let mut w = vec![Type::f32([z.total * z.t, 2])];
        match variant {
            "naive" => w.extend([z.scores(), z.scores()]),
            _ if z.e.is_multiple_of(4) => {}
            _ => w.extend([z.t, z.s, z.s, z.t, z.t, z.s, z.s].map(|rows| z.padded(rows))),
        }
        w
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let z = Sizes::of(&e.x[0], &e.x[1]);
        let lengths = (e.x.len() > 6).then_some(Slot::In(6));
        let (naive, padded) = (e.variant == "naive", !z.e.is_multiple_of(4));
        let mut l = Launcher::new(e, z, &self.attention, lengths);
        let [q, k, v, y, lse, dy] = [0, 1, 2, 3, 4, 5].map(Slot::In);
        let ([dq, dk, dv], stats) = ([0, 1, 2].map(Slot::Out), Slot::Work(0));
        l.delta(&[y, lse, dy, stats]);
        if naive {
            l.naive_grad([q, k, v, dy], [stats, Slot::Work(1), Slot::Work(2)], [dq, dk, dv]);
            return Ok(());
        }
        if !padded {
            l.grad([q, k, v, dy], stats, [dq, dk, dv]);
            return Ok(());
        }
        let ([pq, pk, pv, pdy], [pdq, pdk, pdv]) = ([1, 2, 3, 4].map(Slot::Work), [5, 6, 7].map(Slot::Work));
        for (x, wide, rows) in [(q, pq, z.t), (k, pk, z.s), (v, pv, z.s), (dy, pdy, z.t)] {
            l.pad(x, wide, rows);
        }
        l.grad([pq, pk, pv, pdy], stats, [pdq, pdk, pdv]);
        for (wide, x, rows) in [(pdq, dq, z.t), (pdk, dk, z.s), (pdv, dv, z.s)] {
            l.unpad(wide, x, rows);
        }
        Ok(())
    }

    /// Five products of the formula; the scores that are computed again are not counted.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let z = Sizes::of(&x[0], &x[1]);
        Cost { flops: 10 * self.attention.pairs(z) * z.e as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, [b, h, t, s, e]: [usize; 5], causal, lengths: Option<Vec<u32>>, fill: Fill| {
        let (q, k) = (Type::f32([b, h, t, e]), Type::f32([b, h, s, e]));
        let mut inputs = vec![(q, fill.clone()), (k, fill), (k, Fill::Normal)];
        inputs.extend(lengths.map(|l| (Type::u32([b]), Fill::Words(l))));
        Case::new(name, Attention { causal, scale: None }, inputs)
    };
    let n = || Fill::Normal;
    let halves = |name, dims, causal, lengths| case(name, dims, causal, lengths, n()).halved(&[0, 1, 2]);
    vec![
        case("one", [1, 1, 1, 1, 1], false, None, n()),
        case("prime", [2, 3, 13, 7, 5], false, None, n()),
        case("tiles and one, whole vec4", [1, 2, 65, 33, 36], false, None, n()),
        case("causal", [2, 2, 37, 37, 16], true, None, n()),
        case("causal, more queries", [1, 2, 70, 19, 7], true, None, n()),
        case("causal, more keys", [2, 1, 9, 67, 8], true, None, n()),
        case("padded keys, none, all and past the end", [4, 2, 10, 33, 16], false, Some(vec![0, 33, 5, 99]), n()),
        case("padded keys, causal", [3, 1, 40, 40, 12], true, Some(vec![17, 0, 40]), n()),
        case("largest head", [1, 1, 34, 70, 128], false, None, n()),
        case("largest odd head, causal", [1, 1, 66, 35, 127], true, None, n()),
        case("four rows a lane", [1, 2, 64, 197, 64], false, None, n()),
        case("four rows a lane, causal, odd head", [1, 1, 97, 50, 65], true, None, n()),
        case("four rows a lane, padded keys, largest head", [2, 1, 32, 64, 128], false, Some(vec![64, 33]), n()),
        case("exp would overflow", [1, 1, 20, 40, 8], false, None, Fill::Uniform(-12.0, 12.0)),
        halves("f16, one", [1, 1, 1, 1, 1], false, None),
        halves("f16, prime", [2, 3, 13, 7, 5], false, None),
        halves("f16, tiles and one, whole vec4", [1, 2, 65, 33, 36], false, None),
        halves("f16, causal", [2, 2, 37, 37, 16], true, None),
        halves("f16, causal, more queries", [1, 2, 70, 19, 7], true, None),
        halves("f16, padded keys, none, all and past the end", [4, 2, 10, 33, 16], false, Some(vec![0, 33, 5, 99])),
        halves("f16, four rows a lane", [1, 2, 64, 197, 64], false, None),
        halves("f16, largest odd head, causal", [1, 1, 66, 35, 127], true, None),
    ]
}
