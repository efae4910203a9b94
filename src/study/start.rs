//! What a stage starts from: the backbone of a finished pretraining, a file that a person brings, or a file with every
//! tensor of the stage.

mod whole;

use super::config::{Config, RANDOM};
use super::dataset::TrainImages;
use super::folder::{Done, object};
use super::names::{BACKBONE, ENVIRONMENT, REDO};
use super::provenance::Provenance;
use super::results::read_collapsed;
use super::session::Job;
use super::turns::Recorded;
use crate::base::hash::{Hasher, sha256};
use crate::base::{Error, Result, files, seal};
use crate::nn::weights::{self, Classifier};
use crate::nn::{Backbone, Model, checkpoint};
use crate::tape::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
pub(super) use whole::Whole;

/// The key in a backbone's metadata that says whether its pretraining had collapsed.
pub(super) const COLLAPSED: &str = "collapsed";

/// What a pretraining starts from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Beginning<'a> {
    /// What `pretraining.init` of the config says.
    #[default]
    Config,
    /// The backbone in a file. All other weights are random.
    Backbone(&'a Path),
    /// Every tensor of the stage from a file.
    State {
        /// The path of a safetensors file.
        path: &'a Path,
        /// Whether the file may lack tensors, which are then random, and may hold other tensors, which are left out.
        partial: bool,
    },
}

/// What a pretraining starts from, after it is read.
pub(super) enum Begun {
    Random,
    Backbone(Start),
    Whole(Whole),
}

impl Begun {
    pub fn read(config: &Config, data_root: &Path, beginning: Beginning<'_>) -> Result<Begun> {
        let backbone = |path: &Path| Ok(Begun::Backbone(Start::given(Brought { path, keep_classifier: false })?));
        match beginning {
            Beginning::Config if config.pretraining.init == RANDOM => Ok(Begun::Random),
            Beginning::Config => backbone(&data_root.join(&config.pretraining.init)),
            Beginning::Backbone(path) => backbone(path),
            Beginning::State { path, partial } => Ok(Begun::Whole(Whole::given(path, partial)?)),
        }
    }

    /// It is an error if a backbone that a person brought says that it is another one than `model`.
    pub fn expect_model(&self, model: &Model) -> Result<()> {
        let Begun::Backbone(Start { path, model: Some(own), .. }) = self else { return Ok(()) };
        if own == model {
            return Ok(());
        }
        let path = path.display();
        Err(Error::Data(format!(
            "{path} holds a backbone {own}, and the pretraining is of {model}; give the file's in [model] of the config, or \
             take other weights"
        )))
    }

    /// The address of what was read.
    pub fn address(&self) -> &str {
        match self {
            Begun::Random => RANDOM,
            Begun::Backbone(start) => &start.address,
            Begun::Whole(whole) => &whole.address,
        }
    }

    /// Loads it into the state of a stage with these turns.
    pub fn load(&self, job: &Job<'_>, backbone: &dyn Backbone, state: &mut State, turns: &[Recorded]) -> Result<()> {
        match self {
            Begun::Random => Ok(()),
            Begun::Backbone(start) => start.load(job, &[], backbone, state),
            Begun::Whole(whole) => whole.load(job, state, turns),
        }
    }

    /// What `environment.json` tells people about it.
    pub fn about(&self) -> Value {
        let (path, sha256, what) = match self {
            Begun::Random => return Value::Null,
            Begun::Backbone(start) => (&start.path, &start.sha256, "backbone"),
            Begun::Whole(whole) => (&whole.path, &whole.sha256, "every tensor"),
        };
        json!({ "what": what, "file": path.file_name().map(|n| n.to_string_lossy()), "sha256": sha256 })
    }
}

/// Weights from a file that a person brings.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'a> {
    /// A safetensors file, or a .pt or .pth file of PyTorch.
    pub path: &'a Path,
    /// Whether its classifier is kept. Then the classifier's classes must be the data's. Otherwise training begins with
    /// a new classifier.
    pub keep_classifier: bool,
}

/// How the images were prepared that a network learnt from. The metadata of the network's file hold this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageForm {
    /// Side in pixels of the square images that the network sees.
    pub image_size: usize,
    /// Side in pixels of the square images before they are resized to that.
    pub store_size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// Subtracted from each channel, as a share of 255.
    pub mean: [f32; 3],
    /// Each channel is then divided by this.
    pub std: [f32; 3],
}

impl ImageForm {
    /// The key of the metadata.
    pub const KEY: &str = "images";

    /// From the job's config and the statistics of the training images.
    pub(super) fn new(job: &Job<'_>, mean: [f32; 3], std: [f32; 3]) -> Self {
        let c = &job.config.data;
        ImageForm { image_size: c.image_size, store_size: c.store_size, channels: c.channels, mean, std }
    }

    /// From the metadata of a file of this program. `None` if they hold nothing, or something impossible.
    pub(super) fn of(metadata: &Map<String, Value>) -> Option<Self> {
        let form: Self = serde_json::from_value(metadata.get(Self::KEY)?.clone()).ok()?;
        let whole = form.mean.iter().chain(&form.std).all(|v| v.is_finite()) && form.std.iter().all(|v| *v > 0.0);
        (whole && [1, 3].contains(&form.channels) && form.image_size > 0).then_some(form)
    }
}

/// The metadata of a backbone's file: what made it, and what another program or command must know to use it. `images`
/// are the images that it was made on. `classes` are those of its classifier, empty without one.
pub(super) fn backbone_metadata(
    job: &Job<'_>,
    images: &TrainImages,
    (method, model): (&str, &Model),
    classes: &[String],
    address: &str,
) -> Map<String, Value> {
    let mut all = object(json!({
        "method": method, "data": images.name, "address": address, "model": model,
        ImageForm::KEY: ImageForm::new(job, images.mean, images.std),
    }));
    if !classes.is_empty() {
        all.insert("classes".to_string(), json!(classes)); // compared by commands that keep the classifier
    }
    all
}

/// The backbone that training starts from.
pub(super) struct Start {
    pub path: PathBuf,
    /// What made it, for the results.
    pub made_by: String,
    /// The backbone's settings, if a person took the file from a folder of this program.
    pub model: Option<Model>,
    /// The hash of what made it, and of its bytes.
    pub address: String,
    /// The hash of the settings that made it, without their seed; of a file that a person brings, of its bytes.
    pub settings: String,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// Whether its pretraining had collapsed. `None` if that is not known.
    pub collapsed: Option<bool>,
    /// Whether its classifier is kept.
    classifier: bool,
    /// Whether a person brought it.
    brought: bool,
}

impl Start {
    /// The backbone of a finished pretraining.
    pub fn pretrained(path: PathBuf, method: &str, done: &Done) -> Result<Start> {
        let Some(contents) = done.files.get(BACKBONE) else {
            return Err(Error::damaged(&path, "the done beside it does not name it", REDO));
        };
        let sha256 = contents.sha256.clone();
        let address = Hasher::new().part(&done.address).part(&sha256).short();
        let made_by = method.to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let (collapsed, settings) = (read_collapsed(folder, done)?, Provenance::of(folder)?.settings_hash()?);
        Ok(Start {
            path,
            made_by,
            model: None,
            address,
            settings,
            sha256,
            collapsed,
            classifier: false,
            brought: false,
        })
    }

    /// A file that a person brings. What made it is in its metadata. Without such metadata it is the file's name.
    pub fn given(Brought { path, keep_classifier }: Brought<'_>) -> Result<Start> {
        let bytes = weights::read(path)?;
        let metadata = checkpoint::read_metadata(path, &bytes)?;
        let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let made_by = metadata.get("method").and_then(|m| m.as_str()).map_or_else(stem, str::to_string);
        let sha256 = sha256(&bytes);
        let address = Hasher::new().part(&sha256);
        let address = if keep_classifier { address.part("with its classifier").short() } else { address.short() };
        let (path, model) = (path.to_path_buf(), model_of(path, &metadata));
        let collapsed = metadata.get(COLLAPSED).and_then(Value::as_bool);
        let (settings, classifier) = (sha256.clone(), keep_classifier);
        Ok(Start { path, made_by, model, address, settings, sha256, collapsed, classifier, brought: true })
    }

    /// The bytes of its file. It is an error if they are no longer those that the address was made from.
    fn bytes(&self) -> Result<Vec<u8>> {
        let found = files::bytes(&self.path);
        let whole = found.and_then(|bytes| match sha256(&bytes) == self.sha256 {
            true => Ok(bytes),
            false => Err("it is not the backbone that was written there".to_string()),
        });
        // A file of the user's own that has changed is not damaged, and must not be deleted.
        whole.map_err(|why| match self.brought {
            true => Error::Data(format!(
                "{} changed while the data was read; run the same command again",
                self.path.display()
            )),
            false => Error::damaged(&self.path, why, REDO),
        })
    }

    /// Loads it into `state`. It is an error if its file has changed. Notes say what was done to make it fit.
    pub fn load(&self, job: &Job<'_>, classes: &[String], backbone: &dyn Backbone, state: &mut State) -> Result<()> {
        let bytes = self.bytes()?;
        let keep = self.classifier.then(|| Classifier { classes, features: backbone.features() });
        let file = (self.path.as_path(), &bytes[..]);
        let notes = weights::load(file, job.gpu, state, "backbone.", &job.backbone_tensors(backbone)?, keep)?;
        notes.iter().for_each(|n| job.progress.note(n));
        Ok(())
    }
}

/// The settings of the backbone in a file with these metadata. If an earlier version wrote the metadata, the settings
/// are those in the `environment.json` beside the file, if that is of the same run. A method may have its own backbone,
/// which the config of a command does not know.
pub(super) fn model_of(path: &Path, metadata: &Map<String, Value>) -> Option<Model> {
    if let Some(model) = metadata.get("model") {
        return serde_json::from_value(model.clone()).ok();
    }
    let text = files::text(&path.with_file_name(ENVIRONMENT)).ok()?;
    let made = seal::opened(&text).ok()?;
    let own = made.get("address").is_some_and(|address| metadata.get("address") == Some(address));
    let model = made.get("settings")?.get("model").filter(|_| own)?;
    serde_json::from_value(model.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_somebody_brought_are_not_to_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let file = safetensors::serialize(Vec::<(String, safetensors::tensor::TensorView<'_>)>::new(), None).unwrap();
        std::fs::write(&path, &file).unwrap();
        let start = Start::given(Brought { path: &path, keep_classifier: false }).unwrap();
        assert_eq!(start.bytes().unwrap(), file);
        for change in ["changed", ""] {
            std::fs::write(&path, change).unwrap();
            let said = start.bytes().unwrap_err().to_string();
            assert!(said.contains("changed while the data was read; run the same command again"), "{said}");
            assert!(!said.contains("delete") && !said.contains("redo"), "{said}");
        }
        let made = Start { brought: false, ..start };
        assert!(made.bytes().unwrap_err().to_string().contains("--redo-damaged"));
    }
}
