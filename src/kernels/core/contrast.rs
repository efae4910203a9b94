//! contrast: the walk that the contrastive losses share: every row i of a matrix a against every row j of a matrix b,
//! s_ij = a_i·b_j / τ, without ever keeping the matrix of similarities. Forward: the log-sum-exp over the j that count, and
//! s at the positive. Gradient: da_i = begin_i + Σ_j c_ij b_j, the similarities computed again. Which j count, which is
//! positive and what c_ij is are pieces of the losses. Shaders: shaders/core/contrast/.

use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{gemm, units};
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    pub(crate) struct Params {
        rows: u32, others: u32, vectors: u32,
        blocks: u32, slices: u32, length: u32,
        inverse_temperature: f32, scale: f32,
    }
}

const PARAMS: &[Piece] = &[piece!("core/contrast/params.wgsl")];
/// By variant: `rows`, `tiles`.
const PRODUCTS: [&[Piece]; 2] =
    [&[piece!("core/contrast/products_rows.wgsl")], &[piece!("core/contrast/products_tiles.wgsl")]];
const FORWARD: [&[Piece]; 2] = [&[piece!("core/contrast/forward.wgsl")]; 2];
const GRAD: [&[Piece]; 2] = [&[piece!("core/contrast/grad_rows.wgsl")], &[piece!("core/contrast/grad_tiles.wgsl")]];

/// `rows`: an invocation owns rows and loads as little as it can. `tiles`: a workgroup stages tiles.
pub(crate) fn variants(caps: &Caps) -> Vec<&'static str> {
    if caps.software { vec!["rows", "tiles"] } else { vec!["tiles", "rows"] }
}

/// How one variant cuts one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    rows: usize,
    others: usize,
    d: usize,
    tiles: bool,
    /// Rows i of a lane, and its rows j of a round.
    block: [u32; 2],
    blocks: usize,
    slices: usize,
    /// Rows j of a slice.
    length: usize,
}

/// Workgroups that a GPU should have; fewer blocks of rows than that are cut into slices of the others.
const GROUPS: usize = 256;

impl Walk {
    /// Rows [rows, d] against rows [others, d]. A function of the shape and the variant alone, so that the order of every
    /// sum is the same everywhere the variant is.
    pub fn new([rows, others, d]: [usize; 3], variant: &str) -> Self {
        if variant == "rows" {
            // On small batches few rows a lane keep every core busy; on large ones more rows a lane save loads.
            let block = if rows <= 512 { [2, 8] } else { [4, 8] };
            let blocks = rows.div_ceil(8 * block[0] as usize);
            return Walk { rows, others, d, tiles: false, block, blocks, slices: 1, length: others };
        }
        let blocks = rows.div_ceil(32);
        // A slice has four tiles or more: with fewer, its partial results cost more than it saves.
        let slices = (GROUPS / blocks).clamp(1, others.div_ceil(256));
        let length = others.div_ceil(slices).next_multiple_of(64);
        let slices = others.div_ceil(length);
        Walk { rows, others, d, tiles: true, block: [2, 4], blocks, slices, length }
    }

    /// Whether rows are whole vec4.
    pub fn is_whole(&self) -> bool {
        self.d.is_multiple_of(4)
    }

    /// Units of a row.
    pub fn vectors(&self) -> usize {
        if self.is_whole() { self.d / 4 } else { self.d }
    }

    /// Lanes that walk the columns of one row.
    fn parts(&self) -> u32 {
        if self.tiles { 16 } else { 1 }
    }

    /// What the forward needs: four numbers of each (slice, lane of a row, row).
    pub fn partials(&self) -> Type {
        Type::f32([self.slices, self.parts() as usize, self.rows, 4])
    }

    /// What the gradient needs: a da for each slice, where there are several.
    pub fn partial_gradients(&self) -> Vec<Type> {
        if self.slices == 1 { Vec::new() } else { vec![Type::f32([self.slices, self.rows, self.d])] }
    }

    /// `Params` for this walk; the gradient multiplies its factor by `scale`.
    pub fn params(&self, temperature: f32, scale: f32) -> Params {
        let [rows, others, vectors] = [self.rows, self.others, self.vectors()].map(|v| v as u32);
        let [blocks, slices, length] = [self.blocks, self.slices, self.length].map(|v| v as u32);
        Params { rows, others, vectors, blocks, slices, length, inverse_temperature: 1.0 / temperature, scale }
    }

    /// A kernel around the pieces `own` of a loss.
    fn kernel(&self, name: &'static str, variant: &'static str, own: &[Piece], walk: [&[Piece]; 2]) -> Kernel {
        let (step_i, step_j, round, size) = if self.tiles { (16, 16, 64, 256) } else { (1, 1, self.block[1], 8) };
        Kernel::new(name, variant, units(self.is_whole()))
            .followed_by(PARAMS)
            .followed_by(own)
            .followed_by(PRODUCTS[usize::from(self.tiles)])
            .followed_by(walk[usize::from(self.tiles)])
            .with("TI", self.block[0])
            .with("TJ", self.block[1])
            .with("STEPI", step_i)
            .with("STEPJ", step_j)
            .with("ROUND", round)
            .with("SIZE", size)
            .with("PARTS", self.parts())
    }

    fn grid(&self) -> [u32; 3] {
        groups_1d(self.blocks * self.slices)
    }

    /// Launches the parts of the log-sum-exp over `inputs` into work 0, then what puts them together, over `starts`, into
    /// `lse` and `losses`.
    pub fn forward(
        &self,
        e: &mut Emit<'_>,
        names: [&'static str; 2],
        (own, inputs): (&[Piece], &[Slot]),
        (finish, starts): (&[Piece], &[Slot]),
        [lse, losses]: [Slot; 2],
        params: Params,
    ) {
        let kernel = self.kernel(names[0], e.variant, own, FORWARD).with("A", inputs.len() as u32);
        let buffers: Vec<Slot> = inputs.iter().copied().chain([Slot::Work(0)]).collect();
        e.launch(kernel, &buffers, &params, self.grid());
        let kernel =
            Kernel::new(names[1], e.variant, finish).with("PARTS", self.parts()).with("STARTS", starts.len() as u32);
        let buffers: Vec<Slot> = starts.iter().copied().chain([Slot::Work(0), lse, losses]).collect();
        e.launch(kernel, &buffers, &params, groups_1d(self.rows.div_ceil(64)));
    }

    /// Launches da over `inputs`, the cotangent from binding `dy` on, into output `da`.
    pub fn grad(
        &self,
        e: &mut Emit<'_>,
        names: [&'static str; 2],
        (own, inputs): (&[Piece], &[Slot]),
        dy: u32,
        da: Slot,
        params: Params,
    ) {
        let kernel = self.kernel(names[0], e.variant, own, GRAD).with("DY", dy).with("DX", inputs.len() as u32 + 1);
        let to = if self.slices == 1 { da } else { Slot::Work(0) };
        let buffers: Vec<Slot> = inputs.iter().copied().chain([to]).collect();
        e.launch(kernel, &buffers, &params, self.grid());
        if self.slices > 1 {
            gemm::sum_slices(e, names[1], Slot::Work(0), da, self.rows * self.d, self.slices);
        }
    }
}
