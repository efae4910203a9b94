//! The grid: dataset × backbone × pretraining × seed × noise kind × noise rate × method or probe, in this order. So
//! cells that share a pretraining are neighbours, and a shard (a range of neighbours) seldom repeats the pretraining of
//! another shard.

use super::config::{Config, NoiseSeed, Protocol, ValidationLabels};
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::data::layout;
use crate::nn::Model;
use crate::noise::NoiseKind;
use crate::ssl;
use std::collections::HashMap;
use std::path::Path;
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
    /// The backbone, by its name in `nn::backbone::ARCHS`.
    pub backbone: Arc<str>,
    /// Where the backbone's weights come from: `none`, a method of `ssl::methods`, or the name of a file of weights.
    pub pretraining: Arc<str>,
    /// That file, if there is one.
    pub weights: Option<Arc<str>>,
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

    /// The settings of its backbone.
    pub fn model(&self, config: &Config) -> Result<Model> {
        config.model_of(&self.backbone, &self.pretraining)
    }

    /// The method of the pretraining that it starts from. `None` for random weights and for a file of weights.
    pub fn pretrained_by(&self) -> Option<&str> {
        (*self.pretraining != *ssl::NONE && self.weights.is_none()).then_some(&*self.pretraining)
    }

    /// What tells its pretraining from the others of the grid: dataset, backbone, method and seed. `None` if it has
    /// none.
    pub fn pretraining_key(&self) -> Option<(&str, &str, &str, u64)> {
        Some((&self.dataset, &self.backbone, self.pretrained_by()?, self.seed))
    }
}

/// The backbones of the grid, each with where its weights come from: names, and files for those that are files.
type Starts = Vec<(Arc<str>, Vec<(Arc<str>, Option<Arc<str>>)>)>;

fn starts(config: &Config) -> Starts {
    let files = weights(config);
    let of = |backbone: &str| {
        let methods = config.pretraining.methods.iter().filter(|m| config.fits(m, backbone));
        let mut all: Vec<(Arc<str>, Option<Arc<str>>)> = methods.map(|m| (Arc::from(m.as_str()), None)).collect();
        let own = files.iter().filter(|(of, ..)| *of == backbone);
        all.extend(own.map(|(_, name, file)| (Arc::from(name.as_str()), Some(Arc::from(*file)))));
        all
    };
    config.grid_backbones().into_iter().map(|backbone| (Arc::from(backbone), of(backbone))).collect()
}

/// The files of weights: the backbone, a short name that is unique in the grid, and the file.
fn weights(config: &Config) -> Vec<(&str, String, &str)> {
    let all = config.pretraining.weights.iter();
    let all: Vec<(&str, &String)> = all.flat_map(|(of, files)| files.iter().map(move |f| (of.as_str(), f))).collect();
    let keys: Vec<String> = all.iter().map(|(of, file)| format!("{of} {file}")).collect();
    let stem = |file: &str| Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems = all.iter().map(|(_, file)| plain(&stem(file))).collect();
    // The name of a method says how weights were made, so a file never gets it.
    let taken = ssl::methods().into_iter().map(|m| m.name).chain([ssl::NONE]);
    let names = told_apart(stems, &keys, taken);
    all.into_iter().zip(names).map(|((of, file), name)| (of, name, file.as_str())).collect()
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
    let starts = starts(config);
    let learnt = |protocol: Protocol| match protocol {
        Protocol::Finetune => shared(&config.training.methods),
        probe => vec![Arc::from(probe.name())],
    };
    let each = config.evaluation.protocols.iter();
    let methods: Vec<(Protocol, Arc<str>)> = each.flat_map(|&p| learnt(p).into_iter().map(move |m| (p, m))).collect();
    let (specs, datasets) = (shared(&config.data.specs), shared(&dataset_names(&config.data.specs)));
    let mut cells = Vec::new();
    for (spec, dataset) in specs.iter().zip(&datasets) {
        let each = starts.iter().flat_map(|(backbone, starts)| starts.iter().map(move |start| (backbone, start)));
        for (backbone, (pretraining, weights)) in each {
            // The backbone of [model] has no part of its own, so that a grid may get further ones.
            let of = if **backbone == *config.model.arch { String::new() } else { format!("{backbone}__") };
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
                            name: format!("{dataset}__{of}{pretraining}__{noise}__{method}__seed-{seed}"),
                            spec: spec.clone(),
                            dataset: dataset.clone(),
                            backbone: backbone.clone(),
                            pretraining: pretraining.clone(),
                            weights: weights.clone(),
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
    c.pretraining.weights.clear();
    c.backbones.clear();
    (c.noise.kinds, c.noise.rates, c.seeds) = (vec![kind], rates, vec![seed]);
    c.evaluation.protocols = vec![Protocol::Finetune];
    cells(&c).into_iter().next().ok_or_else(|| Error::Usage("the config names no training method".into()))
}

/// A short name for each SPEC, which is a valid file name. If two SPECs would get the same name, the SPEC's hash is
/// added.
fn dataset_names(specs: &[String]) -> Vec<String> {
    told_apart(specs.iter().map(|spec| plain(&layout::short_name(spec))).collect(), specs, std::iter::empty())
}

/// A text as part of a file name.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    text.chars().map(plain).collect::<String>().trim_start_matches('.').to_string()
}

/// The names, each with a hash of its key if it is empty, shared with another or `taken`.
fn told_apart(names: Vec<String>, keys: &[String], taken: impl Iterator<Item = &'static str>) -> Vec<String> {
    // Some file systems do not distinguish capitals.
    let mut times = HashMap::<String, usize>::new();
    let all = taken.map(str::to_string).chain(names.iter().cloned());
    all.for_each(|n| *times.entry(n.to_ascii_lowercase()).or_default() += 1);
    let apart = |(name, key): (&String, &String)| {
        let shared = times.get(&name.to_ascii_lowercase()).is_some_and(|&n| n > 1);
        let hash = Hasher::new().part(key).short();
        if shared || name.is_empty() { format!("{name}-{}", &hash[..8]) } else { name.clone() }
    };
    names.iter().zip(keys).map(apart).collect()
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
    /// The pretraining with this index, from 0, in the order of [`pretrainings`], and none of its cells.
    Pretraining(usize),
}

/// The pretrainings of a grid, each as its cells, which are neighbours.
pub fn pretrainings(cells: &[Cell]) -> impl Iterator<Item = &[Cell]> {
    let alike = cells.chunk_by(|a, b| a.pretraining_key() == b.pretraining_key());
    alike.filter(|group| group[0].pretrained_by().is_some())
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
            Selection::Pretraining(i) => pretrainings(cells).nth(i).ok_or_else(|| {
                let n = pretrainings(cells).count();
                Error::Usage(format!("there is no pretraining {i}; the study has {n}, numbered from 0"))
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

    /// Further backbones and files of weights are further cells; those of `[model]` keep their names.
    #[test]
    fn a_grid_has_several_backbones_and_files_of_weights() {
        let text = "backbones = [\"vit_tiny\", \"resnet18\"]\n[pretraining]\nmethods = [\"none\", \"mae\", \"jigsaw\", \"simclr\"]\n\
                    [pretraining.weights]\nresnet18 = [\"a/imagenet.pth\", \"simclr.pth\"]\n[noise]\nrates = [0.0]\n";
        let c = config(text);
        let grid = cells(&c);
        let of = |c: &Cell| (c.backbone.to_string(), c.pretraining.to_string());
        let all: Vec<(String, String)> = grid.iter().map(of).collect();
        let named = |backbone: &str, names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| (backbone.to_string(), name.to_string())).collect()
        };
        // Each method is run on the backbones that it takes; a file is no method, whatever it is called.
        let simclr = &grid[7].pretraining;
        assert!(simclr.starts_with("simclr-") && simclr.len() == 15, "{simclr}");
        let vit = named("vit_tiny", &["none", "mae", "simclr"]);
        assert_eq!(all, [vit, named("resnet18", &["none", "jigsaw", "simclr", "imagenet", simclr])].concat());
        assert_eq!(grid[1].name, "phantom-covid__vit_tiny__mae__clean__cross_entropy__seed-0");
        assert_eq!(grid[6].name, "phantom-covid__imagenet__clean__cross_entropy__seed-0");
        assert_eq!((grid[6].weights.as_deref(), grid[6].pretrained_by()), (Some("a/imagenet.pth"), None));
        let model = |i: usize| grid[i].model(&c).unwrap();
        assert_eq!((model(0).patch_size, model(0).width, model(3).patch_size), (Some(4), None, None));
        assert_eq!(model(3), config("").model, "the address of a cell does not know of other backbones");
        let written = c.to_toml().unwrap();
        assert_eq!(cells(&config(&written)), grid, "{written}");
        let before = config("[pretraining]\nmethods = [\"none\", \"jigsaw\", \"simclr\"]\n[noise]\nrates = [0.0]\n");
        let names = |cells: &[Cell]| cells.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&cells(&before)), names(&grid[3..6]));
        for (text, words) in [
            ("backbones = [\"resnet\"]", "known: resnet18, resnet50"),
            ("backbones = [\"resnet18\", \"resnet18\"]", "twice"),
            (
                "[pretraining.weights]\nvit_tiny = [\"a\"]",
                "pretraining.weights.vit_tiny lists weights, and the grid has only",
            ),
            ("[pretraining.weights]\nresnet18 = [\"\"]", "holds an empty name"),
            ("backbones = [\"resnet18\", \"resnet50\"]\n[pretraining]\nmethods = [\"mae\"]", "and mae works on"),
            ("backbones = [\"resnet18\"]\n[model]\npatch_size = 8", "patch_size is read by vit_tiny"),
            (
                "backbones = [\"resnet18\", \"vit_tiny\"]\n[pretraining.simclr.model]\narch = \"vit_tiny\"",
                "backbones lists several; leave it out",
            ),
        ] {
            let e = Config::parse("t", text).unwrap_err().to_string();
            assert!(e.contains(words), "{text}: {e}");
        }
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
            let failed = job.run(Selection::All, Manner::default()).unwrap().failed;
            assert!(failed.exit_code == 2 && failed.reasons[0].contains("needs features of the images"), "{failed:?}");
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
        // A pretraining has all cells that begin with it: one for each seed here, each of three rates.
        let groups: Vec<&[Cell]> = pretrainings(&grid).collect();
        assert!(groups.len() == 5 && groups.iter().all(|g| g.len() == 3 && g.iter().all(|c| c.seed == g[0].seed)));
        assert_eq!(Selection::Pretraining(4).of(&grid).unwrap(), groups[4]);
        assert!(Selection::Pretraining(5).of(&grid).unwrap_err().to_string().contains("the study has 5"));
    }
}
