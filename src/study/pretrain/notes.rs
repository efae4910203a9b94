//! Notes for a person before a pretraining begins.

use super::{Pretraining, record_with};
use crate::base::Result;
use crate::data::augment::StoreViews;
use crate::nn::{Recipe, Views};
use crate::study::config::Pretrained;
use crate::study::session::Job;
use crate::tape::{Tape, Var};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Says what may surprise in a pretraining with steps of `batch` images: keys for which the method has its own values,
/// what the method says of the number of images, and views that do not differ.
pub(super) fn say(job: &Job<'_>, one: Pretraining<'_>, batch: usize) -> Result<()> {
    say_overridden(job, one.method);
    let name = &one.method.name;
    if let Some((key, what)) = one.method.method.note(one.images.store.count) {
        job.progress.note(&format!("pretraining.{name}.{key} {what}"));
    }
    let views = equal_views(job, one, batch)?;
    if views > 1 {
        job.progress.note(&format!(
            "augmentation.off is true: the {views} views of an image that {name} compares are the same picture, so there is no \
             difference between them to learn from; set it to false, or take a method of one view"
        ));
    }
    Ok(())
}

/// Says for which keys of the config the method has its own values.
fn say_overridden(job: &Job<'_>, method: &Pretrained) {
    if !method.overridden.is_empty() {
        let (name, keys) = (&method.name, method.overridden.join(", "));
        job.progress.note(&format!(
            "{name} has values of its own for {keys}, in place of the config's; change them in [pretraining.{name}]"
        ));
    }
}

/// How many views of an image a step makes without augmentation. Such views are equal.
fn equal_views(job: &Job<'_>, one: Pretraining<'_>, batch: usize) -> Result<usize> {
    let Pretraining { images, method, seed, .. } = one;
    if !method.augmentation.off {
        return Ok(0);
    }
    let (mean, std, out) = (images.mean, images.std, job.config.data.image_size as u32);
    let inner = StoreViews { store: &images.store, seed, out, mean, std };
    let plain = Plain { inner: &inner, made: RefCell::default() };
    record_with(job, method, batch, &plain)?;
    Ok(plain.made.into_inner().len())
}

/// Makes views, and remembers which of them are images without augmentation.
struct Plain<'a> {
    inner: &'a StoreViews<'a>,
    made: RefCell<BTreeSet<u32>>,
}

impl Views for Plain<'_> {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var> {
        if recipe.off {
            self.made.borrow_mut().insert(i);
        }
        self.inner.view(t, indices, i, recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch_for;
    use super::*;
    use crate::study::Config;
    use crate::study::start::Begun;
    use crate::study::testing::{Heard, with_job};

    const CONFIG: &str = "[data]\nstore_size = 24\nimage_size = 24\n[model]\nwidth = 0.0625\n[pretraining]\n\
                          batch_size = 8\nmoco.batch_norm_splits = 2\nmoco.projection_dims = [16, 8]\n";

    /// What is said when `method` begins on 24 images.
    fn said(job: &Job<'_>, heard: &Heard, more: &str, method: &str) -> String {
        let config = Config::parse("test.toml", &format!("{CONFIG}{more}")).unwrap();
        let job = Job { config: &config, kernels: Default::default(), ..*job };
        let images = job.load("phantom:covid?train=24&val=8&test=9").unwrap().train;
        let method = config.pretraining_of(method).unwrap();
        let batch = batch_for(&method, images.store.count).unwrap();
        let before = heard.lines().len();
        let one = Pretraining { images: &images, method: &method, seed: 0, begun: &Begun::Random, limit: None };
        say(&job, one, batch).unwrap();
        heard.lines()[before..].join("\n")
    }

    #[test]
    fn a_queue_longer_than_the_training_set_is_told() {
        let heard = Heard::default();
        with_job(CONFIG, &heard, |job| {
            let queue = |keys: usize| said(job, &heard, &format!("moco.queue_size = {keys}\n"), "moco");
            assert!(!queue(23).contains("queue_size is"), "shorter than the set");
            let told = queue(24);
            assert!(told.contains("pretraining.moco.queue_size is 24 and there are 24 training images"), "{told}");
            assert!(!said(job, &heard, "", "simclr").contains("queue_size"));
        });
    }

    #[test]
    fn views_that_are_equal_are_told() {
        let heard = Heard::default();
        with_job(CONFIG, &heard, |job| {
            let say = |off: bool, method: &str| {
                said(job, &heard, &format!("moco.queue_size = 16\n[augmentation]\noff = {off}\n"), method)
            };
            for method in ["simclr", "moco", "byol", "simsiam", "barlow_twins", "vicreg", "dino"] {
                let told = say(true, method);
                assert!(told.contains(&format!("the 2 views of an image that {method} compares")), "{method}: {told}");
                assert!(!say(false, method).contains("augmentation.off"), "{method}");
            }
            for method in ["rotation", "jigsaw", "vae", "bigbigan"] {
                assert!(!say(true, method).contains("augmentation.off"), "{method} has one view");
            }
        });
    }
}
