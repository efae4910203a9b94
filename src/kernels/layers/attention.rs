//! attention: s_ij = scale·⟨q_i, k_j⟩ over the keys j that query i sees, P_ij = exp(s_ij − lse_i),
//! lse_i = log Σ_j exp(s_ij), y_i = Σ_j P_ij·v_j: scaled dot product attention (Vaswani et al. 2017, arXiv:1706.03762,
//! eq. 1). With D_i = ⟨dy_i, y_i⟩ and dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i): dq_i = scale·Σ_j dS_ij·k_j,
//! dk_j = scale·Σ_i dS_ij·q_i, dv_j = Σ_i P_ij·dy_i. Shaders: shaders/layers/attention/.
//!
//! Neither direction ever holds the T × S matrix: forward keeps a running maximum (online softmax), backward computes P
//! again from lse, dq in a walk over the keys and dk and dv in one over the queries (FlashAttention-2, Dao 2023,
//! arXiv:2307.08691, algorithms 1 and 2), without atomics. The variant `naive` holds it.
//!
//! Layout: q and y [B, H, T, E], k and v [B, H, S, E], as PyTorch's scaled_dot_product_attention. Or q, k and v are packed,
//! as one linear layer makes them: [B, T, 3·H·E], of each token the heads of q, then those of k, then those of v; y is
//! [B, T, H·E], which the next linear layer takes, and the gradient is one tensor too. The kernels get the strides of rows,
//! heads and samples, so both are one text, and no element is moved between the layers. The values are the same bits.
//!
//! A causal mask begins at the start, as PyTorch's is_causal: query i sees the keys 0 to i. A query that sees no key has y 0,
//! lse −1e30 (for log 0) and gradients of 0; nor does one whose every score is −inf. What a mask hides counts for nothing, but
//! some variants multiply its value by 0: a NaN in it may be seen.
//!
//! q, k, v, y and their gradients are all f32 or all f16; lse, D and all sums are f32. D is taken from y as it is kept, so in
//! f16 from a rounded one: it is off by up to 2⁻¹¹·Σ_e |dy_ie·y_ie|, as in FlashAttention-2.

mod launch;

use crate::base::{DType, Error, Result, Shape};
use crate::device::Caps;
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use launch::{Launcher, Part};

/// q [B, H, T, E], k and v [B, H, S, E], and, where keys are padded, the u32 number of keys that count [B] ->
/// (y [B, H, T, E], lse [B, H, T]). Packed: [B, T, 3·H·E], and that number -> (y [B, T, H·E], lse [B, H, T]).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Attention {
    /// Query i sees the keys 0 to i only.
    pub causal: bool,
    /// What scores are multiplied by; `None` for 1/√E.
    pub scale: Option<f32>,
    /// H where q, k and v of H heads lie in one tensor; `None` where they are three.
    pub packed: Option<usize>,
}

/// (dq, dk, dv) from (q, k, v, y, lse, dy) and the number of keys where it was given; packed as q, k and v are.
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
        let out = self.apply(Attention { causal, scale: None, packed: None }, &inputs)?;
        Ok([out[0], out[1]])
    }

    /// Attention of every token to all tokens, q, k and v packed in qkv [B, T, 3·H·E] of f32 or f16, H being `heads` and E at most
    /// 128: in the last axis the heads of q, then those of k, then those of v, as a ViT's `qkv` layer gives them. Returns
    /// [y [B, T, H·E] of qkv's elements, lse f32 [B, H, T]], the values of [`Tape::attention`].
    pub fn attention_packed(&mut self, qkv: Var, heads: usize) -> Result<[Var; 2]> {
        let out = self.apply(Attention { causal: false, scale: None, packed: Some(heads) }, &[qkv])?;
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
    /// Whether q, k and v lie in one tensor.
    packed: bool,
    /// The elements of q, k, v and y.
    dtype: DType,
}

impl Attention {
    /// The sizes, of inputs that fit.
    fn sizes(&self, x: &[Type]) -> Sizes {
        let (dim, dtype, packed) = (|i| x[0].shape.dim(i), x[0].dtype, self.packed.is_some());
        match self.packed {
            Some(h) => Sizes { total: dim(0) * h, heads: h, t: dim(1), s: dim(1), e: dim(2) / (3 * h), packed, dtype },
            None => {
                let (total, s) = (dim(0) * dim(1), x[1].shape.dim(2));
                Sizes { total, heads: dim(1), t: dim(2), s, e: dim(3), packed, dtype }
            }
        }
    }

    /// How many tensors q, k and v are, and so are their gradients.
    fn tensors(&self) -> usize {
        if self.packed.is_some() { 1 } else { 3 }
    }

    /// The slots of q, k and v, or of their gradients.
    fn three(&self, slot: fn(usize) -> Slot) -> [Slot; 3] {
        [0, 1, 2].map(|i| slot(i.min(self.tensors() - 1)))
    }

    /// What q, k and v must be. Gives the sample, the heads and the rows of y, and the elements of a head.
    fn expect_three(&self, x: &[Type]) -> Result<[usize; 4]> {
        for (ty, name) in x[1..].iter().zip(["k", "v"]) {
            ty.expect_dtype("attention", name, x[0].dtype)?;
        }
        let (&[b, h, t, e], &[kb, kh, _, ke]) = (x[0].shape.dims(), x[1].shape.dims()) else {
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
        Ok([b, h, t, e].map(|d| d as usize))
    }

    /// The same of packed q, k and v.
    fn expect_packed(&self, qkv: &Type, heads: usize) -> Result<[usize; 4]> {
        let &[b, t, row] = qkv.shape.dims() else {
            return Err(Error::shape("attention", format!("qkv is {} and must be [B, T, 3·H·E]", qkv.shape)));
        };
        let [b, t, row] = [b, t, row].map(|d| d as usize);
        if heads == 0 || heads > row || !row.is_multiple_of(3 * heads) {
            let what = format!(
                "qkv {}: q, k and v of {heads} heads do not divide {row} elements; give a multiple of {}",
                qkv.shape,
                3 * heads.max(1)
            );
            return Err(Error::shape("attention", what));
        }
        Ok([b, heads, t, row / (3 * heads)])
    }

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
        x[0].expect_float("attention", if self.packed.is_some() { "qkv" } else { "q" })?;
        let [b, h, t, e] = match self.packed {
            Some(heads) => self.expect_packed(&x[0], heads)?,
            None => self.expect_three(x)?,
        };
        if e > LARGEST_HEAD || x[..self.tensors()].iter().any(|ty| ty.shape.numel() == 0) {
            let names = if self.packed.is_some() { &["qkv"][..] } else { &["q", "k", "v"] };
            let shown: Vec<_> = names.iter().zip(x).map(|(name, ty)| format!("{name} {}", ty.shape)).collect();
            let shown = shown.join(", ");
            let what = format!("{shown}: a head has {e} elements; use 1 to {LARGEST_HEAD}, and no empty tensor");
            return Err(Error::shape("attention", what));
        }
        if let Some(lengths) = x.get(self.tensors()).filter(|l| **l != Type::u32([b])) {
            return Err(Error::shape("attention", format!("key_lengths must be U32 [{b}], not {lengths}")));
        }
        let y = self.packed.map_or(x[0], |h| Type { shape: Shape::from([b, t, h * e]), dtype: x[0].dtype });
        Ok(vec![y, Type::f32([b, h, t])])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let z = self.sizes(x);
        match variant {
            "naive" => vec![z.scores()],
            _ if z.e.is_multiple_of(4) => Vec::new(),
            _ => vec![z.padded(z.t), z.padded(z.s), z.padded(z.s), z.padded(z.t)],
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (z, n) = (self.sizes(e.x), self.tensors());
        let lengths = (e.x.len() > n).then_some(Slot::In(n));
        let (naive, padded) = (e.variant == "naive", !z.e.is_multiple_of(4));
        let mut l = Launcher::new(e, z, self, lengths);
        let ([q, k, v], [y, lse]) = (self.three(Slot::In), [0, 1].map(Slot::Out));
        if naive {
            l.naive_forward([q, k, v], Slot::Work(0), [y, lse]);
            return Ok(());
        }
        if !padded {
            l.forward(&[q, k, v, y, lse]);
            return Ok(());
        }
        let [pq, pk, pv, py] = [0, 1, 2, 3].map(Slot::Work);
        for (x, wide, part) in [(q, pq, Part::Q), (k, pk, Part::K), (v, pv, Part::V)] {
            l.pad(x, wide, part);
        }
        l.forward(&[pq, pk, pv, py, lse]);
        l.unpad(py, y, Part::Y);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        if dy[1].is_some() {
            return Err(Error::no_gradient("attention", "its lse output has no gradient; detach it"));
        }
        let Some(dy) = dy[0] else { return Ok(vec![None; x.len()]) };
        let (three, lengths) = x.split_at(self.tensors());
        let inputs = [three, &[y[0], y[1], dy], lengths].concat();
        let mut g: Vec<_> =
            t.apply(AttentionGrad { attention: self.clone() }, &inputs)?.into_iter().map(Some).collect();
        g.resize(x.len(), None);
        Ok(g)
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let z = self.sizes(x);
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
        Ok(x[..self.attention.tensors()].to_vec())
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        variants(&x[0], caps)
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        let z = self.attention.sizes(x);
        let mut w = vec![Type::f32([z.total * z.t, 2])];
        match variant {
            "naive" => w.extend([z.scores(), z.scores()]),
            _ if z.e.is_multiple_of(4) => {}
            _ => w.extend([z.t, z.s, z.s, z.t, z.t, z.s, z.s].map(|rows| z.padded(rows))),
        }
        w
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (z, n) = (self.attention.sizes(e.x), self.attention.tensors());
        let lengths = (e.x.len() > n + 3).then_some(Slot::In(n + 3));
        let (naive, padded) = (e.variant == "naive", !z.e.is_multiple_of(4));
        let mut l = Launcher::new(e, z, &self.attention, lengths);
        let ([q, k, v], [y, lse, dy]) = (self.attention.three(Slot::In), [n, n + 1, n + 2].map(Slot::In));
        let ([dq, dk, dv], stats) = (self.attention.three(Slot::Out), Slot::Work(0));
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
        for (x, wide, part) in [(q, pq, Part::Q), (k, pk, Part::K), (v, pv, Part::V), (dy, pdy, Part::Y)] {
            l.pad(x, wide, part);
        }
        l.grad([pq, pk, pv, pdy], stats, [pdq, pdk, pdv]);
        for (wide, x, part) in [(pdq, dq, Part::Q), (pdk, dk, Part::K), (pdv, dv, Part::V)] {
            l.unpad(wide, x, part);
        }
        Ok(())
    }

    /// Five products of the formula; the scores that are computed again are not counted.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let z = self.attention.sizes(x);
        Cost { flops: 10 * self.attention.pairs(z) * z.e as u64, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, [b, h, t, s, e]: [usize; 5], causal, lengths: Option<Vec<u32>>, fill: Fill| {
        let (q, k) = (Type::f32([b, h, t, e]), Type::f32([b, h, s, e]));
        let mut inputs = vec![(q, fill.clone()), (k, fill), (k, Fill::Normal)];
        inputs.extend(lengths.map(|l| (Type::u32([b]), Fill::Words(l))));
        Case::new(name, Attention { causal, scale: None, packed: None }, inputs)
    };
    let n = || Fill::Normal;
    let halves = |name, dims, causal, lengths| case(name, dims, causal, lengths, n()).halved(&[0, 1, 2]);
    let packed = |name, [b, h, t, e]: [usize; 4], causal, lengths: Option<Vec<u32>>| {
        let mut inputs = vec![(Type::f32([b, t, 3 * h * e]), n())];
        inputs.extend(lengths.map(|l| (Type::u32([b]), Fill::Words(l))));
        Case::new(name, Attention { causal, scale: None, packed: Some(h) }, inputs)
    };
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
        packed("packed, one", [1, 1, 1, 1], false, None),
        packed("packed, prime", [2, 3, 7, 5], false, None),
        packed("packed, tiles and one, whole vec4", [2, 3, 65, 36], false, None),
        packed("packed, one token", [3, 2, 1, 8], false, None),
        packed("packed, causal, padded keys", [3, 2, 40, 12], true, Some(vec![17, 0, 99])),
        packed("packed, largest odd head", [1, 2, 9, 127], false, None),
        packed("f16, packed, one", [1, 1, 1, 1], false, None).halved(&[0]),
        packed("f16, packed, prime", [2, 3, 7, 5], false, None).halved(&[0]),
        packed("f16, packed, tiles and one, whole vec4", [2, 3, 65, 36], false, None).halved(&[0]),
        packed("f16, packed, causal, padded keys", [3, 2, 40, 12], true, Some(vec![17, 0, 99])).halved(&[0]),
    ]
}
