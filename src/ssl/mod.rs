//! ssl: self-supervised methods, one per file. A method sees values on a tape: views of images in, a loss out. It never
//! sees labels, files or test images; `study` decides what flows in.

mod pair;
mod puzzle;
#[cfg(test)]
pub(crate) mod testing;

use crate::base::Result;
use crate::base::range::Mistake;
use crate::nn::Backbone;
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::optimizer::Held;
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::Type;
use std::fmt::Debug;

/// A way to pretrain a backbone on images without labels.
pub trait Method: Checked + Debug + Send + Sync {
    /// The turns of a step, in order.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY]
    }

    /// Records one turn: views, networks, the loss. What it names in every turn must be the same parameters.
    fn record(&self, turn: &Turn, r: &mut Recorder<'_>) -> Result<Loss>;

    /// Records what follows the update of a turn: a teacher that moves towards its student.
    fn after_update(&self, _turn: &Turn, _r: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    /// A layer that some steps leave as it is, for instance in the first epochs. A method with turns has none.
    fn held(&self) -> Option<Held> {
        None
    }

    /// The numbers that move from step to step, by the names of the scalars that the recordings read.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// The method's own inputs of a step on the images `indices`, by name: bytes of the recorded types. The backbone and the
    /// height and width of the views are those that [`Method::takes_backbone`] was asked about.
    fn inputs(
        &self,
        _at: Progress,
        _indices: &[u32],
        _backbone: &dyn Backbone,
        _size: [usize; 2],
    ) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    /// What the images of a step must be a multiple of, twice it at least.
    fn batch_multiple(&self) -> usize {
        1
    }

    /// Whether its network can see a batch in parts, as `micro_batch_size` asks for.
    fn takes_micro_batches(&self) -> bool {
        true
    }

    /// Whether a step can take so many images: the first key of the method that speaks against it.
    fn takes_batch(&self, _batch: usize) -> Result<(), Mistake> {
        Ok(())
    }

    /// What a person should know before it learns from so many images, beginning with a key of the method. None where there
    /// is nothing to say.
    fn note(&self, _images: usize) -> Option<Mistake> {
        None
    }

    /// Whether it can pretrain such a network on images of this height and width: the first key that speaks against it, of the
    /// method, or `model.arch` with the rest of a sentence that begins with the method.
    fn takes_backbone(&self, _backbone: &dyn Backbone, _size: [usize; 2]) -> Result<(), Mistake> {
        Ok(())
    }

    /// Where a parameter is too large for the device: the method's key that makes it so, and its value. None where the
    /// backbone's width does.
    fn size_key(&self, _parameter: &str, _ty: Type) -> Option<(&'static str, String)> {
        None
    }
}

/// What configs call no pretraining.
pub const NONE: &str = "none";
/// The method that is taken where none is named.
pub const DEFAULT: &str = "simclr";

/// Declares the file of each line, and lists its `ENTRY`.
macro_rules! list {
    ($($method:ident,)*) => {
        $(pub mod $method;)*
        const METHODS: &[&Entry<dyn Method>] = &[$(&$method::ENTRY),*];
    };
}

// The one place that knows the names of the methods, in the order in which people see them.
list! {
    rotation,
    jigsaw,
    jigmag,
    simclr,
    moco,
    barlow_twins,
    byol,
    simsiam,
    vicreg,
    vae,
    bigbigan,
    mae,
    dino,
}

/// Every method.
pub fn methods() -> Vec<&'static Entry<dyn Method>> {
    let all = METHODS.to_vec();
    #[cfg(test)]
    let all = [all, testing::METHODS.to_vec()].concat();
    all
}

/// The method called `name`; an error names all.
pub fn method(name: &str) -> Result<&'static Entry<dyn Method>> {
    find("pretraining method", name, &methods())
}

/// What [`Method::size_key`] answers for a parameter whose name has one of these parts: the part, the key, its value.
fn head_key<const N: usize>(
    parameter: &str,
    heads: [(&str, &'static str, String); N],
) -> Option<(&'static str, String)> {
    heads.into_iter().find(|head| parameter.contains(head.0)).map(|(_, key, value)| (key, value))
}
