//! matmul: C = op(A) · op(B), op the transpose or nothing: c[m, n] = Σ_k a[m, k] · b[k, n].
//! dA = dC · op(B)ᵀ and dB = op(A)ᵀ · dC, transposed where A or B were. Shaders: shaders/matmul/, shaders/gemm/.

use super::gemm;
use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Which operands are transposed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// A is given as [K, M].
    pub trans_a: bool,
    /// B is given as [N, K].
    pub trans_b: bool,
}

params! {
    struct Params { m: u32, n: u32, k: u32, k_split: u32, a_m: u32, a_k: u32, b_k: u32, b_n: u32 }
}

const NAIVE: &[Piece] = &[piece!("common/index.wgsl"), piece!("matmul/access.wgsl"), piece!("gemm/naive.wgsl")];
const TILED: &[Piece] = &[piece!("common/index.wgsl"), piece!("matmul/access.wgsl"), piece!("gemm/tiled.wgsl")];

impl Tape {
    /// op(a) · op(b): f32 matrices [M, K] (or [K, M]) and [K, N] (or [N, K]) give [M, N].
    pub fn matmul(&mut self, a: Var, b: Var, trans_a: bool, trans_b: bool) -> Result<Var> {
        self.apply1(MatMul { trans_a, trans_b }, &[a, b])
    }
}

impl MatMul {
    /// (M, N, K) of its operands.
    fn sizes(&self, x: &[Type]) -> Result<(usize, usize, usize)> {
        let [a0, a1] = x[0].shape.matrix("matmul", "a")?;
        let [b0, b1] = x[1].shape.matrix("matmul", "b")?;
        let (m, k) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (bk, n) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        if k != bk {
            let need = format!("their inner sizes, {k} and {bk}, must be equal ({self:?})");
            return Err(Error::shapes("matmul", ("a", x[0].shape), ("b", x[1].shape), &need));
        }
        Ok((m, n, k))
    }

    /// Whether B already lies as the broadcast kernel walks it: along k, in whole vec4.
    fn b_lies_packed(&self, k: usize) -> bool {
        self.trans_b && k.is_multiple_of(4)
    }

    fn emit_broadcast(&self, e: &mut Emit<'_>, (m, n, k): (usize, usize, usize), lanes: u32) {
        let rows = gemm::tile_rows(m, lanes);
        let kp = k.next_multiple_of(4) as u32;
        let b_lies_packed = self.b_lies_packed(k);
        let (m, n, k) = (m as u32, n as u32, k as u32);
        let one = gemm::Pack { outer: 1, u: 1, u_len: 1, ..Default::default() };
        let (a_m, a_k) = if self.trans_a { (1, m) } else { (k, 1) };
        let a = gemm::Pack { v: kp, inner4: rows / 4, v_len: k, e_len: m, x_v: a_k, x_e: a_m, ..one };
        gemm::pack(e, "matmul.pack_a", Slot::In(0), Slot::Work(0), a);
        let b_slot = if b_lies_packed {
            Slot::In(1)
        } else {
            let (b_k, b_n) = if self.trans_b { (1, k) } else { (n, 1) };
            let b = gemm::Pack { v: n, inner4: kp / 4, v_len: n, e_len: k, x_v: b_n, x_e: b_k, ..one };
            gemm::pack(e, "matmul.pack_b", Slot::In(1), Slot::Work(1), b);
            Slot::Work(1)
        };
        let p = gemm::Columns {
            m,
            columns: n,
            a_panel: kp * rows / 4,
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
        gemm::columns(e, "matmul.forward", (Slot::Work(0), b_slot, Slot::Out(0)), p, (rows, lanes));
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("matmul", "a", DType::F32)?;
        x[1].expect_dtype("matmul", "b", DType::F32)?;
        let (m, n, _) = self.sizes(x)?;
        Ok(vec![Type::f32([m, n])])
    }

    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        self.sizes(x).map_or(vec!["naive"], |(m, n, _)| gemm::variants(m, n, caps))
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        let (Ok((m, n, k)), Some(lanes), "broadcast") = (self.sizes(x), gemm::lanes(caps), variant) else {
            return Vec::new();
        };
        let (mp, kp) = (m.next_multiple_of(gemm::tile_rows(m, lanes) as usize), k.next_multiple_of(4));
        let mut w = vec![Type::f32([kp, mp])];
        if !self.b_lies_packed(k) {
            w.push(Type::f32([n, kp]));
        }
        w
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (m, n, k) = self.sizes(e.x)?;
        if let ("broadcast", Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            self.emit_broadcast(e, (m, n, k), lanes);
            return Ok(());
        }
        let (a_m, a_k) = if self.trans_a { (1, m) } else { (k, 1) };
        let (b_k, b_n) = if self.trans_b { (1, k) } else { (n, 1) };
        let [a_m, a_k, b_k, b_n] = [a_m, a_k, b_k, b_n].map(|v| v as u32);
        let params = Params { m: m as u32, n: n as u32, k: k as u32, k_split: k as u32, a_m, a_k, b_k, b_n };
        let (kernel, grid) = match e.variant {
            "naive" => (Kernel::new("matmul.forward", "naive", NAIVE), groups_1d((m * n).div_ceil(64))),
            tiled => gemm::tiled("matmul.forward", tiled, TILED, m, n, 1),
        };
        e.launch(kernel, &[Slot::In(0), Slot::In(1), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let (Some(dc), [a, b]) = (dy[0], [x[0], x[1]]) else { return Ok(vec![None, None]) };
        let (ta, tb) = (self.trans_a, self.trans_b);
        let da = match (t.wants(a), ta) {
            (false, _) => None,
            (true, false) => Some(t.matmul(dc, b, false, !tb)?),
            (true, true) => Some(t.matmul(b, dc, tb, true)?),
        };
        let db = match (t.wants(b), tb) {
            (false, _) => None,
            (true, false) => Some(t.matmul(a, dc, !ta, false)?),
            (true, true) => Some(t.matmul(dc, a, true, ta)?),
        };
        Ok(vec![da, db])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (m, n, k) = self.sizes(x).unwrap_or((0, 0, 0));
        Cost { flops: 2 * (m * n * k) as u64, bytes: x[0].bytes() + x[1].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, (m, n, k): (usize, usize, usize), trans_a, trans_b| {
        let a = Type::f32(if trans_a { [k, m] } else { [m, k] });
        let b = Type::f32(if trans_b { [n, k] } else { [k, n] });
        Case::new(name, MatMul { trans_a, trans_b }, vec![(a, Fill::Normal), (b, Fill::Normal)])
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
    ]
}
