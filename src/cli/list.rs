//! `wgslab study list`, and what it and a run refuse before the first step.

use super::grid_options::GridOptions;
use super::options::{Options, config};
use super::output::{complain, print, print_json, table};
use super::standing;
use super::study::default_out;
use crate::base::Result;
use crate::data;
use crate::ssl;
use crate::study::config::RANDOM;
use crate::study::{self, Cell, CellState, Config, cells};
use clap::Args;
use serde::{Serialize, Serializer};
use serde_json::json;
use std::path::{Path, PathBuf};

/// List the cells of a study
///
/// Prints each cell with its index, which `wgslab study run --index` takes; --json adds the
/// names of the folders, and the index of each cell's pretraining, which --pretraining takes. Of a
/// study that was begun it prints whether a cell is done, running, failed, waiting or damaged, why,
/// and the time left. What a run would refuse before its first step is refused here, too, but for what
/// shows only once images and labels are read: `wgslab study run --dry-run` finds that. Missing
/// data is only reported. Needs no adapter and no data, and writes nothing.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  wgslab study list configs/smoke.toml\n  \
                        wgslab study list configs/smoke.toml --json | jq length\n  \
                        wgslab study list runs/smoke     how far the study in this folder is"
)]
pub(super) struct List {
    /// The study's config, a TOML file, or the folder of a study that was begun
    config: PathBuf,
    #[command(flatten)]
    grid: GridOptions,
    /// The folder of the study [default: as of `wgslab study run`]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(&self, options: &Options) -> Result<()> {
        let is_folder = self.config.is_dir();
        let config = if is_folder { study::kept_config(&self.config)? } else { config(Some(&self.config))? };
        let config = self.grid.apply(config)?;
        let all = cells(&config);
        let own = || if is_folder { self.config.clone() } else { default_out(&self.config) };
        let out = self.out.clone().unwrap_or_else(own);
        let begun = study::begun(&out);
        match expect_usable(&config, &options.data_root) {
            // A study that was begun is shown, whatever became of its data.
            Err(e) if begun => complain(&format!("warning: a run would refuse this: {e}")),
            usable => usable?,
        }
        let standing = begun.then(|| study::standing(&out, &config, &all)).transpose()?;
        let states = standing.as_ref().map(|s| &s.cells[..]);
        if self.json {
            return print_json(&Listed(&all, states));
        }
        let mut head = ["index", "dataset", "backbone", "pretraining", "noise", "protocol", "method", "seed"]
            .map(String::from)
            .to_vec();
        head.extend(states.map(|_| "state".to_string()));
        let row = |c: &Cell| {
            let noise = match c.noise_kind {
                None => "none".to_string(),
                Some(kind) if kind.has_rate() => format!("{kind} {} %", 100.0 * c.noise_rate),
                Some(kind) => kind.to_string(),
            };
            let (pretraining, method) = (c.pretraining.to_string(), c.method.to_string());
            let (index, dataset, protocol) =
                (c.index.to_string(), c.dataset.to_string(), c.protocol.name().to_string());
            let backbone = c.backbone.to_string();
            let mut row = vec![index, dataset, backbone, pretraining, noise, protocol, method, c.seed.to_string()];
            row.extend(states.and_then(|s| s.get(c.index)).map(standing::in_words));
            row
        };
        print(&table(&std::iter::once(head).chain(all.iter().map(row)).collect::<Vec<_>>()))?;
        standing.map_or(Ok(()), |standing| print(&format!("\n{}", standing::summary(&standing, &all))))
    }
}

/// Refuses what a run of the config would refuse before its first step. A grid may be planned on a machine without its
/// files, so missing files are only reported.
pub(super) fn expect_usable(config: &Config, data_root: &Path) -> Result<()> {
    let absent = |what: &str| {
        let root = data_root.display();
        complain(&format!("warning: {what} is not below {root} (--data-root), so a run there would be refused"));
    };
    let mut specs: Vec<&str> = Vec::new();
    for spec in &config.data.specs {
        if data::is_there(spec, data_root)? { specs.push(spec) } else { absent(spec) }
    }
    let (init, methods) = (&config.pretraining.init, &config.pretraining.methods);
    let mut begun = methods.iter().any(|method| method != ssl::NONE) && init != RANDOM;
    if begun && !data_root.join(init).exists() {
        absent(init);
        begun = false;
    }
    study::expect_usable(config, data_root, &specs, begun)?;
    // A grid may have a million cells, so they are made only where some of them start from files.
    let mut there = if config.pretraining.weights.is_empty() { Vec::new() } else { cells(config) };
    there.retain(|cell| cell.weights.as_ref().is_some_and(|file| data_root.join(&**file).exists()));
    let files = config.pretraining.weights.values().flatten();
    files.filter(|file| !data_root.join(file).exists()).for_each(|file| absent(file));
    study::expect_weights(config, data_root, &there)
}

/// The cells as JSON, made one at a time, because a grid may have a million cells.
struct Listed<'a>(&'a [Cell], Option<&'a [CellState]>);

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut pretrainings: usize = 0;
        let groups = self.0.chunk_by(|a, b| a.pretraining_key() == b.pretraining_key());
        let cells = groups.flat_map(|group| {
            let index = group[0].pretrained_by().map(|_| pretrainings);
            pretrainings += usize::from(index.is_some());
            group.iter().map(move |cell| {
                let mut one = as_json(cell, index);
                if let Some(state) = self.1.and_then(|states| states.get(cell.index)) {
                    one["state"] = json!(state.word());
                    one["reason"] = json!(state.reason());
                }
                one
            })
        });
        to.collect_seq(cells)
    }
}

fn as_json(c: &Cell, pretraining_index: Option<usize>) -> serde_json::Value {
    json!({
        "index": c.index,
        "name": c.name,
        "spec": c.spec,
        "dataset": c.dataset,
        "backbone": c.backbone,
        "pretraining": c.pretraining,
        "pretraining_index": pretraining_index,
        "weights": c.weights,
        "noise_kind": c.noise_kind.map_or("none".to_string(), |k| k.to_string()),
        "noise_rate": c.noise_kind.is_none_or(|k| k.has_rate()).then_some(c.noise_rate),
        "method": c.method,
        "protocol": c.protocol,
        "seed": c.seed,
    })
}
