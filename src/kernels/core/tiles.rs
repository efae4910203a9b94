//! How kernels that walk planes of images are spread over workgroups, the twin of shaders/common/tile.wgsl: 64 lanes stand
//! as planes × rows × columns, so that no invocation divides by a size.

use crate::base::Shape;
use crate::device::{Caps, Kernel, groups_1d};

/// The spread of one launch.
pub(crate) struct Tiles {
    /// Rows that a workgroup owns of each of its planes: goes into `Params`.
    pub tile: u32,
    /// Workgroups.
    pub grid: [u32; 3],
    lanes: [u32; 3],
    across: u32,
}

impl Tiles {
    /// Over `planes` of `rows` × `columns` places. A software driver spends time on each workgroup, so it gets
    /// few; a GPU idles with few, so it gets many. A lane walks at least `turns` rows, for kernels that draw or compute
    /// something once for all of them.
    pub fn new(planes: usize, [rows, columns]: [u32; 2], turns: u32, caps: &Caps) -> Tiles {
        let planes = planes as u32;
        let lanes_w = columns.next_power_of_two().min(64);
        let lanes_h = rows.next_power_of_two().min(64 / lanes_w);
        let lanes_n = 64 / (lanes_w * lanes_h);
        let owned = if caps.software { 16 } else { 1 };
        let tile = lanes_h * owned.max(turns);
        let across = columns.div_ceil(lanes_w).max(1);
        let list = planes.div_ceil(lanes_n).max(1);
        let z = list.div_ceil(65_535); // as evenly as it goes
        let grid = [rows.div_ceil(tile).max(1) * across, list.div_ceil(z), z];
        Tiles { tile, grid, lanes: [lanes_n, lanes_h, lanes_w], across }
    }

    /// The kernel with its lanes.
    pub fn on(&self, kernel: Kernel) -> Kernel {
        let [planes, rows, columns] = self.lanes;
        kernel.with("PLANES", planes).with("ROWS", rows).with("COLUMNS", columns).with("ACROSS", self.across)
    }
}

/// The spread of a launch that gives each workgroup a part of one sample, the twin of shaders/common/span.wgsl.
pub(crate) struct Spans {
    /// Samples, units of a sample and parts of a sample: go into `Params`.
    pub samples: u32,
    pub units: u32,
    pub chunks: u32,
    /// Whether a unit is a vec4.
    pub wide: bool,
    /// Workgroups.
    pub grid: [u32; 3],
}

impl Spans {
    /// Over x [N, ...]; x has at least one dimension.
    pub fn new(x: Shape) -> Spans {
        let samples = x.dim(0);
        let length = x.numel() / samples.max(1);
        let wide = length.is_multiple_of(4);
        let units = if wide { length / 4 } else { length };
        let chunks = units.div_ceil(256).max(1);
        let grid = groups_1d(samples * chunks);
        Spans { samples: samples as u32, units: units as u32, chunks: chunks as u32, wide, grid }
    }
}
