//! Phantoms: generated images that resemble five medical datasets, for studies that need no download.
//!
//! `phantom:NAME?train=320&val=64&test=160`. An image depends only on (name, split, index), so any part of a dataset
//! can be made alone and nothing is stored. Structure and texture show the class. Pose, scale, brightness and noise
//! vary within a class. nct-crc is the easiest phantom, dermnet the hardest.

mod canvas;
mod covid;
mod dermnet;
mod fetal;
mod mura;
mod nct;

use super::{Claims, Found, Layout, Open, Take};
use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::data::decode::{Mode, PixelForm};
use crate::data::{DecodedData, Images, Keep, LeftOut, LoadOptions, Loading, Need, Origin, Part, Split};
use canvas::Rgb;
use rayon::prelude::*;

pub(super) const LAYOUT: Layout = Layout {
    name: "phantom",
    takes: "phantom:NAME",
    help:
        "phantom:NAME, generated images: fetal, dermnet, covid, mura or nct-crc; phantom:NAME?train=160&val=24&test=96
    sets how many",
    claims: Claims::Nothing,
    open: Open::Text(|text| Ok(Box::new(Request::parse(text)?))),
};

/// One generated dataset.
struct Modality {
    name: &'static str,
    classes: &'static [&'static str],
    /// Paints one image of a class, size × size.
    paint: fn(class: usize, size: usize, rng: &mut Rng) -> Vec<Rgb>,
}

const MODALITIES: [Modality; 5] = [fetal::MODALITY, dermnet::MODALITY, covid::MODALITY, mura::MODALITY, nct::MODALITY];

/// The most bytes of images that are made at a time, and the most images.
const CHUNK: (usize, usize) = (32 << 20, 1024);

/// Must change whenever an image is drawn otherwise: what was drawn before, and kept on disk, is then drawn again.
const DRAWING: &str = "wgslab drawing 1";

/// The names after `phantom:`.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODALITIES.iter().map(|m| m.name)
}

/// The phantom, and the number of images of each split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    modality: usize,
    counts: [usize; 3],
}

impl Request {
    /// Parses the text after `phantom:`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let mut request = Request { modality: find(name)?, counts: [320, 64, 160] };
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let split = Split::ALL.into_iter().find(|s| s.name() == key);
            match (split, value.parse()) {
                (Some(split), Ok(n)) if (1..=1_000_000).contains(&n) => request.counts[split as usize] = n,
                _ => {
                    return Err(Error::Data(format!(
                        "'{pair}' in 'phantom:{text}' is not understood; give train=N, val=N or test=N with N from 1 to 1000000"
                    )));
                }
            }
        }
        Ok(request)
    }
}

impl Found for Request {
    fn images(&self) -> usize {
        self.counts.iter().sum()
    }

    fn check(&self, _: &LoadOptions, _: Option<Need>) -> Result<()> {
        Ok(()) // every split has images of every class
    }

    fn key(&self, _: &dyn Loading) -> Result<Option<Hasher>> {
        Ok(None) // making it again is as fast as reading
    }

    fn paged_key(&self) -> Option<Hasher> {
        let counts = self.counts.map(|n| (n as u64).to_le_bytes()).concat();
        Some(Hasher::new().part("phantom").part(MODALITIES[self.modality].name).part(counts).part(DRAWING))
    }

    fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
        generate(self, options, keep, progress)
    }

    fn again(&self, options: &LoadOptions, at: (Split, usize), _: &[LeftOut], take: &mut Take<'_>) -> Result<()> {
        let (split, i) = at;
        take(i, &draw(&MODALITIES[self.modality], split, i, options.store_size, options.channels))
    }

    fn told(&self, source: DecodedData) -> DecodedData {
        source
    }
}

fn find(name: &str) -> Result<usize> {
    MODALITIES.iter().position(|m| m.name == name).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        Error::Data(format!("there is no phantom called '{name}'; the phantoms are {known}"))
    })
}

/// Generates the splits of `request`. Classes take turns, so every split is balanced.
fn generate(request: &Request, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
    let modality = &MODALITIES[request.modality];
    let total = request.counts.iter().sum();
    let (mut done, mut parts) = (0, [None, None, None]);
    for split in Split::ALL {
        let mut part = Part::begin(options, split, keep)?;
        let n = request.counts[split as usize];
        let some = (CHUNK.0 / (options.store_size.pow(2) * options.channels)).clamp(1, CHUNK.1);
        for start in (0..n).step_by(some) {
            let end = n.min(start + some);
            let made: Vec<Vec<u8>> = (start..end)
                .into_par_iter()
                .map(|i| draw(modality, split, i, options.store_size, options.channels))
                .collect();
            for (i, pixels) in (start..).zip(made) {
                let label = (i % modality.classes.len()) as u32;
                part.push(&pixels, origin(modality, split, i, options), label, format!("{}/{i}", split.name()))?;
            }
            done += end - start;
            progress.at(done, total)?;
        }
        parts[split as usize] = Some(part);
    }
    let classes = modality.classes.iter().map(|c| c.to_string()).collect();
    let mode = if options.channels == 3 { Mode::Rgb } else { Mode::Gray };
    let forms = request.counts.map(|n| [(PixelForm::whole(mode, 8), n)].into());
    Ok(DecodedData { name: format!("phantom:{}", modality.name), classes, parts, forms, ..DecodedData::default() })
}

/// All generated images differ, so the place of an image serves as its digest.
fn origin(modality: &Modality, split: Split, index: usize, options: &LoadOptions) -> Origin {
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&(index as u64).to_le_bytes());
    digest[8] = split as u8;
    digest[9..12].copy_from_slice(&modality.name.as_bytes()[..3]);
    Origin { digest, height: options.store_size as u32, width: options.store_size as u32 }
}

/// Image `index` of a split.
fn draw(modality: &Modality, split: Split, index: usize, size: usize, channels: usize) -> Vec<u8> {
    // The FNV-1a hash of the name, so that two phantoms have different random poses.
    let seed =
        modality.name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut rng = Rng::new(seed, split as u32, index as u64);
    // Small images are painted at twice the size and averaged, so that fine texture does not alias.
    let factor = if size <= 64 { 2 } else { 1 };
    let painted = (modality.paint)(index % modality.classes.len(), size * factor, &mut rng);
    canvas::to_bytes(&painted, size, factor, channels)
}

/// A sheet of `rows` × `cols` training images as one RGB image. Each row has one class.
pub fn contact_sheet(name: &str, rows: usize, cols: usize) -> Result<Images> {
    const TILE: usize = 64;
    const GAP: usize = 2;
    let modality = &MODALITIES[find(name)?];
    let classes = modality.classes.len();
    let (height, width) = (rows * (TILE + GAP) + GAP, cols * (TILE + GAP) + GAP);
    let mut pixels = vec![255; height * width * 3];
    // Rows after the last class start again with images that were not shown yet.
    let example = |t: usize| (t / cols / classes * cols + t % cols) * classes + t / cols % classes;
    let tiles: Vec<(usize, Vec<u8>)> =
        (0..rows * cols).into_par_iter().map(|t| (t, draw(modality, Split::Train, example(t), TILE, 3))).collect();
    for (t, tile) in tiles {
        let (top, left) = (GAP + t / cols * (TILE + GAP), GAP + t % cols * (TILE + GAP));
        for (y, row) in tile.chunks_exact(TILE * 3).enumerate() {
            let at = ((top + y) * width + left) * 3;
            pixels[at..at + row.len()].copy_from_slice(row);
        }
    }
    Ok(Images { height, width, channels: 3, pixels: pixels.into(), labels: vec![0], names: vec![name.to_string()] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::data::testing::{complaint, options};
    use std::path::Path;

    fn loaded(spec: &str, channels: usize) -> crate::data::Dataset {
        let options = LoadOptions { store_size: 32, ..options(Path::new(""), channels) };
        load(spec, &options, &|_, _| ()).unwrap()
    }

    #[test]
    fn every_phantom_repeats_itself_and_no_two_images_are_equal() {
        for name in names() {
            let spec = format!("phantom:{name}?train=40&val=9&test=9");
            let data = loaded(&spec, 3);
            assert_eq!((data.train.len(), data.val.len(), data.test.len()), (40, 9, 9));
            assert_eq!(data.dropped_duplicates, 0);
            assert_eq!(data.fingerprint, loaded(&spec, 3).fingerprint);
            let mut images: Vec<_> = [&data.train, &data.val, &data.test]
                .iter()
                .flat_map(|split| (0..split.len()).map(|i| split.image(i).unwrap()))
                .collect();
            images.sort_unstable();
            images.dedup();
            assert_eq!(images.len(), 58, "{name}");
            let fewer = loaded(&format!("phantom:{name}?train=20&val=9&test=9"), 3);
            assert_eq!(
                fewer.train.bytes(0..20).unwrap(),
                data.train.bytes(0..20).unwrap(),
                "{name}: only the index may decide"
            );
        }
    }

    #[test]
    fn images_use_the_range_and_are_not_told_apart_by_mean_brightness() {
        for name in ["fetal", "dermnet", "covid", "mura"] {
            let data = loaded(&format!("phantom:{name}?train=240&test=240"), 1);
            let (_, std) = data.train.statistics().unwrap();
            assert!(std[0] > 0.08, "{name} is nearly flat: {std:?}");
            let mean = |images: &Images, i: usize| {
                images.image(i).unwrap().iter().map(|&v| f64::from(v)).sum::<f64>() / images.stride() as f64
            };
            // Classifies by the nearest class mean of brightness, which is what a model without any structure could
            // reach.
            let k = data.classes.len();
            let mut centre = vec![(0.0, 0.0); k];
            for i in 0..data.train.len() {
                let c = &mut centre[data.train.labels[i] as usize];
                *c = (c.0 + mean(&data.train, i), c.1 + 1.0);
            }
            let distance = |c: usize, m: f64| (centre[c].0 / centre[c].1 - m).abs();
            let right = (0..data.test.len())
                .filter(|&i| {
                    let m = mean(&data.test, i);
                    let best = (0..k).min_by(|&a, &b| distance(a, m).total_cmp(&distance(b, m)));
                    best == Some(data.test.labels[i] as usize)
                })
                .count();
            let (accuracy, chance) = (right as f64 / data.test.len() as f64, 1.0 / k as f64);
            assert!(accuracy < chance + 0.25, "{name}: brightness alone reaches {accuracy:.2}, chance is {chance:.2}");
        }
    }

    /// Kept images are found by [`DRAWING`], so that a change of what is drawn needs another one. The sine of the standard
    /// library may differ by a bit elsewhere.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn what_is_drawn_changes_only_with_its_version() {
        let mut all = Vec::new();
        for modality in &MODALITIES {
            for (size, channels) in [(16, 1), (72, 3)] {
                (0..modality.classes.len()).for_each(|i| all.extend(draw(modality, Split::Train, i, size, channels)));
            }
        }
        let due = ("wgslab drawing 1", "4e9d304de0c7de936b4ba12744ee11c69507317b7d584131e03bd98a13137c06");
        assert_eq!((DRAWING, crate::base::hash::sha256(&all).as_str()), due, "raise DRAWING, and write both here");
    }

    #[test]
    fn the_help_names_every_phantom() {
        assert!(names().all(|n| LAYOUT.help.contains(n)), "{:?}", names().collect::<Vec<_>>());
    }

    #[test]
    fn requests_are_checked() {
        let request = Request::parse("covid?train=300&val=60&test=150").unwrap();
        assert_eq!(request.counts, [300, 60, 150]);
        assert_eq!(Request::parse("nct-crc").unwrap().counts, [320, 64, 160]);
        assert!(complaint(Request::parse("brain")).contains("nct-crc"));
        for bad in ["mura?train=0", "mura?n=3", "mura?train", "mura?test=-1", "mura?test=99999999999999999999"] {
            assert!(complaint(Request::parse(bad)).contains("train=N"), "{bad}");
        }
    }

    #[test]
    fn a_contact_sheet_is_one_picture() {
        let sheet = contact_sheet("covid", 3, 4).unwrap();
        assert_eq!((sheet.height, sheet.width, sheet.len()), (200, 266, 1));
        assert!(crate::data::png(&sheet, 0).unwrap().starts_with(b"\x89PNG"));
    }
}
