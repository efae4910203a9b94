//! The options of `wgslab study run` and `list` that change the grid of a config.

use crate::base::{Error, Result};
use crate::study::Config;
use clap::Args;

#[derive(Args, Debug)]
pub(super) struct GridOptions {
    /// Datasets in place of the config's; repeat the option for several. `wgslab data inspect --help` lists what is read
    #[arg(long, value_name = "SPEC")]
    data: Vec<String>,
    /// Seeds in place of the config's, as in 0,1,2
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    seeds: Vec<u64>,
}

impl GridOptions {
    /// The config with what was asked for. It is checked like one from a file.
    pub fn apply(&self, mut config: Config) -> Result<Config> {
        if self.data.is_empty() && self.seeds.is_empty() {
            return Ok(config);
        }
        if !self.data.is_empty() {
            config.data.specs.clone_from(&self.data);
        }
        if !self.seeds.is_empty() {
            config.seeds.clone_from(&self.seeds);
        }
        if let Some(seed) = config.seeds.iter().find(|&&seed| seed > i64::MAX as u64) {
            return Err(Error::Usage(format!("--seeds holds {seed}; use whole numbers from 0 to {}", i64::MAX)));
        }
        Config::parse("--data, --seeds", &config.to_toml()?)
    }
}
