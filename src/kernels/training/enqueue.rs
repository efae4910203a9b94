//! enqueue: row (pointer + i) mod K of a queue [K, D] becomes row i of the new rows, in place: MoCo's dictionary.
//! advance_pointer: pointer' = (pointer + by) mod modulo. A raised guard leaves both alone. Shaders: shaders/training/enqueue/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, guarded};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (queue [K, D], rows [N, D], pointer u32 [1], guard?) -> queue', in place; N is at most K.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Enqueue;

/// (pointer u32 [1], guard?) -> pointer', in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AdvancePointer {
    /// How far.
    pub by: u32,
    /// Where it starts again at 0.
    pub modulo: u32,
}

params! {
    struct Params { slots: u32, rows: u32, vectors: u32 }
}
params! {
    struct Advance { by: u32, modulo: u32 }
}

/// Pieces without and with a guard, for rows of whole vec4 and for the rest.
const PIECES: [[&[Piece]; 2]; 2] = [
    [
        &[
            piece!("common/index.wgsl"),
            piece!("common/vec4.wgsl"),
            piece!("common/unguarded.wgsl"),
            piece!("training/enqueue/forward.wgsl"),
        ],
        &[
            piece!("common/index.wgsl"),
            piece!("common/vec4.wgsl"),
            piece!("common/guarded.wgsl"),
            piece!("training/enqueue/forward.wgsl"),
        ],
    ],
    [
        &[
            piece!("common/index.wgsl"),
            piece!("common/scalar.wgsl"),
            piece!("common/unguarded.wgsl"),
            piece!("training/enqueue/forward.wgsl"),
        ],
        &[
            piece!("common/index.wgsl"),
            piece!("common/scalar.wgsl"),
            piece!("common/guarded.wgsl"),
            piece!("training/enqueue/forward.wgsl"),
        ],
    ],
];
const ADVANCE: &[Piece] = &[piece!("common/unguarded.wgsl"), piece!("training/enqueue/advance.wgsl")];
const ADVANCE_GUARDED: &[Piece] = &[piece!("common/guarded.wgsl"), piece!("training/enqueue/advance.wgsl")];

impl Tape {
    /// Puts `rows` [N, D] into the state `queue` [K, D] at the state `pointer` (u32 [1]) and moves the pointer by N.
    /// The queue must be on the tape already: a step that never reads it does not need it. A guard that is set later holds
    /// for it, too.
    pub fn enqueue(&mut self, queue: &str, pointer: &str, rows: Var) -> Result<()> {
        let Some((_, ty)) = self.state_types().into_iter().find(|s| s.0 == queue) else {
            return Err(Error::Failed(format!("enqueue: {queue} is not on the tape; name it with Tape::state first")));
        };
        let at = self.state(pointer, Type::u32([1]))?;
        let mut x = vec![self.state(queue, ty)?, rows, at];
        x.extend(self.guard());
        let y = self.apply1(Enqueue, &x)?;
        self.assign(queue, y)?;
        let op = AdvancePointer { by: self.shape(rows).dim(0) as u32, modulo: ty.shape.dim(0) as u32 };
        let mut x = vec![at];
        x.extend(self.guard());
        let at = self.apply1(op, &x)?;
        self.assign(pointer, at)
    }
}

fn expect_pointer(ty: Type) -> Result<()> {
    if ty == Type::u32([1]) {
        return Ok(());
    }
    Err(Error::shape("enqueue", format!("pointer is {ty} and must be U32 [1]")))
}

impl Op for Enqueue {
    fn name(&self) -> &'static str {
        "enqueue"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("enqueue", "queue", DType::F32)?;
        x[1].expect_dtype("enqueue", "rows", DType::F32)?;
        expect_pointer(x[2])?;
        let ([k, d], [n, e]) = (x[0].shape.matrix("enqueue", "queue")?, x[1].shape.matrix("enqueue", "rows")?);
        if d != e || n > k {
            let need = "rows must be as long as the queue's and no more than it holds";
            return Err(Error::shapes("enqueue", ("queue", x[0].shape), ("rows", x[1].shape), need));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(3)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let ([k, _], [n, d]) = (e.x[0].shape.matrix("enqueue", "queue")?, e.x[1].shape.matrix("enqueue", "rows")?);
        let (width, vectors) = if d.is_multiple_of(4) { (0, d / 4) } else { (1, d) };
        let [free, under_guard] = PIECES[width];
        let params = Params { slots: k as u32, rows: n as u32, vectors: vectors as u32 };
        let kernel = Kernel::new("enqueue.forward", "portable", free);
        let buffers = vec![Slot::Out(0), Slot::In(1), Slot::In(2)];
        let (kernel, buffers) = guarded(self, e.x.len(), kernel, under_guard, buffers);
        e.launch(kernel, &buffers, &params, groups_1d((n * vectors).div_ceil(64)));
        Ok(())
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * x[1].bytes() }
    }
}

impl Op for AdvancePointer {
    fn name(&self) -> &'static str {
        "advance_pointer"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        expect_pointer(x[0])?;
        if self.modulo == 0 {
            return Err(Error::shape("enqueue", "a queue without rows has no place for any"));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(1)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let kernel = Kernel::new("enqueue.advance", "portable", ADVANCE);
        let (kernel, buffers) = guarded(self, e.x.len(), kernel, ADVANCE_GUARDED, vec![Slot::Out(0)]);
        e.launch(kernel, &buffers, &Advance { by: self.by, modulo: self.modulo }, [1, 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 1, bytes: 8 }
    }
}

fn word(w: u32) -> (Type, Fill) {
    (Type::u32([1]), Fill::Words(vec![w]))
}

/// Named cases of [`Enqueue`].
pub fn cases() -> Vec<Case> {
    let case = |name, k: usize, n: usize, d: usize, pointer: u32, guard: Option<u32>| {
        let mut x = vec![(Type::f32([k, d]), Fill::Normal), (Type::f32([n, d]), Fill::Normal), word(pointer)];
        x.extend(guard.map(word));
        Case::new(name, Enqueue, x)
    };
    let mut cases = vec![
        case("one", 1, 1, 1, 0, None),
        case("in the middle", 13, 5, 7, 3, None),
        case("around the end", 13, 5, 7, 11, None),
        case("whole vec4, all rows", 9, 9, 64, 4, None),
        case("guard down", 11, 3, 20, 9, Some(0)),
        case("guard up", 11, 3, 20, 9, Some(1)),
    ];
    cases.extend(pointer_cases());
    cases
}

/// Named cases of [`AdvancePointer`].
fn pointer_cases() -> Vec<Case> {
    let case = |name, pointer: u32, guard: Option<u32>| {
        let mut x = vec![word(pointer)];
        x.extend(guard.map(word));
        Case::new(name, AdvancePointer { by: 5, modulo: 13 }, x)
    };
    vec![
        case("pointer in the middle", 3, None),
        case("pointer around the end", 11, None),
        case("guard down", 8, Some(0)),
        case("pointer, guard up", 8, Some(1)),
    ]
}
