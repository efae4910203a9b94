//! JigMag (Koohbanani et al. 2020, "Self-Path", arXiv 2008.05571). The network sees the centre of an image at several
//! magnifications, in a random order, and tells the order. One network sees each magnification. A linear layer sees the
//! features of all of them and has one class for each order.
//!
//! The paper's views come from the objectives of a microscope, and all are sharp. The centre of a picture that is enlarged is
//! not: its blur alone tells the order, and little else is learnt. With `even_sharpness` every view is made of as few pixels as
//! the one that is magnified most.

use super::{Method, puzzle};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::kernels::magnify::seen;
use crate::kernels::resize::Filter;
use crate::nn::Backbone;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "jigmag",
    about: "JigMag: in which order magnifications of an image lie (Koohbanani et al. 2020)",
    overlay: include_str!("../../configs/ssl/jigmag.toml"),
    read: |from| read(from, |method: JigMag| Arc::new(method)),
};

/// The random stream of the orders.
const STREAM: u32 = 0x6a6d_6167; // "jmag"
/// The most magnifications. More would have too many orders.
const MOST: usize = 6;
/// The fewest pixels on a side that a view may be made of.
const LEAST: u32 = 4;

/// `[pretraining.jigmag]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JigMag {
    /// The magnifications, each 1 or more.
    pub magnifications: Vec<f64>,
    /// Whether each view is made of no more pixels than the one that is magnified most.
    pub even_sharpness: bool,
}

impl Checked for JigMag {
    fn check(&self) -> Result<(), Mistake> {
        let all = &self.magnifications;
        if !(2..=MOST).contains(&all.len()) {
            return mistake("magnifications", format!("holds {} numbers; use 2 to {MOST}", all.len()));
        }
        if let Some(m) = all.iter().find(|m| !(1.0..=64.0).contains(*m)) {
            return mistake("magnifications", format!("holds {m}; use 1 to 64"));
        }
        if all.windows(2).any(|pair| pair[0] >= pair[1]) {
            return mistake("magnifications", format!("is {all:?}; use numbers that rise"));
        }
        Ok(())
    }
}

impl Method for JigMag {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let (height, width) = (r.t.shape(x).dim(2) as u32, r.t.shape(x).dim(3) as u32);
        let magnifications: Vec<f32> = self.magnifications.iter().map(|&m| m as f32).collect();
        let pieces = magnifications.len();
        let x = r.t.layer("magnify", |t| match (self.even_sharpness, magnifications.last()) {
            (true, Some(most)) => {
                let x = t.magnify(x, &magnifications, [height, width].map(|size| seen(size as usize, *most)))?;
                t.resize(x, [height, width], Filter::Bilinear)
            }
            _ => t.magnify(x, &magnifications, [height, width]),
        })?;
        puzzle::solved(r, x, (pieces, (1..=pieces).product()), &[], &[])
    }

    fn takes_backbone(&self, _: &dyn Backbone, size: [usize; 2]) -> Result<(), Mistake> {
        let Some(most) = self.magnifications.last().filter(|_| self.even_sharpness) else { return Ok(()) };
        let side = seen(size[0].min(size[1]), *most as f32);
        if side >= LEAST {
            return Ok(());
        }
        let what = format!(
            "ends with {most}, which leaves {side} of {} pixels on a side, and even_sharpness makes every view of as many; use \
             smaller numbers that leave {LEAST} or more",
            size[0].min(size[1])
        );
        mistake("magnifications", what)
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        puzzle::inputs(at, (indices, STREAM), &orders(self.magnifications.len()))
    }
}

/// All orders of `pieces` pieces, in lexicographic order.
fn orders(pieces: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for _ in 0..pieces {
        let next = |order: Vec<u8>| {
            let free: Vec<u8> = (0..pieces as u8).filter(|p| !order.contains(p)).collect();
            free.into_iter().map(move |p| [&order[..], &[p]].concat())
        };
        all = all.into_iter().flat_map(next).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn orders_are_as_in_a_dictionary() {
        let three = super::orders(3);
        assert_eq!(three, [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]);
        assert_eq!(super::orders(5).len(), 120);
    }
}
