//! Jigsaw (Noroozi & Favaro 2016, arXiv 1603.09246). An image is cut into 3 × 3 cells. A smaller tile is taken at a
//! random place of each cell, so that edges do not continue from one tile to the next. Each channel of a tile is
//! standardised. The tiles lie in one of several orders, which differ as much as possible, and the network tells which
//! one. One network sees each tile.

use super::{Method, head_key, puzzle};
use crate::base::range::{Mistake, between, mistake};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::nn::Backbone;
use crate::nn::Layer::{Linear, Relu};
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "jigsaw",
    about: "Jigsaw: in which order the tiles of an image lie (Noroozi & Favaro 2016)",
    overlay: include_str!("../../configs/ssl/jigsaw.toml"),
    read: |from| read(from, |method: Jigsaw| Arc::new(method)),
};

/// Cells on a side, and in all.
const SIDE: usize = 3;
const CELLS: usize = SIDE * SIDE;
/// The input: the place of each tile in its cell.
const PLACES: &str = "tile_places";
/// The random streams of the orders and of the places.
const STREAMS: [u32; 2] = [0x6a69_6773, 0x6a69_6774]; // "jigs"

/// `[pretraining.jigsaw]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jigsaw {
    /// How many orders there are.
    pub permutations: usize,
    /// Side of a tile as a share of the side of its cell.
    pub tile_share: f64,
    /// Width of the layer that sees each tile.
    pub tile_dim: usize,
    /// Width of the layer that sees all tiles.
    pub hidden_dim: usize,
    /// The orders. They are computed when they are first needed.
    #[serde(skip)]
    orders: OnceLock<Vec<Vec<u8>>>,
}

impl Checked for Jigsaw {
    fn check(&self) -> Result<(), Mistake> {
        between("permutations", self.permutations, 2, 1000)?;
        if !(0.25..=1.0).contains(&self.tile_share) {
            return mistake("tile_share", format!("is {}; use 0.25 to 1", self.tile_share));
        }
        between("tile_dim", self.tile_dim, 1, 65_536)?;
        between("hidden_dim", self.hidden_dim, 1, 65_536)
    }
}

impl Jigsaw {
    fn orders(&self) -> &[Vec<u8>] {
        self.orders.get_or_init(|| far_apart(self.permutations))
    }

    /// The tiles of x f32 [B, C, H, W]: [9·B, C, h, w]. First come the first tiles of all images, then the second, and
    /// so on.
    fn tiles(&self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let [n, c, height, width] = r.t.shape(x).nchw("jigsaw", "x")?;
        let cell = [height / SIDE, width / SIDE];
        let tile = cell.map(|side| ((side as f64 * self.tile_share).round() as usize).clamp(1, side.max(1)));
        if cell.contains(&0) || tile[0] * tile[1] < 2 {
            let what = format!("images of {height} × {width} have no {SIDE} × {SIDE} tiles of two pixels");
            return Err(Error::Usage(format!("jigsaw: {what}; use a larger data.image_size or tile_share")));
        }
        let places = r.input(PLACES, Type::f32([CELLS * n, 2]))?;
        r.t.layer("tiles", |t| {
            // Rows and columns that fill no cell are left out, half of them at each side.
            let x = t.slice(x, 2, (height - SIDE * cell[0]) / 2, SIDE * cell[0])?;
            let x = t.slice(x, 3, (width - SIDE * cell[1]) / 2, SIDE * cell[1])?;
            // The row of a cell comes first, then the column.
            let x = t.reshape(x, [n * c, SIDE, cell[0] * SIDE * cell[1]])?;
            let x = t.permute(x, &[1, 0, 2])?;
            let x = t.reshape(x, [SIDE, n * c * cell[0], SIDE, cell[1]])?;
            let x = t.permute(x, &[0, 2, 1, 3])?;
            let x = t.reshape(x, [CELLS * n, c, cell[0], cell[1]])?;
            let x = t.crop(x, places, tile.map(|side| side as u32))?;
            // Each channel of a tile is its own group, so the group norm standardises it.
            let (one, zero) = (t.fill([c], 1.0)?, t.fill([c], 0.0)?);
            t.group_norm(x, one, zero, c, 1e-5)
        })
    }
}

impl Method for Jigsaw {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let x = self.tiles(r, x)?;
        let (each, all) = ([Linear(self.tile_dim), Relu], [Linear(self.hidden_dim), Relu]);
        puzzle::solved(r, x, (CELLS, self.permutations), &each, &all)
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let mut all = puzzle::inputs(at, (indices, STREAMS[0]), self.orders());
        let mut places = vec![0f32; 2 * CELLS * indices.len()];
        for (image, &index) in indices.iter().enumerate() {
            let mut rng = Rng::new(at.seed, STREAMS[1], (at.epoch as u64) << 32 | u64::from(index));
            for cell in 0..CELLS {
                let at = 2 * (cell * indices.len() + image);
                places[at..at + 2].fill_with(|| rng.uniform());
            }
        }
        all.push((PLACES, bytemuck::cast_slice(&places).to_vec()));
        all
    }

    fn takes_backbone(&self, backbone: &dyn Backbone, _: [usize; 2]) -> Result<(), Mistake> {
        match backbone.patch_size() {
            Some(_) => mistake(
                "model.arch",
                "shows the network tiles, while a vision transformer has positions for whole images; use a ResNet",
            ),
            None => Ok(()),
        }
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let piece = ("piece.", "tile_dim", self.tile_dim.to_string());
        head_key(parameter, [piece, ("puzzle.", "hidden_dim", self.hidden_dim.to_string())])
    }
}

/// `count` orders of the cells that differ in many places. The first is the natural order. Each next order is the one
/// that differs from all chosen orders in the most places in total (the maximal Hamming distance of the authors'
/// algorithm 1). Of equals, the first in lexicographic order is taken. A list of fewer orders is the beginning of a
/// list of more.
fn far_apart(count: usize) -> Vec<Vec<u8>> {
    let candidates = permutations();
    let mut differing = vec![0u32; candidates.len()];
    let mut next = 0;
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let new = candidates[next];
        chosen.push(new.to_vec());
        differing[next] = u32::MAX; // chosen already
        let (mut most, mut best) = (0, 0);
        for (i, (sum, candidate)) in differing.iter_mut().zip(&candidates).enumerate() {
            if *sum == u32::MAX {
                continue;
            }
            *sum += candidate.iter().zip(&new).map(|(a, b)| u32::from(a != b)).sum::<u32>();
            if *sum > most {
                (most, best) = (*sum, i);
            }
        }
        next = best;
    }
    chosen
}

/// All orders of the cells, in lexicographic order.
fn permutations() -> Vec<[u8; CELLS]> {
    let mut order: [u8; CELLS] = std::array::from_fn(|i| i as u8);
    let mut all = vec![order];
    // The next order: the last place that can grow takes the next larger value, and all places after it become
    // ascending.
    while let Some(i) = (1..CELLS).rev().find(|&i| order[i - 1] < order[i]) {
        let by = (i..CELLS).rev().find(|&j| order[j] > order[i - 1]).unwrap_or(i);
        order.swap(i - 1, by);
        order[i..].reverse();
        all.push(order);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_are_there_once() {
        let all = permutations();
        assert_eq!((all.len(), all[0], all[1]), (362_880, [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6, 8, 7]));
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn chosen_orders_are_far_apart_and_a_short_list_begins_a_longer_one() {
        let (few, more) = (far_apart(9), far_apart(12));
        assert_eq!(few, more[..9]);
        // Nine orders can all differ in every place, as the rows of a Latin square do. Choosing one at a time finds
        // such orders.
        for (i, a) in few.iter().enumerate() {
            for b in &few[..i] {
                let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
                assert_eq!(same, 0, "{a:?} {b:?}");
            }
        }
    }
}
