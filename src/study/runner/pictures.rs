//! The strips of training images that the report shows.

use crate::base::{Error, Result};
use crate::data;
use crate::study::dataset::Loaded;
use crate::study::folder::locked;
use crate::study::grid::Cell;
use crate::study::results::{Picture, read_pictures, read_strip, write_pictures};
use crate::study::session::Job;

impl Job<'_> {
    /// Writes a strip of training images for the report, with the labels of the noisiest cell of the first seed. The
    /// first cell of a dataset writes it, whichever that is.
    pub(super) fn pictures(&self, cell: &Cell, set: &Loaded) -> Result<()> {
        match read_pictures(self.out, &cell.dataset) {
            Ok(pictures) if !pictures.is_empty() => return Ok(()),
            Err(Error::Damaged { what, .. }) => {
                self.progress.note(&format!("pictures are written anew, because {what}"))
            }
            other => drop(other?),
        }
        let folder = self.out.join("pictures").join(&*cell.dataset);
        let write = || match read_strip(&folder) {
            Ok(pictures) if !pictures.is_empty() => Ok(()), // another shard has written them meanwhile
            _ => self.write_pictures(cell, set),
        };
        match locked(&folder, write) {
            Err(Error::Busy(_)) => Ok(()), // another shard is writing the same pictures
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
