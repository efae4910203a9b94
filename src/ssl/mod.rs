//! Self-supervised methods, one per file. A method sees values on a tape: views of images go in, a loss comes out. It
//! never sees labels, files or test images. `study` decides which images it gets.

mod pair;
mod puzzle;
#[cfg(test)]
pub(crate) mod testing;

use crate::base::Result;
use crate::base::range::Mistake;
use crate::nn::Backbone;
use crate::nn::listed::{Checked, Entry, find};
use crate::nn::optimizer::Group;
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::Type;
use std::fmt::Debug;

/// A way to pretrain a backbone on images without labels.
pub trait Method: Checked + Debug + Send + Sync {
    /// The turns of a step, in order.
    fn turns(&self) -> Vec<Turn> {
        vec![Turn::ONLY]
    }

    /// Records one turn: views, networks, the loss. Every turn must name the same parameters.
    fn record(&self, turn: &Turn, r: &mut Recorder<'_>) -> Result<Loss>;

    /// Records what follows the update of a turn, for instance a teacher that moves towards its student.
    fn after_update(&self, _turn: &Turn, _r: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    /// A layer that is updated in a way of its own, for instance not in the first epochs. A method with several turns
    /// cannot have one.
    fn group(&self) -> Option<Group> {
        None
    }

    /// Numbers that change from step to step, with the names of the scalars that the recordings read.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// The method's own inputs of a step on the images `indices`: names and bytes, in the types that were recorded.
    /// `_backbone` and `_size`, the height and width of the views, are those that [`Method::takes_backbone`] accepted.
    fn inputs(
        &self,
        _at: Progress,
        _indices: &[u32],
        _backbone: &dyn Backbone,
        _size: [usize; 2],
    ) -> Vec<(&'static str, Vec<u8>)> {
        Vec::new()
    }

    /// The number of images in a step must be a multiple of this, and at least twice this.
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

    /// What a person should know before the method learns from `_images` images: a key of the method, and the end of a
    /// sentence. `None` if there is nothing to say.
    fn note(&self, _images: usize) -> Option<Mistake> {
        None
    }

    /// Whether the method can pretrain this network on images of this height and width. The error is the first key of
    /// the method that forbids it, and the end of a sentence. With the key `model.arch`, the sentence begins with the
    /// method's name.
    fn takes_backbone(&self, _backbone: &dyn Backbone, _size: [usize; 2]) -> Result<(), Mistake> {
        Ok(())
    }

    /// For a parameter that is too large for the device: the method's key that makes it large, and its value. `None` if
    /// the backbone's width makes it large.
    fn size_key(&self, _parameter: &str, _ty: Type) -> Option<(&'static str, String)> {
        None
    }
}

/// The name of no pretraining in configs.
pub const NONE: &str = "none";
/// The default method.
pub const DEFAULT: &str = "simclr";

/// Declares the module of each line, and lists its `ENTRY`.
macro_rules! list {
    ($($method:ident,)*) => {
        $(pub mod $method;)*
        const METHODS: &[&Entry<dyn Method>] = &[$(&$method::ENTRY),*];
    };
}

// Only this list knows the names of the methods. It has the order in which people see them.
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

/// The method called `name`. The error names all methods.
pub fn method(name: &str) -> Result<&'static Entry<dyn Method>> {
    find("pretraining method", name, &methods())
}

/// Answers [`Method::size_key`]. Each of `heads` is a part of a parameter's name, a key and its value; the first whose
/// part is in the name counts.
fn head_key<const N: usize>(
    parameter: &str,
    heads: [(&str, &'static str, String); N],
) -> Option<(&'static str, String)> {
    heads.into_iter().find(|head| parameter.contains(head.0)).map(|(_, key, value)| (key, value))
}
