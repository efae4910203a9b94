//! crop_resize: torchvision's RandomResizedCrop.get_params, then torch's antialiased bilinear weights, in f64.

use crate::reference::{Answer, Expected, Tensor, cast};
use wgslab::base::rng::unit;
use wgslab::kernels::crop_resize::{CropResize, RandomCrop};
use wgslab::tape::Op;

/// A window: left, top, width, height, mirrored.
type Window = (usize, usize, usize, usize, bool);

fn draw(c: &RandomCrop, size: usize, sample: u32, epoch: u32) -> Window {
    let words = |block| c.draws.words(block, sample, epoch);
    let between = |[low, high]: [f64; 2], word: u32| low + (high - low) * unit(word) as f64;
    let below = |n: usize, word: u32| ((n as u64 * word as u64) >> 32) as usize;
    let area = (size * size) as f64;
    let mirror = unit(words(10)[0]) < c.flip;
    for block in 0..10 {
        let w = words(block);
        let target = area * between(c.scale.map(f64::from), w[0]);
        let ratio = between(c.ratio.map(|r| f64::from(r).ln()), w[1]).exp();
        let width = (target * ratio).sqrt().round_ties_even() as usize;
        let height = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=size).contains(&width) && (1..=size).contains(&height) {
            return (below(size - width + 1, w[3]), below(size - height + 1, w[2]), width, height, mirror);
        }
    }
    let [thin, wide] = c.ratio.map(f64::from);
    let (mut width, mut height) = (size, size);
    if thin > 1.0 {
        height = ((size as f64 / thin).round_ties_even() as usize).max(1);
    } else if wide < 1.0 {
        width = ((size as f64 * wide).round_ties_even() as usize).max(1);
    }
    ((size - width) / 2, (size - height) / 2, width, height, mirror)
}

/// First tap and normalised weights of output `o` of `out` over `n` inputs.
pub fn weights(o: usize, n: usize, out: usize) -> (usize, Vec<f64>) {
    let scale = n as f64 / out as f64;
    let support = scale.max(1.0);
    let centre = (o as f64 + 0.5) * scale;
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(n);
    let raw: Vec<f64> = (first..end).map(|j| (1.0 - ((j as f64 - centre + 0.5) / support).abs()).max(0.0)).collect();
    let total: f64 = raw.iter().sum();
    (first, raw.iter().map(|w| w / total).collect())
}

pub fn reference(op: &dyn Op, x: &[Tensor]) -> Answer {
    let op = cast::<CropResize>(op);
    let [size, channels, out] = [op.size, op.channels, op.out].map(|v| v as usize);
    let (x, held) = if op.held { (&x[..x.len() - 1], Some(&x[x.len() - 1].u)) } else { (x, None) };
    let pages = &x[1..x.len() - usize::from(op.crop.is_some())];
    let stride = (size * size * channels).div_ceil(4) * 4;
    let images: Vec<Vec<u8>> = pages
        .iter()
        .flat_map(|p| {
            p.u.iter()
                .flat_map(|w| w.to_le_bytes())
                .collect::<Vec<u8>>()
                .chunks(stride)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    let (mut pairs, mut told) = (Vec::new(), Vec::new());
    let mut most = 1;
    for row in 0..op.views as usize * x[0].dim(0) {
        let (view, index) = ((row / x[0].dim(0)) as u32, x[0].u[row % x[0].dim(0)]);
        let (sample, place) = match held {
            Some(held) => (index, held.iter().position(|&h| h == index).unwrap()),
            None => (index.min(images.len() as u32 - 1), (index as usize).min(images.len() - 1)),
        };
        let window = op.crop.map(|c| {
            let scalars = &x[x.len() - 1].f;
            let c = RandomCrop { draws: c.draws.after(view), ..c };
            draw(&c, size, sample, scalars[c.draws.epoch as usize] as u32)
        });
        let (left, top, width, height, mirror) = window.unwrap_or((0, 0, size, size, false));
        told.extend([left, top, width, height, usize::from(mirror)].map(|v| v as f64));
        for at in 0..channels * out * out {
            let (channel, row, column) = (at / (out * out), at / out % out, at % out);
            let column = if mirror { out - 1 - column } else { column };
            let ((y0, down), (x0, across)) = (weights(row, height, out), weights(column, width, out));
            most = most.max(down.len() * across.len());
            let (mut value, mut brightest) = (0.0, 0.0f64);
            for (dy, wy) in down.iter().enumerate() {
                for (dx, wx) in across.iter().enumerate() {
                    let pixel = (top + y0 + dy) * size + left + x0 + dx;
                    let v = images[place][pixel * channels + channel] as f64 / 255.0;
                    value += wy * wx * v;
                    brightest = brightest.max(v);
                }
            }
            // The precision of a position is that of f32 at the side of the window. A weight is as precise as its
            // position.
            let exact = window.is_none() && size == out;
            pairs.push((value, brightest * if exact { 1.0 } else { (width + height) as f64 / 2.0 }));
        }
    }
    let told = op.told.then(|| Expected::exact(told));
    Answer::new([Expected::sums(pairs, most).ulps(2.5)].into_iter().chain(told).collect())
}
