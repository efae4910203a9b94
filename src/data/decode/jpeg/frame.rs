//! The frame of a JPEG: its components, and what the scans have given of them so far.

use super::idct::{Block, inverse};

/// One component of a frame.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its id in scan headers.
    pub id: u8,
    /// Horizontal and vertical sampling factor.
    pub sampling: (usize, usize),
    /// Columns and rows of its samples that the picture needs.
    pub size: (usize, usize),
    /// Blocks across and down if it is the only component of a scan.
    pub blocks: (usize, usize),
    /// Blocks across if it shares a scan: whole groups of every component.
    pub stride: usize,
    /// The number of its quantization table, and the table that was there when its first scan began.
    pub quantization: (u8, Option<[u16; 64]>),
    /// For each coefficient, the lowest bit that a scan has given so far; [`UNTOLD`] where no scan has.
    pub told: [u8; 64],
    /// For a progressive frame, the coefficients of each block, which later scans refine.
    pub coefficients: Vec<Block>,
    /// Its samples, in rows of `stride` blocks.
    pub samples: Vec<u8>,
}

/// Says that no scan has given a coefficient.
pub const UNTOLD: u8 = 255;

impl Component {
    /// Row `y` of the samples that the picture needs.
    pub fn row(&self, y: usize) -> &[u8] {
        let from = y * self.stride * 8;
        &self.samples[from..from + self.size.0]
    }
}

/// The frame header, and what the scans have given so far.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether the coefficients are spread over several scans.
    pub progressive: bool,
    /// One, three or four components.
    pub components: Vec<Component>,
    /// The largest horizontal and vertical sampling factor.
    pub most: (usize, usize),
    /// Groups of blocks across and down if components share a scan.
    pub groups: (usize, usize),
    /// How many scans there were.
    pub scans: usize,
}

impl Frame {
    /// Reads a frame header. `check` may refuse its columns and rows before memory is allocated.
    pub fn parse(
        header: &[u8],
        progressive: bool,
        check: &dyn Fn(u64, u64) -> Result<(), String>,
    ) -> Result<Self, String> {
        let [precision, h0, h1, w0, w1, n, list @ ..] = header else { return Err("its frame header is cut".into()) };
        let (height, width) =
            (usize::from(u16::from_be_bytes([*h0, *h1])), usize::from(u16::from_be_bytes([*w0, *w1])));
        if *precision != 8 {
            return Err(format!(
                "a JPEG of {precision} bits per sample is not read; save it with 8 bits or as a 16-bit PNG"
            ));
        }
        if width == 0 || height == 0 {
            return Err(format!("its frame header says {width}×{height} pixels"));
        }
        check(width as u64, height as u64)?;
        let n = usize::from(*n);
        if ![1, 3, 4].contains(&n) || list.len() != 3 * n {
            return Err(format!("a JPEG of {n} components is not read; use one (gray), three or four"));
        }
        let most = factors_of(list)?;
        let groups = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
        let component = |c: &[u8]| {
            let (h, v) = factors(c);
            let (stride, down) = (groups.0 * h, groups.1 * v);
            Component {
                id: c[0],
                sampling: (h, v),
                size: ((width * h).div_ceil(most.0), (height * v).div_ceil(most.1)),
                blocks: ((width * h).div_ceil(8 * most.0), (height * v).div_ceil(8 * most.1)),
                stride,
                quantization: (c[2], None),
                told: [UNTOLD; 64],
                coefficients: vec![[0; 64]; if progressive { stride * down } else { 0 }],
                samples: vec![0; stride * down * 64],
            }
        };
        let components = list.chunks_exact(3).map(component).collect();
        Ok(Frame { width, height, progressive, components, most, groups, scans: 0 })
    }

    /// An error where the scans have not given all bits of a coefficient.
    pub fn complete(&self) -> Result<(), String> {
        match self.components.iter().position(|c| c.told.iter().any(|&low| low != 0)) {
            None => Ok(()),
            Some(i) if self.components[i].told == [UNTOLD; 64] => {
                Err(format!("it ends before the scan of component {}", i + 1))
            }
            Some(i) => Err(format!("it ends before the scans that refine component {}", i + 1)),
        }
    }

    /// Makes the samples of a progressive frame, whose coefficients are complete. Other frames have them.
    pub fn finish(&mut self) {
        for c in &mut self.components {
            let quantization = c.quantization.1.unwrap_or([0; 64]);
            for (place, mut block) in std::mem::take(&mut c.coefficients).into_iter().enumerate() {
                for (value, &step) in block.iter_mut().zip(&quantization) {
                    *value = value.wrapping_mul(step as i16);
                }
                let at = (place / c.stride * c.stride * 8 + place % c.stride) * 8;
                inverse(&block, 64, &mut c.samples[at..], c.stride * 8);
            }
        }
    }
}

/// The sampling factors of a component in the frame header.
fn factors(c: &[u8]) -> (usize, usize) {
    (usize::from(c[1] >> 4), usize::from(c[1] & 15))
}

/// The largest factors of the components in a frame header.
fn factors_of(list: &[u8]) -> Result<(usize, usize), String> {
    let all = || list.chunks_exact(3).map(factors);
    if let Some((h, v)) = all().find(|f| !matches!(f, (1..=4, 1..=4))) {
        return Err(format!("its sampling factors are {h}×{v}; they must be from 1 to 4"));
    }
    let most = all().fold((1, 1), |m, f| (m.0.max(f.0), m.1.max(f.1)));
    match all().find(|f| most.0 % f.0 != 0 || most.1 % f.1 != 0) {
        None => Ok(most),
        Some((h, v)) => Err(format!(
            "its sampling factors are {h}×{v} and up to {}×{}, of which they are no whole part; save it with others",
            most.0, most.1
        )),
    }
}
