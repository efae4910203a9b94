//! What the report's tests found, computed once for the page and for the files beside it.

use super::gained::Gained;
use super::heat::{Heat, heats};
use super::profile::{self, ProfileLine};
use super::ranks::Ranks;
use super::read::Study;
use crate::base::Result;
use crate::study::statistics::TooFew;

/// All of it.
pub(super) struct Findings {
    pub heats: Vec<Heat>,
    pub gained: Vec<Gained>,
    pub ranks: std::result::Result<Ranks, TooFew>,
    pub profile: Vec<ProfileLine>,
}

impl Findings {
    /// Of a study's runs.
    pub fn of(study: &Study) -> Result<Self> {
        Ok(Findings {
            heats: heats(study)?,
            gained: Gained::all(study)?,
            ranks: Ranks::of(study)?,
            profile: profile::lines(study)?,
        })
    }
}
