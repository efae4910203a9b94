//! The nearest rows of a bank to each of many queries, by cosine, in blocks that fit the device.
//!
//! **The device proposes, the host decides.** The device multiplies a block of queries with a block of the bank, and the
//! largest products of each query are kept, a few more than are asked for. The host computes the cosines of those again, in
//! one fixed order of sums, and sorts by them. The two sums of a cosine differ by no more than a known bound ([`slack`]), so
//! the host sees where a block may hide a neighbour, and goes through that block itself. Therefore the neighbours depend on
//! the features alone: not on the adapter, its kernels, or the sizes of blocks. A run's address need not hold any of these,
//! and the host can do a small set by itself, for which a pipeline is not worth compiling.
//!
//! If the features of all images are nearly alike, every block may hide a neighbour. Then the host goes through all
//! rows, which takes as long as without a device.
//!
//! **Ties.** Of rows with equal cosines, the one that comes earlier in the bank is nearer.
//!
//! **Who selects the largest.** On a GPU the op `top_k` does, and a block of products never leaves the device. On a
//! software driver that op compares each product with all others of its row, while the host selects in linear time on
//! the same cores. There the device multiplies and the host selects.

use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::kernels::fuse;
use crate::study::session::Job;
use crate::tape::demand::misfit;
use crate::tape::{Feed, Plan, Schedule, State, Tape, Type};
use rayon::prelude::*;
use std::sync::atomic::Ordering;

/// Rows of the bank with their cosines, nearest first.
pub(in crate::study) type Near = Vec<(f32, usize)>;

/// How the largest products of a block are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The device multiplies, the host selects.
    Product,
    /// The device does both.
    TopK,
}

/// How a search is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub route: Route,
    /// Rows of a block of queries.
    pub queries: usize,
    /// Rows of a block of the bank.
    pub bank: usize,
}

/// Up to this many multiplications the host does the whole search, because that takes less time than compiling a
/// pipeline.
const SMALL: usize = 1 << 28;

/// How many more products than neighbours are kept of each row, since other products may lie closer to the last one
/// than the bound.
const SPARE: usize = 16;

/// Blocks with this number of rows are not made smaller if they do not fit.
const LEAST: usize = 64;

/// Rows of length 1, and what is searched for in them.
pub(super) struct Search<'a> {
    /// Rows that neighbours are found among.
    pub bank: &'a [f32],
    /// Rows whose neighbours are found.
    pub queries: &'a [f32],
    /// Numbers of a row.
    pub width: usize,
    /// How many neighbours each query gets. It gets all rows if the bank has fewer.
    pub k: usize,
}

impl Search<'_> {
    /// The neighbours of each query.
    pub fn run(&self, job: &Job<'_>) -> Result<Vec<Near>> {
        if self.bank.len() / self.width.max(1) * self.queries.len() <= SMALL {
            return self.on_host();
        }
        let most = Blocks::most(job.gpu, self);
        match self.fitting(job.gpu, most)? {
            Ok((blocks, schedule)) => self.in_blocks(job, blocks, schedule),
            Err(why) => {
                job.progress.note(&format!("nearest neighbours are found on the host, which takes longer: {why}"));
                self.on_host()
            }
        }
    }

    /// The neighbours of each query, found without a device.
    pub fn on_host(&self) -> Result<Vec<Near>> {
        let rows = self.bank.len() / self.width.max(1);
        let whole = [Kept { from: 0, rows, all: false, each: 0, products: Vec::new(), places: Vec::new() }];
        self.queries.par_chunks_exact(self.width).map(|query| self.decide(query, 0, &whole)).collect()
    }

    /// The neighbours of each query, found in blocks of these sizes.
    pub fn in_blocks(&self, job: &Job<'_>, blocks: Blocks, schedule: Schedule) -> Result<Vec<Near>> {
        let plan = Plan::new(job.gpu, schedule, &State::new())?;
        let mut near = Vec::with_capacity(self.queries.len() / self.width);
        for queries in self.queries.chunks(blocks.queries * self.width) {
            let mut kept = Vec::new();
            for (i, bank) in self.bank.chunks(blocks.bank * self.width).enumerate() {
                if job.stop.load(Ordering::Relaxed) {
                    let what = "stopped while neighbours were looked for; the same command goes on from the last checkpoint, if there is one";
                    return Err(Error::TryAgain(what.into()));
                }
                let place = (i * blocks.bank, bank.len() / self.width);
                kept.push(self.block(job.gpu, &plan, blocks, (queries, bank), place)?);
            }
            let rows = queries.par_chunks_exact(self.width).enumerate();
            near.extend(rows.map(|(row, query)| self.decide(query, row, &kept)).collect::<Result<Vec<_>>>()?);
        }
        Ok(near)
    }

    /// How many products are kept of each row of a block.
    fn each(&self, blocks: Blocks) -> usize {
        (self.k + SPARE).min(blocks.bank)
    }

    /// The largest blocks that fit beside what is on the device, with their schedule. The inner error says why even the
    /// smallest blocks do not fit.
    #[allow(clippy::type_complexity, reason = "an error of its own beside a reason to go another way")]
    fn fitting(&self, gpu: &Gpu, most: Blocks) -> Result<Result<(Blocks, Schedule), String>> {
        let mut blocks = most;
        loop {
            let schedule = self.schedule(gpu, blocks)?;
            let Some(why) = misfit(gpu, std::slice::from_ref(&schedule), &State::new()) else {
                return Ok(Ok((blocks, schedule)));
            };
            let larger = if blocks.bank >= blocks.queries { &mut blocks.bank } else { &mut blocks.queries };
            if *larger <= LEAST {
                return Ok(Err(why.to_string()));
            }
            *larger = larger.div_ceil(2);
        }
    }

    /// The products of a block of queries with a block of the bank and, if the device selects, the largest of each row.
    pub fn schedule(&self, gpu: &Gpu, blocks: Blocks) -> Result<Schedule> {
        let mut t = Tape::new();
        let queries = t.input("queries", Type::f32([blocks.queries, self.width]))?;
        let bank = t.input("bank", Type::f32([blocks.bank, self.width]))?;
        let products = t.matmul(queries, bank, false, true)?;
        match blocks.route {
            Route::Product => t.output("products", products),
            Route::TopK => {
                let [largest, places] = t.top_k(products, self.each(blocks))?;
                t.output("products", largest);
                t.output("places", places);
            }
        }
        Schedule::new(&t, &fuse::options(gpu.caps()))
    }

    /// The largest products of a block. `from` is the place of the block's first row in the bank. The unused part of
    /// the block is zero.
    fn block(
        &self,
        gpu: &Gpu,
        plan: &Plan,
        blocks: Blocks,
        (queries, bank): (&[f32], &[f32]),
        (from, rows): (usize, usize),
    ) -> Result<Kept> {
        let whole = |part: &[f32], rows: usize| {
            let mut whole = part.to_vec();
            whole.resize(rows * self.width, 0.0);
            whole
        };
        let (queries, bank) = (whole(queries, blocks.queries), whole(bank, blocks.bank));
        plan.run(gpu, &Feed::new().input("queries", &queries).input("bank", &bank))?;
        let (products, each) = (plan.read_f32(gpu, "products")?, self.each(blocks));
        let (products, places) = match blocks.route {
            Route::TopK => (products, bytemuck::pod_collect_to_vec(&plan.read(gpu, "places")?)),
            Route::Product => products.par_chunks_exact(blocks.bank).flat_map_iter(|row| largest(row, each)).unzip(),
        };
        Ok(Kept { from, rows, all: each == blocks.bank, each, products, places })
    }

    /// The neighbours of `query`. It is row `row` of its block; `kept` are the largest products with each block of the
    /// bank.
    fn decide(&self, query: &[f32], row: usize, kept: &[Kept]) -> Result<Near> {
        let slack = slack(self.width);
        // k rows have the k-th largest product or a larger one. A row whose product is smaller by twice the bound is
        // farther away.
        let mut products: Vec<f32> = kept.iter().flat_map(|b| b.of(row)).map(|p| p.0).collect();
        let least = match products.len() >= self.k {
            true => *products.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a)).1 - 2.0 * slack,
            false => f32::NEG_INFINITY,
        };
        let mut near = Near::new();
        for block in kept {
            if block.hides(row, least) {
                near.extend((block.from..block.from + block.rows).map(|place| (self.cosine(query, place), place)));
                continue;
            }
            for (product, place) in block.of(row).filter(|p| p.0 >= least) {
                let cosine = self.cosine(query, place);
                if (product - cosine).abs() > slack {
                    return Err(Error::Failed(format!(
                        "the product of two rows of features is {product} on the device and {cosine} on the host, which is \
                         further apart than rounding allows; update the driver, or leave --shaders out"
                    )));
                }
                near.push((cosine, place));
            }
        }
        let nearer = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if self.k < near.len() {
            near.select_nth_unstable_by(self.k, nearer);
            near.truncate(self.k);
        }
        near.sort_unstable_by(nearer);
        Ok(near)
    }

    /// The cosine of `query` with the row of the bank at `place`: products added from the first to the last.
    fn cosine(&self, query: &[f32], place: usize) -> f32 {
        let row = &self.bank[place * self.width..][..self.width];
        row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>()
    }
}

impl Blocks {
    /// The largest blocks that a search should use. They are as large as `top_k` can sort in workgroup memory, or as
    /// suits few cores. They have nearly equal sizes, so that little of the last block is unused.
    fn most(gpu: &Gpu, search: &Search<'_>) -> Blocks {
        let caps = gpu.caps();
        let (route, bank) = match caps.software {
            true => (Route::Product, 8192),
            // A product and its place are 8 bytes, and the sort takes powers of two.
            false => (Route::TopK, 1 << (caps.workgroup_bytes / 8).max(2).ilog2()),
        };
        let equal = |numbers: &[f32], most: usize| {
            let rows = (numbers.len() / search.width).max(1);
            rows.div_ceil(rows.div_ceil(most))
        };
        Blocks { route, queries: equal(search.queries, 2048), bank: equal(search.bank, bank) }
    }
}

/// The largest products of each row of a block, and their places in the block.
struct Kept {
    /// The place of the block's first row in the bank, and how many rows it has.
    from: usize,
    rows: usize,
    /// Whether all products are kept.
    all: bool,
    /// How many products of each row are kept.
    each: usize,
    products: Vec<f32>,
    places: Vec<u32>,
}

impl Kept {
    /// The products of a row with their places in the bank.
    fn of(&self, row: usize) -> impl Iterator<Item = (f32, usize)> + '_ {
        let own = row * self.each..(row + 1) * self.each;
        let pairs = self.products[own.clone()].iter().zip(&self.places[own]);
        pairs.filter(|p| (*p.1 as usize) < self.rows).map(|(v, place)| (*v, self.from + *place as usize))
    }

    /// Whether a row that is not kept may have a product of at least `least`.
    fn hides(&self, row: usize, least: f32) -> bool {
        let own = &self.products[row * self.each..(row + 1) * self.each];
        !self.all && own.iter().all(|&product| product >= least)
    }
}

/// The `each` largest numbers of `row` with their places, in no order. Of equal numbers the earlier is taken.
fn largest(row: &[f32], each: usize) -> impl Iterator<Item = (f32, u32)> {
    let mut all: Vec<(f32, u32)> = row.iter().copied().zip(0..).collect();
    if each < all.len() {
        all.select_nth_unstable_by(each, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.truncate(each);
    }
    all.into_iter()
}

/// How far two sums of `width` products can lie apart, computed in f32 in any order, for rows of length 1 (Higham,
/// Accuracy and Stability of Numerical Algorithms, 3.1: each is within width · u / (1 − width · u) of the true sum, u =
/// 2⁻²⁴). A hundredth more covers lengths that differ from 1 by rounding. Two units more cover the rounding of a
/// threshold.
fn slack(width: usize) -> f32 {
    let error = (width + 2) as f64 * f64::from(f32::EPSILON) / 2.0;
    (2.02 * error / (1.0 - error)) as f32
}

#[cfg(test)]
mod tests;
