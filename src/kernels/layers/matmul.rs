//! matmul: C = op(A) · op(B), op the transpose or nothing: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n], z the batch.
//! dA = dC · op(B)ᵀ and dB = op(A)ᵀ · dC, transposed where A or B were.
//! A and B are both f32 or both f16; all sums are f32. C is f32, or f16 of f16 where the op says so: then dA is written in f16
//! and dB stays f32. Else, with f16 operands, dC is rounded to f16, multiplied like
//! A and B were, and dA and dB are rounded to f16 (matmul_f16.rs). Shaders: shaders/layers/matmul/, shaders/core/gemm/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::Caps;
use crate::kernels::epilogue::{Axis, Ending, Product, expect_result, is_f32};
use crate::kernels::strided::Strided;
use crate::kernels::{Case, Fill};
use crate::kernels::{gemm, matmul_f16 as half};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};

/// Which operands are transposed.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MatMul {
    /// A is given as [K, M].
    pub trans_a: bool,
    /// B is given as [N, K].
    pub trans_b: bool,
    /// The elements of C: f32, or f16 where the operands are. Then the gradient of A, the activation, is f16, too, and that of
    /// B, the weight, is f32.
    #[serde(skip_serializing_if = "is_f32")]
    pub result: DType,
}

impl MatMul {
    /// With a result in f32.
    pub const fn new(trans_a: bool, trans_b: bool) -> Self {
        MatMul { trans_a, trans_b, result: DType::F32 }
    }

    /// With a result in the elements of the operands: f16 of f16.
    pub const fn rounded(self) -> Self {
        MatMul { result: DType::F16, ..self }
    }
}

impl Tape {
    /// op(a) · op(b): f32 or f16 matrices [M, K] (or [K, M]) and [K, N] (or [N, K]) give f32 [M, N]. With a batch in
    /// front, equal in both, each pair of matrices is multiplied: [Z, M, K] and [Z, K, N] give [Z, M, N] (torch.bmm).
    pub fn matmul(&mut self, a: Var, b: Var, trans_a: bool, trans_b: bool) -> Result<Var> {
        self.matmul_as(a, b, trans_a, trans_b, DType::F32)
    }

    /// The same with a result of the elements `result`, f32 or f16; f16 is of f16 operands alone.
    pub fn matmul_as(&mut self, a: Var, b: Var, trans_a: bool, trans_b: bool, result: DType) -> Result<Var> {
        self.apply1(MatMul { result, ..MatMul::new(trans_a, trans_b) }, &[a, b])
    }
}

/// Every size of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub z: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl Sizes {
    /// The operands as they lie.
    pub fn strided(&self, op: MatMul) -> Strided {
        let Sizes { z, m, n, k } = *self;
        let a = if op.trans_a { [m * k, 1, m] } else { [m * k, k, 1] };
        let b = if op.trans_b { [n * k, 1, k] } else { [n * k, n, 1] };
        Strided { z, m, n, k, a, b }
    }
}

/// [Z, rows, columns] of an operand; a matrix is a batch of one.
fn batch(shape: Shape, name: &str) -> Result<[usize; 3]> {
    match *shape.dims() {
        [rows, columns] => Ok([1, rows, columns].map(|v| v as usize)),
        [z, rows, columns] => Ok([z, rows, columns].map(|v| v as usize)),
        _ => Err(Error::shape("matmul", format!("{name} must be a matrix or a batch of matrices, not {shape}"))),
    }
}

impl MatMul {
    fn sizes(&self, x: &[Type]) -> Result<Sizes> {
        let ([az, a0, a1], [bz, b0, b1]) = (batch(x[0].shape, "a")?, batch(x[1].shape, "b")?);
        let (m, k) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (bk, n) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        let bad = |need: &str| Err(Error::shapes("matmul", ("a", x[0].shape), ("b", x[1].shape), need));
        if k != bk {
            return bad(&format!("their inner sizes, {k} and {bk}, must be equal ({self:?})"));
        }
        if az != bz || x[0].shape.rank() != x[1].shape.rank() {
            return bad("both must be matrices, or batches of as many matrices");
        }
        Ok(Sizes { z: az, m, n, k })
    }

    /// Whether B already lies as the columns kernel walks it, along k in whole vec4, or as the across kernel does,
    /// along n.
    fn b_lies_packed(&self, s: Sizes) -> bool {
        if self.trans_b { s.k.is_multiple_of(4) } else { s.n.is_multiple_of(4) }
    }

    fn emit_broadcast(&self, e: &mut Emit<'_>, sizes: Sizes, lanes: u32, ending: &Ending) {
        let rows = gemm::tile_rows(sizes.m, lanes);
        let b_lies_packed = self.b_lies_packed(sizes);
        let [z, m, n, k] = [sizes.z, sizes.m, sizes.n, sizes.k].map(|v| v as u32);
        let kp = k.next_multiple_of(4);
        let one = gemm::Pack { outer: z, u: 1, u_len: 1, ..Default::default() };
        let (a_m, a_k) = if self.trans_a { (1, m) } else { (k, 1) };
        let a = gemm::Pack { v: kp, inner4: rows / 4, v_len: k, e_len: m, x_o: m * k, x_v: a_k, x_e: a_m, ..one };
        gemm::pack(e, "matmul.pack_a", Slot::In(0), Slot::Work(0), a);
        // A panel of a holds every product of the batch.
        let (a_panel, a_z) = (z * kp * rows / 4, kp * rows / 4);
        if b_lies_packed && !self.trans_b {
            let p = gemm::Across { m, m_tiles: 0, n4: n / 4, k, a_panel, a_z };
            gemm::across(e, "matmul.forward", (Slot::Work(0), Slot::In(1), Slot::Out(0)), p, (rows, lanes), z, ending);
            return;
        }
        let b_slot = if b_lies_packed {
            Slot::In(1)
        } else {
            let (b_k, b_n) = if self.trans_b { (1, k) } else { (n, 1) };
            let b = gemm::Pack { v: n, inner4: kp / 4, v_len: n, e_len: k, x_o: k * n, x_v: b_n, x_e: b_k, ..one };
            gemm::pack(e, "matmul.pack_b", Slot::In(1), Slot::Work(1), b);
            Slot::Work(1)
        };
        let p = gemm::Columns {
            m,
            columns: n,
            a_panel,
            a_z,
            b_z: n * kp / 4,
            c_z: m * n,
            u: 1,
            v: n,
            b_v: kp / 4,
            taps_i: 1,
            taps_j: 1,
            k4: kp / 4,
            c_m: n,
            c_v: 1,
            ..Default::default()
        };
        gemm::columns(e, "matmul.forward", (Slot::Work(0), b_slot, Slot::Out(0)), p, (rows, lanes), z, ending);
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("matmul", "a")?;
        expect_result("matmul", x[0].dtype, self.result)?;
        x[1].expect_dtype("matmul", "b", x[0].dtype)?;
        let Sizes { z, m, n, .. } = self.sizes(x)?;
        let shape = if x[0].shape.rank() == 2 { Shape::from([m, n]) } else { Shape::from([z, m, n]) };
        Ok(vec![Type { shape, dtype: self.result }])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        let Ok(s) = self.sizes(x) else { return vec!["naive"] };
        let s = s.strided(*self);
        if x[0].dtype == DType::F16 {
            return half::variants(&s, self.result, caps);
        }
        let plain = s.with_aligned(gemm::variants(s.m, s.n, caps));
        [half::cooperative_variants(&s, DType::F32, caps), plain].concat()
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        let Ok(sizes) = self.sizes(x) else { return Vec::new() };
        let Sizes { z, m, n, k } = sizes;
        match (variant, gemm::lanes(caps)) {
            ("broadcast", Some(lanes)) => {
                let (mp, kp) = (m.next_multiple_of(gemm::tile_rows(m, lanes) as usize), k.next_multiple_of(4));
                let b = (!self.b_lies_packed(sizes)).then(|| Type::f32([z, n, kp]));
                [Type::f32([z, kp, mp])].into_iter().chain(b).collect()
            }
            _ => sizes.strided(*self).workspace(variant),
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        self.emit_ending(e, &Ending::NONE)
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let (Some(dc), [a, b]) = (dy[0], [x[0], x[1]]) else { return Ok(vec![None, None]) };
        let (ta, tb) = (self.trans_a, self.trans_b);
        let dtype = t.ty(a).dtype;
        let dc = t.cast(dc, dtype)?;
        let of_a = |t: &mut Tape, a, b, trans_a, trans_b| {
            t.apply1(MatMul { trans_a, trans_b, result: self.result }, &[a, b]).map(Some)
        };
        let da = match (t.wants(a), ta) {
            (false, _) => None,
            (true, false) => of_a(t, dc, b, false, !tb)?,
            (true, true) => of_a(t, b, dc, tb, true)?,
        };
        let db = match (t.wants(b), tb) {
            (false, _) => None,
            (true, false) => Some(t.matmul(a, dc, !ta, false)?),
            (true, true) => Some(t.matmul(dc, a, true, ta)?),
        };
        // db is a long sum: it stays f32 where the result shows that a is an activation.
        let of_b = if self.result == DType::F16 { DType::F32 } else { dtype };
        let cast = |t: &mut Tape, d: Option<Var>, to| d.map(|d| t.cast(d, to)).transpose();
        Ok(vec![cast(t, da, dtype)?, cast(t, db, of_b)?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let flops = self.sizes(x).map_or(0, |s| 2 * (s.z * s.m * s.n * s.k) as u64);
        Cost { flops, bytes: x[0].bytes() + x[1].bytes() + y[0].bytes() }
    }
}

impl Product for MatMul {
    const FUSED: &'static str = "matmul.fused";
    const CHANNELS: Axis = Axis::Columns;

    /// No invocation knows which elements of a cooperative matrix it holds before they are in memory.
    fn can_end(&self, variant: &str) -> bool {
        !half::is_cooperative(variant)
    }

    fn emit_ending(&self, e: &mut Emit<'_>, ending: &Ending) -> Result<()> {
        let sizes = self.sizes(e.x)?;
        if let ("broadcast", Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            self.emit_broadcast(e, sizes, lanes, ending);
            return Ok(());
        }
        let strided = sizes.strided(*self);
        let kernel = match e.x[0].dtype == DType::F16 || half::is_cooperative(e.variant) {
            true => half::kernel(e, &strided),
            false => strided.kernel("matmul.forward", e.variant, e.caps),
        };
        strided.launch(e, kernel, "matmul.sum_slices", [Slot::In(0), Slot::In(1), Slot::Out(0)], ending);
        Ok(())
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, dims, trans_a, trans_b| case(name, DType::F32, 0, dims, trans_a, trans_b);
    let batch = |name, z, dims, trans_a, trans_b| self::case(name, DType::F32, z, dims, trans_a, trans_b);
    let half = |name, z, dims, trans_a, trans_b| self::case(name, DType::F16, z, dims, trans_a, trans_b);
    let round = |name, z, dims, trans_a, trans_b| {
        let op = MatMul::new(trans_a, trans_b).rounded();
        Case { op: std::sync::Arc::new(op), ..half(name, z, dims, trans_a, trans_b) }
    };
    vec![
        case("one", (1, 1, 1), false, false),
        case("primes", (13, 31, 17), false, false),
        case("primes, a transposed", (13, 31, 17), true, false),
        case("primes, b transposed", (13, 31, 17), false, true),
        case("primes, both transposed", (13, 31, 17), true, true),
        case("a tile", (64, 64, 16), false, true),
        case("a tile and one", (65, 65, 33), false, false),
        case("one row", (1, 40, 36), false, false),
        case("one column", (70, 1, 36), false, true),
        case("several tiles", (130, 132, 68), false, false),
        case("a long sum", (5, 7, 1100), false, true),
        case("whole tiles", (128, 256, 48), false, false),
        case("whole tiles, a transposed", (128, 128, 32), true, false),
        case("whole tiles, b transposed, a long sum", (128, 128, 1024), false, true),
        batch("whole tiles, both transposed, a batch", 2, (256, 128, 16), true, true),
        batch("a batch", 5, (9, 13, 11), false, false),
        batch("a batch, a transposed", 3, (9, 13, 12), true, false),
        batch("a batch, b transposed", 3, (9, 13, 12), false, true),
        batch("a batch, both transposed", 2, (70, 66, 33), true, true),
        batch("a batch, a long sum", 3, (4, 6, 1100), true, false),
        half("f16, one", 0, (1, 1, 1), false, false),
        half("f16, primes", 0, (13, 31, 17), false, false),
        half("f16, primes, a transposed", 0, (13, 31, 17), true, false),
        half("f16, primes, both transposed", 0, (13, 31, 17), true, true),
        half("f16, a tile and one", 0, (65, 65, 33), false, true),
        half("f16, whole vec4", 0, (68, 132, 20), false, false),
        half("f16, whole vec4, a transposed", 0, (68, 132, 20), true, false),
        half("f16, whole vec4, b transposed", 0, (66, 131, 20), false, true),
        half("f16, whole vec4, both transposed", 0, (68, 13, 20), true, true),
        half("f16, whole vec4, an odd sum", 0, (12, 8, 37), true, false),
        half("f16, whole matrices of 16", 0, (64, 48, 32), false, true),
        half("f16, a long sum", 0, (5, 7, 1101), false, true),
        half("f16, a long sum of whole vec4", 0, (6, 8, 1108), false, false),
        round("f16 to f16, primes", 0, (13, 31, 17), false, true),
        round("f16 to f16, a tile and one", 0, (65, 66, 33), false, true),
        round("f16 to f16, whole vec4, both transposed", 0, (68, 13, 20), true, true),
        round("f16 to f16, a long sum", 0, (5, 7, 1101), false, true),
        round("f16 to f16, an odd batch", 3, (5, 7, 3), false, false),
        half("f16, an odd batch", 3, (5, 7, 3), false, false),
        half("f16, a batch of whole vec4", 3, (12, 8, 20), true, true),
    ]
}

/// A product of `z` pairs of matrices, of two matrices where that is 0.
fn case(
    name: &'static str,
    dtype: DType,
    z: usize,
    (m, n, k): (usize, usize, usize),
    trans_a: bool,
    trans_b: bool,
) -> Case {
    let of = |[rows, columns]: [usize; 2]| {
        let shape = if z == 0 { Shape::from([rows, columns]) } else { Shape::from([z, rows, columns]) };
        (Type { shape, dtype }, Fill::Normal)
    };
    let (a, b) = (of(if trans_a { [k, m] } else { [m, k] }), of(if trans_b { [n, k] } else { [k, n] }));
    Case::new(name, MatMul::new(trans_a, trans_b), vec![a, b])
}
