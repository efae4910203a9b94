//! The grid: dataset × pretraining × seed × noise kind × noise rate × method or probe, in this order. So cells that
//! share a pretraining are neighbours, and a shard (a range of neighbours) seldom repeats the pretraining of another
//! shard.

use super::config::{Config, NoiseSeed, Protocol, ValidationLabels};
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::data::layout;
use crate::noise::NoiseKind;
use crate::ssl;
use std::collections::HashMap;
use std::sync::Arc;

/// One cell of the grid: one run, one folder. Cells share what they have in common, because a grid may have a million
/// cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its place in the grid, from 0. `--index` takes it.
    pub index: usize,
    /// The name of its folder. It is readable, and unique in the grid.
    pub name: String,
    /// The dataset's SPEC.
    pub spec: Arc<str>,
    /// The dataset's short name. It is a valid file name, and unique in the grid.
    pub dataset: Arc<str>,
    /// Where the backbone's weights come from: `none`, or a method of `ssl::methods`.
    pub pretraining: Arc<str>,
    /// The seed of the repeat.
    pub seed: u64,
    /// The kind of label noise; `None` at rate 0.
    pub noise_kind: Option<NoiseKind>,
    /// The share of labels that become wrong. It is 1 for a kind without a rate, because such a kind replaces all
    /// labels.
    pub noise_rate: f64,
    /// Every setting of its kind of noise. Empty if the kind has none.
    pub noise_settings: Arc<toml::Table>,
    /// The seed of its wrong labels.
    pub noise_seed: NoiseSeed,
    /// Which labels its validation images have.
    pub validation: ValidationLabels,
    /// How to learn from the labels: a method of `noise::learn::learners`, or the protocol if it is a probe.
    pub method: Arc<str>,
    /// How the backbone is judged.
    pub protocol: Protocol,
}

impl Cell {
    /// The name of its kind of noise; `none` if its labels are clean.
    pub fn kind_name(&self) -> String {
        self.noise_kind.map_or("none".to_string(), |k| k.to_string())
    }
}

/// Every cell of a study, in order. Clean labels make one cell, whatever the number of noise kinds.
pub fn cells(config: &Config) -> Vec<Cell> {
    let mut noises = Vec::new();
    if config.noise.rates.contains(&0.0) {
        noises.push((None, 0.0, Arc::default()));
    }
    for &kind in &config.noise.kinds {
        let settings = Arc::new(config.noise.of(kind));
        let rates = if kind.has_rate() { &config.noise.rates[..] } else { &[1.0] };
        noises.extend(rates.iter().filter(|&&r| r > 0.0).map(|&r| (Some(kind), r, settings.clone())));
    }
    let shared = |names: &[String]| names.iter().map(|n| Arc::from(n.as_str())).collect::<Vec<Arc<str>>>();
    let pretrainings = shared(&config.pretraining.methods);
    let learnt = |protocol: Protocol| match protocol {
        Protocol::Finetune => shared(&config.training.methods),
        probe => vec![Arc::from(probe.name())],
    };
    let each = config.evaluation.protocols.iter();
    let methods: Vec<(Protocol, Arc<str>)> = each.flat_map(|&p| learnt(p).into_iter().map(move |m| (p, m))).collect();
    let (specs, datasets) = (shared(&config.data.specs), shared(&dataset_names(&config.data.specs)));
    let mut cells = Vec::new();
    for (spec, dataset) in specs.iter().zip(&datasets) {
        for pretraining in &pretrainings {
            for &seed in &config.seeds {
                for (noise_kind, noise_rate, settings) in &noises {
                    let (noise_kind, noise_rate) = (*noise_kind, *noise_rate);
                    for (protocol, method) in &methods {
                        let noise = match noise_kind {
                            None => "clean".to_string(),
                            Some(kind) if kind.has_rate() => format!("{kind}-{noise_rate}"),
                            Some(kind) => kind.to_string(),
                        };
                        cells.push(Cell {
                            index: cells.len(),
                            name: format!("{dataset}__{pretraining}__{noise}__{method}__seed-{seed}"),
                            spec: spec.clone(),
                            dataset: dataset.clone(),
                            pretraining: pretraining.clone(),
                            seed,
                            noise_kind,
                            noise_rate,
                            noise_settings: settings.clone(),
                            noise_seed: config.noise.seed,
                            validation: config.noise.validation,
                            method: method.clone(),
                            protocol: *protocol,
                        });
                    }
                }
            }
        }
    }
    cells
}

/// A kind of noise and its rate, as a command names them. The rate is `None` for a kind without a rate.
pub type AskedNoise = (NoiseKind, Option<f64>);

/// The one cell of a command that trains on `spec` without a grid. If no rate is given, a kind that has a rate leaves
/// labels clean.
pub(super) fn single(config: &Config, spec: &str, (kind, rate): AskedNoise, seed: u64) -> Result<Cell> {
    let rates = match (kind.has_rate(), rate) {
        (true, rate) => vec![rate.unwrap_or(0.0)],
        (false, None) => Vec::new(),
        (false, Some(rate)) => {
            return Err(Error::Usage(format!(
                "the noise kind {kind} takes no rate, and {rate} was asked for: its labels come from a file; leave the rate out"
            )));
        }
    };
    let mut c = config.clone();
    c.data.specs = vec![spec.to_string()];
    c.pretraining.methods = vec![ssl::NONE.to_string()];
    (c.noise.kinds, c.noise.rates, c.seeds) = (vec![kind], rates, vec![seed]);
    c.evaluation.protocols = vec![Protocol::Finetune];
    cells(&c).into_iter().next().ok_or_else(|| Error::Usage("the config names no training method".into()))
}

/// A short name for each SPEC, which is a valid file name. If two SPECs would get the same name, the SPEC's hash is
/// added.
fn dataset_names(specs: &[String]) -> Vec<String> {
    let short = |spec: &String| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        layout::short_name(spec).chars().map(plain).collect::<String>().trim_start_matches('.').to_string()
    };
    let names: Vec<String> = specs.iter().map(short).collect();
    // Some file systems do not distinguish capitals.
    let mut times = HashMap::<String, usize>::new();
    names.iter().for_each(|n| *times.entry(n.to_ascii_lowercase()).or_default() += 1);
    let apart = |(i, name): (usize, &String)| {
        let shared = times.get(&name.to_ascii_lowercase()).is_some_and(|&n| n > 1);
        let hash = Hasher::new().part(&specs[i]).short();
        if shared || name.is_empty() { format!("{name}-{}", &hash[..8]) } else { name.clone() }
    };
    names.iter().enumerate().map(apart).collect()
}

/// Which cells of the grid to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Every cell.
    #[default]
    All,
    /// The cell with this index, from 0.
    Index(usize),
    /// Part `part` (from 1) of `of` parts of neighbouring cells. The sizes of parts differ by at most one cell. If
    /// there are more parts than cells, some parts are empty.
    Shard {
        /// Which part, from 1.
        part: usize,
        /// How many parts.
        of: usize,
    },
}

impl Selection {
    /// Reads `I/N`: part I, from 1 to N, of N parts.
    pub fn shard(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match numbers {
            Some((part, of)) if part >= 1 && part <= of => Ok(Selection::Shard { part, of }),
            _ => Err(Error::Usage(format!("there is no shard {text:?}; use I/N with I from 1 to N, as in 2/8"))),
        }
    }

    /// The selected cells, in order.
    pub fn of(self, cells: &[Cell]) -> Result<&[Cell]> {
        match self {
            Selection::All => Ok(cells),
            Selection::Index(i) => cells.get(i..).and_then(|c| c.get(..1)).ok_or_else(|| {
                let last = cells.len().saturating_sub(1);
                Error::Usage(format!("there is no cell {i}; the study has {} cells, 0 to {last}", cells.len()))
            }),
            Selection::Shard { part, of } => {
                // A product of two counts may be too large for a count.
                let bound = |part: usize| (part as u128 * cells.len() as u128 / of as u128) as usize;
                Ok(&cells[bound(part - 1)..bound(part)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::Manner;
    use crate::study::testing::with_job;

    fn config(text: &str) -> Config {
        Config::parse("test.toml", text).unwrap()
    }

    #[test]
    fn the_grid_is_the_product_with_clean_labels_once() {
        let c = config(
            "seeds = [0, 1]\n[data]\nspecs = [\"phantom:covid\", \"a/b.npz\"]\n[noise]\nrates = [0.4, 0.0, 0.2]\n",
        );
        let cells = cells(&c);
        assert_eq!(cells.len(), 2 * 2 * 2 * 3);
        assert!(cells.iter().enumerate().all(|(i, c)| c.index == i));
        let names: std::collections::BTreeSet<_> = cells.iter().map(|c| &c.name).collect();
        assert_eq!(names.len(), cells.len());
        assert_eq!(cells[0].name, "phantom-covid__none__clean__cross_entropy__seed-0");
        assert_eq!(cells[23].name, "b__simclr__symmetric-0.2__cross_entropy__seed-1");
        assert_eq!(cells[0].noise_kind, None);
    }

    /// A whole study with a kind of noise that has a setting and looks at the images. Only its own file knows the kind.
    #[test]
    fn a_listed_kind_of_noise_is_a_cell_with_its_settings() {
        let text = |more: &str| {
            format!(
                "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 16\nimage_size = 16\n\
                 [model]\nwidth = 0.125\n[pretraining]\nmethods = [\"none\"]\n[training]\nepochs = 1\nbatch_size = 7\n{more}"
            )
        };
        let kinds = "[noise]\nkinds = [\"symmetric\", \"bright\"]\nrates = [0.5]\n[noise.bright]\nabove = 90\n";
        with_job(&text(kinds), &Silent, |job| {
            let grid = cells(job.config);
            assert_eq!(grid[1].name, "phantom-covid__none__bright-0.5__cross_entropy__seed-0");
            let results = job.run(Selection::All, Manner::default()).unwrap().results;
            assert_eq!(results[1].noise_kind, "bright");
            let set = job.load(&grid[1].spec).unwrap();
            let (train, given) = (&set.data.train, grid[1].given(&set.data, job.data_root).unwrap().train);
            let bright = |i: usize| {
                let mean = train.image(i).unwrap().iter().map(|&v| f64::from(v)).sum::<f64>() / train.stride() as f64;
                mean > 90.0
            };
            let wrong: Vec<usize> = (0..24).filter(|&i| given[i] != train.labels[i]).collect();
            assert!(!wrong.is_empty() && wrong.iter().all(|&i| bright(i)));
            assert_eq!(results[1].realised_noise_rate, wrong.len() as f64 / 24.0);
            let other = Cell {
                noise_settings: toml::Table::from_iter([("above".into(), 91.into())]).into(),
                ..grid[1].clone()
            };
            let settings = |cell: &Cell| super::super::settings::training_settings(job.config, cell).unwrap();
            assert_ne!(settings(&grid[1]), settings(&other), "another address");
            assert!(settings(&grid[0]).get("noise_settings").is_none(), "symmetric noise has none");
            let page = std::fs::read_to_string(job.out.join("report.html")).unwrap();
            assert!(page.contains("the label of a bright image becomes the class before"));
            assert!(page.contains("say nothing about the truth at 66.7 % (3 classes)"));
        });
        with_job(&text("[noise]\nkinds = [\"by_feature\"]\nrates = [0.5]"), &Silent, |job| {
            let e = job.run(Selection::All, Manner::default()).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains("needs features of the images"), "{e}");
        });
    }

    #[test]
    fn datasets_get_short_and_unique_names() {
        let names = |specs: &[&str]| dataset_names(&specs.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        assert_eq!(
            names(&["phantom:mura?train=9&test=3", "x/isic9/", "C:\\sets\\a.npz"]),
            ["phantom-mura", "isic9", "a"]
        );
        let shared = names(&["x/a.npz", "y/A.npz"]);
        assert!(shared[0].starts_with("a-") && shared[1].starts_with("A-") && shared[0][1..] != shared[1][1..]);
        assert!(!names(&["../.."])[0].contains(".."), "a name never leaves its folder");
    }

    #[test]
    fn shards_cover_the_grid_once() {
        let grid = cells(&config("seeds = [0, 1, 2, 3, 4]\n[noise]\nrates = [0.0, 0.2, 0.4]"));
        for of in [1, 3, 7, 40, 1000] {
            let parts = (1..=of).map(|part| Selection::Shard { part, of }.of(&grid).unwrap());
            assert_eq!(parts.flatten().cloned().collect::<Vec<_>>(), grid);
        }
        assert_eq!(Selection::shard("2/8").unwrap(), Selection::Shard { part: 2, of: 8 });
        for bad in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert_eq!(Selection::shard(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        // With as many parts as a count allows, the last part has the last cell, and no product overflows.
        let of = usize::MAX;
        let cells = |part| Selection::Shard { part, of }.of(&grid).unwrap().to_vec();
        assert_eq!((cells(of), cells(1), cells(of / 2)), (grid[grid.len() - 1..].to_vec(), vec![], vec![]));
        assert_eq!(Selection::shard(&format!("{of}/{of}")).unwrap(), Selection::Shard { part: of, of });
        assert_eq!(Selection::shard("1/99999999999999999999999").unwrap_err().exit_code(), 2);
        assert_eq!(Selection::Index(usize::MAX).of(&grid).unwrap_err().exit_code(), 2);
        assert_eq!(Selection::Index(3).of(&grid).unwrap()[0].index, 3);
        assert_eq!(Selection::Index(30).of(&grid).unwrap_err().exit_code(), 2);
    }
}
