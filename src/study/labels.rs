//! The labels that a cell learns from.

use super::config::{NoiseSeed, ValidationLabels};
use super::grid::Cell;
use crate::base::hash::Hasher;
use crate::base::{Error, Result};
use crate::data::given::GivenFile;
use crate::data::{Dataset, Images};
use crate::noise::Corrupted;
use crate::noise::corrupt::{Made, Pixels, Shown, Source};
use std::borrow::Cow;
use std::path::Path;

/// The labels that a cell uses: those of training images, which it learns from, and those of validation images, by
/// which epochs are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The labels of training images.
    pub train: Vec<u32>,
    /// The labels of validation images.
    pub val: Vec<u32>,
}

impl Cell {
    /// The seed of its wrong labels: that of the repeat, or that of the config.
    pub fn seed_of_noise(&self) -> u64 {
        match self.noise_seed {
            NoiseSeed::Run => self.seed,
            NoiseSeed::Fixed(seed) => seed,
        }
    }

    /// The seed mixed with the dataset's name, so that the draws of datasets are independent.
    fn mixed_seed(&self) -> u64 {
        let seed = self.seed_of_noise();
        let mixed = Hasher::new().part(self.dataset.as_bytes()).part(seed.to_le_bytes()).hex();
        u64::from_str_radix(&mixed[..16], 16).unwrap_or(seed) // 16 hex digits always parse
    }

    /// The labels that it learns from. If validation images have the same noise, both sets of labels are changed
    /// together: a kind that looks at all images sees both.
    pub fn given(&self, data: &Dataset, data_root: &Path) -> Result<Labels> {
        let (train, val) = (&data.train, &data.val);
        let clean = Labels { train: train.labels.clone(), val: val.labels.clone() };
        let Some(kind) = self.noise_kind else { return Ok(clean) };
        let made = kind.make(&self.noise_settings)?;
        let place = (&*self.spec, data_root);
        let read = |s: Source<'_>| GivenFile::read("noise.given.file", [s.file, s.column], place);
        let file = made.source().map(read).transpose()?;
        let of_file = |images: &Images| file.as_ref().map(|f| f.of(images, data)).transpose();
        match self.validation {
            ValidationLabels::Clean => {
                Ok(Labels { train: self.corrupted(&made, data, &[train], of_file(train)?)?, ..clean })
            }
            ValidationLabels::Noisy => {
                if let Some(file) = file.as_ref().filter(|f| f.lacks(train).is_none()) {
                    file.lacks(val).map_or(Ok(()), |name| Err(file.without_validation(name)))?;
                }
                let names = [&train.names[..], &val.names].concat();
                let both = of_file(&Images { names, ..Images::default() })?;
                let mut train_labels = self.corrupted(&made, data, &[train, val], both)?;
                let val = train_labels.split_off(train.len());
                Ok(Labels { train: train_labels, val })
            }
        }
    }

    fn corrupted(&self, made: &Made, data: &Dataset, splits: &[&Images], given: Option<Vec<u32>>) -> Result<Vec<u32>> {
        let Images { height, width, channels, .. } = *splits[0];
        let pixels = Pixels { bytes: &InTurn(splits), shape: [height, width, channels] };
        let labels = splits.iter().map(|images| &images.labels[..]).collect::<Vec<_>>().concat();
        // No kind so far asks for features. The study would have to decide whose they are.
        made.corrupt(&Corrupted {
            pixels: made.reads_pixels().then_some(pixels),
            class_names: &data.classes,
            given: given.as_deref(),
            ..Corrupted::of(&labels, data.classes.len(), self.noise_rate, self.mixed_seed())
        })
    }

    /// The hash of labels that come from a file, since no setting describes them. `None` for other labels.
    pub(super) fn file_labels(&self, labels: &Labels) -> Option<String> {
        self.noise_kind.filter(|kind| !kind.has_rate())?;
        let bytes = |labels: &[u32]| -> Vec<u8> { labels.iter().flat_map(|l| l.to_le_bytes()).collect() };
        Some(Hasher::new().part(bytes(&labels.train)).part(bytes(&labels.val)).short())
    }
}

/// The images of one split, then those of the next.
#[derive(Debug)]
struct InTurn<'a>(&'a [&'a Images]);

impl Shown for InTurn<'_> {
    fn length(&self) -> usize {
        self.0.iter().map(|images| images.len() * images.stride()).sum()
    }

    fn image(&self, i: usize, _: usize) -> Result<Cow<'_, [u8]>> {
        let mut i = i;
        for images in self.0 {
            match i.checked_sub(images.len()) {
                Some(later) => i = later,
                None => return images.image(i),
            }
        }
        Err(Error::Failed("an image is asked for that no split has".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::testing::with_job;
    use crate::study::{Config, Manner, Selection, cells};

    const SPEC: &str = "phantom:covid?train=40&val=24&test=9";

    fn config(noise: &str) -> Config {
        let text =
            format!("seeds = [0, 1]\n[data]\nspecs = [\"{SPEC}\"]\nstore_size = 16\nimage_size = 16\n[noise]\n{noise}");
        Config::parse("t", &text).unwrap()
    }

    fn data() -> Dataset {
        let c = config("");
        crate::data::load(SPEC, &super::super::dataset::load_options(&c.data, Path::new(""), None), &|_, _| ()).unwrap()
    }

    #[test]
    fn the_noise_follows_the_repeat_or_is_fixed() {
        let data = data();
        let of = |noise: &str| {
            let grid = cells(&config(&format!("rates = [0.4]\n{noise}")));
            [0, 1].map(|i| grid[i].given(&data, Path::new("")).unwrap())
        };
        let ([a, b], [c, d]) = (of(""), of("seed = 0"));
        assert!(a.train != b.train && c == d && a == c, "seed 0 is that of the first repeat");
        assert_eq!(a.val, data.val.labels);
        let e = Config::parse("t", "[noise]\nseed = -1").unwrap_err().to_string();
        assert!(e.contains("\"run\""), "{e}");
    }

    #[test]
    fn validation_labels_are_clean_or_of_the_same_noise() {
        let data = data();
        let of = |noise: &str| cells(&config(noise))[0].given(&data, Path::new("")).unwrap();
        let (clean, noisy) = (of("rates = [0.4]"), of("rates = [0.4]\nvalidation = \"noisy\""));
        assert_eq!((clean.val, &clean.train), (data.val.labels.clone(), &noisy.train), "training labels are the same");
        let wrong = |given: &[u32], clean: &[u32]| given.iter().zip(clean).filter(|(g, c)| g != c).count();
        assert_eq!(wrong(&noisy.val, &data.val.labels), 10, "of 24, each wrong with probability 0.4: {:?}", noisy.val);
        let map = "kinds = [\"pair_flip\"]\nrates = [1.0]\nvalidation = \"noisy\"";
        assert!(of(map).val.iter().zip(&data.val.labels).all(|(g, c)| *g == (c + 1) % 3), "each kind");
    }

    /// What `noise apply` writes of both splits is what a run with noisy validation labels reads, and of one split is not enough.
    #[test]
    fn a_file_has_the_labels_of_validation_images_where_these_are_asked_of_it() {
        let (data, dir) = (data(), tempfile::tempdir().unwrap());
        let rows = |noise: &str| {
            let kind = ("pair_flip".parse().unwrap(), Some(0.4));
            crate::study::noisy::noisy_labels(&config(noise), (SPEC, dir.path(), dir.path()), kind, 0, &|_, _| ())
                .unwrap()
        };
        let human = config(
            "kinds = [\"given\"]\nrates = []\nvalidation = \"noisy\"\ngiven.file = \"l.csv\"\ngiven.column = \"given\"",
        );
        let given = |made: &crate::study::noisy::NoisyLabels| {
            crate::study::results::write_labels(&dir.path().join("l.csv"), &made.rows).unwrap();
            cells(&human)[0].given(&data, dir.path())
        };
        let (one, both) = (rows(""), rows("validation = \"noisy\""));
        assert_eq!((one.rows.len(), one.val, both.rows.len(), both.val), (40, 0, 64, 24));
        assert_eq!(one.rows, both.rows[..40], "training labels are the same");
        let e = given(&one).unwrap_err().to_string();
        assert!(e.contains("none for the validation image") && e.contains("set noise.validation = \"clean\""), "{e}");
        let labels = given(&both).unwrap();
        let due = cells(&config("kinds = [\"pair_flip\"]\nrates = [0.4]\nvalidation = \"noisy\""))[0]
            .given(&data, dir.path());
        assert_eq!(labels, due.unwrap());
    }

    /// Labels that `noise apply` wrote are taken as human ones: one cell beside the clean one, with the rate that they have.
    #[test]
    fn labels_of_a_file_are_a_column_of_the_grid() {
        let data = data();
        let mut given = data.train.labels.clone();
        given.iter_mut().take(10).for_each(|l| *l = (*l + 1) % 3);
        let text = format!(
            "[data]\nspecs = [\"{SPEC}\"]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\n\
             methods = [\"none\"]\n[noise]\nkinds = [\"given\"]\nrates = [0.0]\n[noise.given]\nfile = \"human.csv\"\ncolumn = \"given\"\n\
             [training]\nepochs = 1\nbatch_size = 20\n"
        );
        with_job(&text, &Silent, |job| {
            let path = job.out.join("human.csv");
            let write = |given: &[u32]| {
                let rows = crate::study::LabelRow::all(&data.train, given);
                crate::study::results::write_labels(&path, &rows).unwrap();
            };
            write(&given);
            let grid = cells(job.config);
            assert_eq!(grid.len(), 2);
            assert_eq!(grid[1].name, "phantom-covid__none__given__cross_entropy__seed-0");
            let results = job.run(Selection::All, Manner::default()).unwrap().results;
            let (clean, human) = (&results[0], &results[1]);
            assert_eq!((clean.noise_kind.as_str(), clean.realised_noise_rate), ("none", 0.0));
            assert_eq!((human.noise_kind.as_str(), human.noise_rate, human.realised_noise_rate), ("given", 0.25, 0.25));
            let moved: u64 = (0..3).map(|c| human.noise_matrix[c][(c + 1) % 3]).sum();
            assert_eq!((moved, human.validation_labels, human.noise_seed), (10, ValidationLabels::Clean, None));
            let page = std::fs::read_to_string(job.out.join("report.html")).unwrap();
            assert!(
                page.contains("given labels") && page.contains("<td>25.0</td>"),
                "the share is a number of the table"
            );
            given[39] = (given[39] + 1) % 3;
            write(&given);
            let e = job.run(Selection::Index(1), Manner::default()).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains("given_labels"), "another file is another run: {e}");
        });
        let e = Config::parse("t", "[noise]\nkinds = [\"given\"]\nrates = [0.4]").unwrap_err().to_string();
        assert!(e.contains("noise.rates holds 0.4, and given takes no rate"), "{e}");
    }
}
