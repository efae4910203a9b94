//! The cells of a study, one after the other, and what the study then says of itself. The one place where data,
//! self-supervision and label noise meet.

use super::batches::batch_of;
use super::config::{Config, Protocol};
use super::dataset::{Loaded, load_options};
use super::folder::{clear, kept_config, locked, locked_soon, sweep, wait_for_any, write_config};
use super::grid::{Cell, Selection, cells};
use super::names::CONFIG;
use super::pretrain::Pretraining;
use super::provenance::expect_table;
use super::report::report;
use super::results::{CellResult, Picture, gather, read_pictures, read_strip, run_folder, write_csv, write_pictures};
use super::session::Job;
use super::start::{Beginning, Begun, Start};
use super::{pretrain, probe, train};
use crate::base::text::counted;
use crate::base::{Error, Result, files};
use crate::data::{self, Need};
use crate::noise::learn::{Known, informed};
use crate::ssl;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// How the cells of a study are gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// End at once where nothing is left but what other processes work on, instead of waiting for them.
    pub no_wait: bool,
    /// Empty the folder of a damaged cell or pretraining and make it again.
    pub redo_damaged: bool,
}

/// What a study came to.
#[derive(Debug)]
pub struct Outcome {
    /// The results of the chosen cells, in the grid's order.
    pub results: Vec<CellResult>,
    /// A sentence for each damage, with the cells that were left out for it: those of a pretraining share one.
    pub damaged: Vec<String>,
}

/// What came of the cells so far.
#[derive(Default)]
struct Found {
    results: BTreeMap<usize, CellResult>,
    damaged: Vec<Damage>,
}

/// A damage, and the cells that it stops.
struct Damage {
    /// The sentence of the error.
    what: String,
    /// The name of the first cell, and how many follow it.
    first: String,
    more: usize,
}

impl Damage {
    fn sentence(self) -> String {
        let more = if self.more > 0 { format!(" and {} more", counted(self.more, "cell")) } else { String::new() };
        format!("{}{more}: {}", self.first, self.what)
    }
}

impl Found {
    /// Adds a damaged cell. Says whether the damage is one that no cell had before.
    fn damaged(&mut self, cell: &str, what: String) -> bool {
        if let Some(same) = self.damaged.iter_mut().find(|d| d.what == what) {
            same.more += 1;
            return false;
        }
        self.damaged.push(Damage { what, first: cell.to_string(), more: 0 });
        true
    }
}

/// How often the study is gathered while cells come one after the other: gathering reads all that are done, and takes
/// longer with each.
#[derive(Default)]
struct Pace {
    /// When it was gathered last, and how long that took.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Gathers, but so seldom that gathering takes at most a twentieth of the study's time.
    fn take(&mut self, gather: impl FnOnce() -> Result<()>) -> Result<()> {
        let now = Instant::now();
        if self.last.is_some_and(|(ended, took)| now - ended < 19 * took) {
            return Ok(());
        }
        gather()?;
        let ended = Instant::now();
        self.last = Some((ended, ended - now));
        Ok(())
    }
}

impl Job<'_> {
    /// Runs the selected cells of the grid, resuming what was begun, and writes `results.csv` and `report.html`. A cell
    /// that another process works on is left to it, and looked at again when the others are done. A damaged cell is told,
    /// and the others go on.
    pub fn run(&self, selection: Selection, manner: Manner) -> Result<Outcome> {
        let all = cells(self.config);
        let chosen = selection.of(&all)?;
        let pretrained = chosen.iter().any(|cell| *cell.pretraining != *ssl::NONE);
        expect_usable(self.config, self.data_root, &sets(chosen), pretrained)?;
        self.check_sets(chosen)?;
        sweep(self.out, Duration::from_secs(2));
        expect_table(self.out, &self.kernels)?;
        self.tell_other_settings()?;
        self.keep_kernels()?;
        let (mut found, mut pace) = (Found::default(), Pace::default());
        let ended = self.cells(chosen, manner, &mut found, &mut pace);
        // However the cells ended, the finished ones are written to the table and the page.
        let gathered = if found.results.is_empty() { Ok(Vec::new()) } else { self.gather() };
        ended?;
        gathered?.iter().for_each(|what| self.progress.note(&format!("warning: {what}")));
        let damaged = found.damaged.into_iter().map(Damage::sentence).collect();
        Ok(Outcome { results: found.results.into_values().collect(), damaged })
    }

    /// Says where the folder holds a study of other settings: its cells stay in the table and the report.
    fn tell_other_settings(&self) -> Result<()> {
        if !files::exists(&self.out.join(CONFIG))? {
            return Ok(());
        }
        // A damaged config is told by who needs it.
        let Ok(old) = kept_config(self.out) else { return Ok(()) };
        let differing = self.config.differences(&old)?;
        if !differing.is_empty() {
            self.progress.note(&format!(
                "warning: {} holds a study with other settings ({}); its results stay in the table and the report beside these; \
                 take another --out to keep them apart",
                self.out.display(),
                differing.join("; ")
            ));
        }
        Ok(())
    }

    /// Runs cells until each is done, damaged or, where that is wished, left to another process.
    fn cells(&self, chosen: &[Cell], manner: Manner, found: &mut Found, pace: &mut Pace) -> Result<()> {
        let mut loaded: Option<Loaded> = None;
        let mut left: Vec<&Cell> = chosen.iter().collect();
        while !left.is_empty() {
            let (mut busy, mut held) = (Vec::new(), Vec::new());
            for cell in left {
                if loaded.as_ref().is_none_or(|l| *l.spec != *cell.spec) {
                    drop(loaded.take()); // frees its pages before the next ones are made
                    loaded = Some(self.load(&cell.spec)?);
                }
                let Some(set) = &loaded else { continue };
                match self.cell(cell, set, manner) {
                    Ok(result) => {
                        found.results.insert(cell.index, result);
                        pace.take(|| self.gather().map(drop))?;
                    }
                    Err(Error::Busy(folder)) => {
                        busy.push(cell);
                        held.push(folder);
                    }
                    Err(e @ Error::Damaged { .. }) => {
                        if found.damaged(&cell.name, e.to_string()) {
                            self.progress.note(&format!("damaged: {}: {e}", cell.name));
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
            if let (Some(folder), true) = (held.first(), manner.no_wait) {
                return Err(Error::Busy(folder.clone()));
            }
            if let Some(folder) = held.first() {
                let (n, folder) = (busy.len(), folder.display());
                self.progress
                    .note(&format!("waiting for other processes: {} left; one works in {folder}", counted(n, "cell")));
                wait_for_any(&held, self.stop)?;
            }
            left = busy;
        }
        Ok(())
    }

    /// Writes what the study says of itself: its config, the table and the report. Gives the report's sentences of what is
    /// damaged and not shown. One process at a time, so that what an earlier one gathered never replaces what a later one
    /// did.
    fn gather(&self) -> Result<Vec<String>> {
        // Called only once a cell is done: a study that cannot run leaves nothing behind.
        locked_soon(self.out, self.stop, || {
            write_config(self.out, self.config)?;
            let gathered = gather(self.out)?;
            write_csv(self.out, &gathered)?;
            Ok(report(self.out, &gathered)?.1)
        })
    }

    /// Runs a cell; with `redo_damaged`, each folder of its that is damaged is emptied once and made again.
    fn cell(&self, cell: &Cell, set: &Loaded, manner: Manner) -> Result<CellResult> {
        let mut cleared = BTreeSet::new();
        loop {
            match self.cell_once(cell, set) {
                Err(Error::Damaged { path, what, way_out }) if manner.redo_damaged => {
                    let folder = path.parent().unwrap_or(self.out).to_path_buf();
                    let own = ["runs", "pretraining"].iter().any(|f| folder.parent() == Some(&self.out.join(f)));
                    if !own || !cleared.insert(folder.clone()) {
                        return Err(Error::Damaged { path, what, way_out });
                    }
                    self.progress.note(&format!("{} is made again, because {what}", folder.display()));
                    clear(&folder)?;
                }
                other => return other,
            }
        }
    }

    /// Refuses a set whose images the cells cannot use, labels that cannot go wrong so, and methods that cannot learn from
    /// them, before the first cell is trained. Each set is decoded into the cache, where its cells find it. A single set with
    /// one noise and one method is not decoded here where no pretraining comes before its first cell, since that cell does so
    /// next.
    fn check_sets(&self, chosen: &[Cell]) -> Result<()> {
        let sets = sets(chosen);
        let noises = noises(chosen);
        let one = sets.len() == 1 && noises.iter().map(|(_, methods)| methods.len().max(1)).sum::<usize>() == 1;
        if one && chosen.first().is_some_and(|c| *c.pretraining == *ssl::NONE) {
            return Ok(());
        }
        for spec in &sets {
            let named = |e: Error| match e {
                Error::Usage(what) => Error::Usage(format!("{spec}: {what}")),
                e => Error::Data(format!("{spec}: {e}")),
            };
            // Notes are told when the set is loaded. Warnings are told now: a damaged cache is mended by then.
            let warn = |w: &str| {
                if w.starts_with("warning") {
                    self.progress.note(w)
                }
            };
            let data = self.read(spec, Need::Training, &warn)?;
            batch_of(self.config.training.optimization.batch_size, data.train.len()).map_err(named)?;
            for (cell, methods) in noises.iter().filter(|n| *n.0.spec == **spec) {
                let given = cell.given(&data, self.data_root).map_err(named)?;
                let known = Known::of(&data.train.labels, &given.train, data.classes.len())?;
                for method in methods {
                    let learner = self.config.learning_of(method)?.learner;
                    if learner.estimates().is_some() {
                        continue; // what it learns from labels is known after a first stage
                    }
                    informed(&learner, &known).map_err(|e| match e {
                        Error::Usage(what) => Error::Usage(format!("{spec}: {what}")),
                        other => other,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn cell_once(&self, cell: &Cell, set: &Loaded) -> Result<CellResult> {
        let start = match &*cell.pretraining {
            ssl::NONE => None,
            name => {
                let method = self.config.pretraining_of(name)?;
                let begun = Begun::read(self.config, self.data_root, Beginning::Config)?;
                let (images, seed) = (&set.train, cell.seed);
                let one = Pretraining { images, method: &method, seed, begun: &begun, limit: None };
                let made = pretrain::provenance(self, one)?;
                let key = format!("{}-{name}-seed-{}-{}", cell.dataset, cell.seed, made.address);
                let folder = self.out.join("pretraining").join(key);
                let (path, done) = pretrain::run(self, one, &folder, &made)?;
                Some(Start::pretrained(path, name, &done)?)
            }
        };
        let folder = run_folder(self.out, &cell.name);
        let result = match cell.protocol {
            Protocol::Finetune => train::run(self, set, cell, start.as_ref(), &folder)?,
            Protocol::Linear | Protocol::Knn => probe::run(self, set, cell, start.as_ref(), &folder)?,
        };
        self.pictures(cell, set)?;
        Ok(result)
    }

    /// A strip of training images for the report, labels as the noisiest cell of the first seed trains on them. It is
    /// written once for a dataset, whichever of its cells comes first.
    fn pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        match read_pictures(self.out, &cell.dataset) {
            Ok(pictures) if !pictures.is_empty() => return Ok(()),
            Err(Error::Damaged { what, .. }) => {
                self.progress.note(&format!("pictures are written anew, because {what}"))
            }
            other => drop(other?),
        }
        let folder = self.out.join("pictures").join(&*cell.dataset);
        let write = || match read_strip(&folder) {
            Ok(pictures) if !pictures.is_empty() => Ok(()), // another shard's, meanwhile
            _ => self.write_pictures(cell, set),
        };
        match locked(&folder, write) {
            Err(Error::Busy(_)) => Ok(()), // another shard is writing the same ones
            written => written,
        }
    }

    fn write_pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        let noise = &self.config.noise;
        let kind = noise.kinds.first().copied();
        let of_file = kind.is_some_and(|k| !k.has_rate());
        let rate = if of_file { 1.0 } else { noise.rates.iter().copied().fold(0.0, f64::max) };
        let kind = kind.filter(|_| rate > 0.0);
        let settings = kind.map(|k| noise.of(k)).unwrap_or_default();
        let seed = self.config.seeds.first().copied().unwrap_or(cell.seed);
        let noisiest =
            Cell { seed, noise_kind: kind, noise_rate: rate, noise_settings: settings.into(), ..cell.clone() };
        let (train, given) = (&set.data.train, noisiest.given(&set.data, self.data_root)?.train);
        let class = |l: u32| set.data.classes.get(l as usize).cloned().unwrap_or_default();
        let count = train.len().min(12);
        let pictures = (0..count)
            .map(|i| i * train.len() / count)
            .map(|i| Ok(Picture { png: data::png(train, i)?, clean: class(train.labels[i]), given: class(given[i]) }))
            .collect::<Result<Vec<_>>>()?;
        write_pictures(self.out, &cell.dataset, &pictures)
    }
}

/// The SPECs of some cells, each once.
fn sets(chosen: &[Cell]) -> Vec<&str> {
    let mut sets: Vec<&str> = Vec::new();
    for cell in chosen {
        if !sets.contains(&&*cell.spec) {
            sets.push(&cell.spec);
        }
    }
    sets
}

/// Refuses, without a device and before an image is decoded, what a run could not train: sets of images that are not there
/// or that training cannot use, and if something is `pretrained`, a file of weights to begin with that is none.
pub fn expect_usable(config: &Config, data_root: &Path, specs: &[&str], pretrained: bool) -> Result<()> {
    let options = load_options(&config.data, data_root, None);
    specs.iter().try_for_each(|spec| data::check(spec, &options, Need::Training))?;
    if pretrained {
        Begun::read(config, data_root, Beginning::Config)?;
    }
    Ok(())
}

/// One cell of each dataset, kind and rate of noise, and every method that trains on its labels: the others would fail alike.
fn noises(chosen: &[Cell]) -> Vec<(&Cell, Vec<&str>)> {
    let mut all: Vec<(&Cell, Vec<&str>)> = Vec::new();
    for cell in chosen {
        let of = |c: &Cell| (c.spec.clone(), c.noise_kind, c.noise_rate.to_bits());
        let at = all.iter().position(|(first, _)| of(first) == of(cell)).unwrap_or(all.len());
        if at == all.len() {
            all.push((cell, Vec::new()));
        }
        let methods = &mut all[at].1;
        if cell.protocol == Protocol::Finetune && !methods.contains(&&*cell.method) {
            methods.push(&cell.method);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files;
    use crate::data::testing::write_png;
    use crate::study::testing::{Heard, with_job};

    /// Two sets of class folders, a cell each.
    const TWO: &str = "[data]\nspecs = [\"one\", \"two\"]\nstore_size = 8\nimage_size = 8\n[model]\nwidth = 0.0625\n\
                       [pretraining]\nmethods = [\"none\"]\n[noise]\nrates = [0.0]\n[training]\nepochs = 1\n\
                       batch_size = 4\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 4\n";

    #[test]
    fn what_is_damaged_of_one_set_ends_no_other_and_is_told() {
        let heard = Heard::default();
        with_job(TWO, &heard, |job| {
            for (at, set) in ["one", "two"].into_iter().enumerate() {
                for i in 0..20 {
                    let split = ["train", "train", "val", "test"][i % 4];
                    let class = ["a", "b"][i / 4 % 2];
                    write_png(&job.data_root.join(format!("{set}/{split}/{class}/{i}.png")), (40 * at + i) as u64, 9);
                }
            }
            let run = || job.run(Selection::All, Manner::default()).unwrap();
            let whole = run();
            let strip = job.out.join("pictures/two/labels.json");
            let (labels, page) = (files::read(&strip).unwrap(), job.out.join("report.html"));
            std::fs::write(&strip, "{").unwrap();
            let caches = std::fs::read_dir(job.out.join("cache")).unwrap().map(|e| e.unwrap().path());
            for cache in caches.filter(|p| p.is_file()) {
                std::fs::write(cache, "damaged").unwrap();
            }
            let again = run();
            assert!(again.results == whole.results && again.damaged.is_empty(), "{:?}", again.damaged);
            assert_eq!(files::read(&strip).unwrap(), labels, "the pictures are written anew");
            assert!(!files::read_text(&page).unwrap().contains("labels.json"), "nothing is left to tell");
            let lines = heard.lines();
            let said = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
            assert_eq!((said("pictures are written anew"), said("warning: the cached data")), (1, 2), "{lines:?}");
        });
    }

    #[test]
    fn a_damaged_pretraining_is_told_once_for_all_its_cells() {
        let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                    width = 0.0625\n[pretraining]\nmethods = [\"none\", \"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                    simclr.projection_dims = [8, 4]\n[noise]\nrates = [0.0, 0.2, 0.4]\n[training]\nepochs = 1\nbatch_size = 8\n\
                    warmup_epochs = 0\n[evaluation]\nbatch_size = 8\n";
        let heard = Heard::default();
        with_job(text, &heard, |job| {
            let run = || job.run(Selection::All, Manner::default()).unwrap();
            let whole = run();
            let folder = std::fs::read_dir(job.out.join("pretraining")).unwrap().next().unwrap().unwrap().path();
            let path = folder.join("backbone.safetensors");
            let mut bytes = files::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let again = run();
            assert_eq!((whole.results.len(), again.results.len()), (6, 3), "the cells without it go on");
            let [said] = &again.damaged[..] else { panic!("{:?}", again.damaged) };
            assert!(said.contains(" and 2 cells more: ") && said.contains("backbone.safetensors"), "{said}");
            assert_eq!(heard.lines().iter().filter(|l| l.starts_with("damaged: ")).count(), 1, "{:?}", heard.lines());
        });
    }

    #[test]
    fn noise_that_cannot_be_is_refused_before_the_first_clean_cell() {
        let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n\
                    [noise]\nkinds = [\"matrix\"]\nrates = [0.0, 0.4]\n";
        with_job(text, &Heard::default(), |job| {
            let e = job.run(Selection::All, Manner::default()).unwrap_err();
            assert!(e.to_string().contains("noise.matrix.rows is 2 × 2 and the data has 3 classes"), "{e}");
            assert!(!job.out.join("runs").exists(), "nothing was trained");
        });
    }

    #[test]
    fn a_method_that_cannot_learn_from_the_labels_is_refused_before_any_pretraining() {
        let of = |noise: &str, training: &str| {
            let text = format!(
                "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n[pretraining]\n\
                 methods = [\"simclr\"]\n[noise]\n{noise}\n[training]\n{training}\n"
            );
            let mut said = String::new();
            with_job(&text, &Heard::default(), |job| {
                let e = job.run(Selection::All, Manner::default()).unwrap_err();
                assert_eq!(e.exit_code(), 2, "{e}");
                assert!(!job.out.join("pretraining").exists() && !job.out.join("runs").exists(), "nothing was trained");
                said = e.to_string();
            });
            said
        };
        let rows = "methods = [\"cross_entropy\", \"forward\"]\nforward.transition = [[0.9, 0.1], [0.2, 0.8]]";
        let said = of("rates = [0.4]", rows);
        assert!(said.contains("training.forward.transition has 2 rows and the data 3 classes"), "{said}");
        assert_eq!(of("rates = [0.0]", rows), said, "clean labels are learnt from, too");
    }

    #[test]
    fn gathering_takes_a_small_part_of_a_study_s_time() {
        let (mut pace, mut times) = (Pace::default(), 0);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(500) {
            let gather = || {
                times += 1;
                std::thread::sleep(Duration::from_millis(10));
                Ok(())
            };
            pace.take(gather).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!((1..=3).contains(&times), "{times} times in half a second of 10 ms each");
    }
}
