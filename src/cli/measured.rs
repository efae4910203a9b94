//! What a bench measures, and for how long: the options that `wgslab bench` and `wgslab export bench` share.

use crate::base::{Error, Result, nearest};
use crate::kernels::ops;
use crate::lab::sets::{self, CASES, Set};
use crate::lab::{Asked, SamplingRule};
use clap::Args;
use std::path::Path;

/// A set of cases, which rows of it, and when a row has been sampled enough.
#[derive(Args, Debug)]
pub(super) struct Measured {
    /// A set, a TOML file, or a word in the names of rows of `cases` [default: quick]
    #[arg(value_name = "SET|FILE|FILTER")]
    what: Option<String>,
    /// One op, of the shape that --shape says
    #[arg(long, conflicts_with = "what", requires = "shape")]
    op: Option<String>,
    /// The fields of that op, as in a set file: x=16,64,56,56 stride=2
    #[arg(long, value_name = "FIELD=VALUE", num_args = 1.., requires = "op")]
    shape: Vec<String>,
    /// Variants by name; `first` is the one that the adapter would run, `all` every one that it can [default: those of
    /// the set]
    #[arg(long, value_name = "NAME|first|all", value_delimiter = ',')]
    variant: Vec<String>,
    /// forward, grad (every gradient) or one gradient by name, such as grad_weight [default: all]
    #[arg(long)]
    direction: Option<String>,
    /// The least samples of a row
    #[arg(long, value_name = "N", value_parser = count, default_value_t = SamplingRule::default().samples)]
    samples: usize,
    /// The least seconds of sampling for a row
    #[arg(long, value_name = "S", value_parser = seconds, default_value_t = SamplingRule::default().seconds)]
    seconds: f64,
    /// The most seconds of sampling for a row, or twice as many for a row that lacks its least samples [default: what
    /// the set says, 2 for `quick`, else 6; or --seconds if that is more]
    #[arg(long, value_name = "S", value_parser = seconds)]
    time_limit: Option<f64>,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "use a count above 0".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| (0.0..1e6).contains(s)).ok_or_else(|| "use seconds from 0 up".into())
}

impl Measured {
    /// An error for options that contradict each other.
    pub fn expect_sense(&self) -> Result<()> {
        match self.time_limit.filter(|limit| *limit < self.seconds) {
            Some(limit) => Err(Error::Usage(format!(
                "--time-limit {limit} is less than --seconds {}, the least sampling of a row; raise one or lower the other",
                self.seconds
            ))),
            None => Ok(()),
        }
    }

    /// What to measure, and how.
    pub fn asked(&self) -> Result<(Set, Asked)> {
        let (set, filter) = self.set()?;
        let (samples, seconds) = (self.samples, self.seconds);
        let limit = self.time_limit.unwrap_or(set.time_limit_s.unwrap_or(SamplingRule::default().limit).max(seconds));
        let rule = SamplingRule { samples, seconds, limit, ..SamplingRule::default() };
        let (variants, direction) = (self.variant.clone(), self.direction.clone());
        Ok((set, Asked { variants, direction, filter, rule, ..Asked::default() }))
    }

    /// What to measure, and the text that rows must have in their name.
    fn set(&self) -> Result<(Set, String)> {
        let all = String::new();
        if let Some(op) = &self.op {
            return Ok((Set::one(op, &self.shape)?, all));
        }
        let what = self.what.as_deref().unwrap_or("quick");
        if let Some(set) = Set::built_in(what) {
            return Ok((set?, all));
        }
        if what.ends_with(".toml") || Path::new(what).is_file() {
            return Ok((Set::load(Path::new(what))?, all));
        }
        let Some(mut set) = Set::built_in(CASES).transpose()? else { return Err(unknown(what)) };
        // An entry's name begins with its op's name. The rows themselves are filtered once their entries are known.
        set.cases.retain(|s| {
            let op = s.case.op.name();
            what.starts_with(op)
                || what.starts_with(&s.op)
                || op.contains(what)
                || s.op.contains(what)
                || s.name.contains(what)
        });
        if set.cases.is_empty() {
            return Err(unknown(what));
        }
        // `relu` selects the whole op, whatever its entries are called.
        let listed = set.cases.iter().all(|s| s.op == what);
        Ok((set, if listed { all } else { what.to_string() }))
    }
}

/// An error for a word that is no set and no part of an op's or a case's name.
fn unknown(what: &str) -> Error {
    let list = ops();
    let known: Vec<&str> = sets::names().into_iter().chain(list.iter().map(|o| o.0)).collect();
    let near = nearest(what.split('.').next().unwrap_or(what), &known);
    let meant = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    Error::Usage(format!(
        "{what} is no set ({}), no TOML file and in no name of an op or a case{meant}",
        sets::names().join(", ")
    ))
}
