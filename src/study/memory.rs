//! The device memory that a stage holds at its peak. It is computed from shapes before anything runs, and counted when
//! the stage has run.

use super::fit::Sizes;
use super::saved::read_back_bytes;
use super::session::Job;
use crate::base::Result;
use crate::tape::demand::{lacking_bytes, padded, size};
use crate::tape::{Schedule, State, Tape};

/// What a stage will hold in the device's memory at its peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The parts: the purpose of some bytes, and how many bytes.
    pub parts: [(&'static str, u64); 5],
    /// The most bytes that a kernel binds in one buffer, and the layer and op of that kernel.
    pub largest: (u64, String),
}

/// What a stage would need, for a person who has not started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The name of the stage.
    pub name: String,
    /// The config's key for the images of a step.
    pub batch_key: String,
    /// Images in a step.
    pub batch: usize,
    /// The config's key for the images of a micro-batch, and their number. `None` if a step has no micro-batches.
    pub micro_batch: Option<(String, usize)>,
    /// The most images in a step that fit the device, whatever the number of images in the data.
    pub largest_batch: usize,
    /// How many training images there are.
    pub images: usize,
    /// Whether they stream from pages on disk instead of being on the device.
    pub streamed: bool,
    /// Its memory.
    pub promise: Promise,
    /// Its memory with `run.recompute`, if the config does not set that.
    pub recomputed: Option<Promise>,
    /// The most bytes that the adapter binds in one buffer.
    pub binding_bytes: u64,
    /// The budget of device memory in bytes, if there is one.
    pub budget_bytes: Option<u64>,
}

/// A stage to be planned. Its needs are known from what it records.
pub(super) struct Outline<'a> {
    /// Its name.
    pub name: String,
    /// The config's key for the images of a step.
    pub batch_key: &'a str,
    /// Images in a step, and the most that may be asked for.
    pub batch: (usize, usize),
    /// The batches that it can have.
    pub sizes: Sizes,
    /// See [`Planned::micro_batch`].
    pub micro_batch: Option<(String, usize)>,
    /// The training images that there are.
    pub images: usize,
    /// See [`Planned::streamed`].
    pub streamed: bool,
    /// What it records for a step of so many.
    pub tapes: &'a dyn Fn(usize) -> Result<Vec<Tape>>,
}

impl Planned {
    /// Plans a stage whose recordings fit with its batch, over `state` and the tensors that `state` still lacks.
    pub(super) fn of(job: &Job<'_>, outline: Outline<'_>, fitting: &[Schedule], state: &State) -> Result<Planned> {
        let Outline { name, batch_key, batch: (batch, most), sizes, micro_batch, images, streamed, tapes } = outline;
        let again = |t: &Tape| job.schedule_by(t, true);
        let again = (!job.config.run.recompute).then(|| tapes(batch)?.iter().map(again).collect::<Result<Vec<_>>>());
        Ok(Planned {
            name,
            batch_key: batch_key.to_string(),
            batch,
            micro_batch,
            largest_batch: job.largest_batch(state, (batch, most), sizes, tapes)?,
            images,
            streamed,
            promise: Promise::of(job, fitting, state),
            recomputed: again.transpose()?.map(|schedules| Promise::of(job, &schedules, state)),
            binding_bytes: job.gpu.caps().binding_bytes,
            budget_bytes: job.gpu.options().memory_budget_bytes,
        })
    }
}

impl Promise {
    /// The promise of a stage that runs plans of these schedules. It counts what is allocated already, `state`, and the
    /// tensors that `state` still lacks.
    pub(super) fn of(job: &Job<'_>, schedules: &[Schedule], state: &State) -> Promise {
        let plans = schedules.iter().map(Schedule::plan_bytes).sum::<u64>();
        let slabs = schedules.iter().flat_map(|s| &s.slabs).copied().map(padded).sum::<u64>();
        Promise {
            parts: [
                ("images", job.gpu.meter().live_bytes()),
                ("parameters and other state", lacking_bytes(schedules, state)),
                ("inputs and constants", plans - slabs),
                ("activations and gradients", slabs),
                ("a checkpoint's buffer", read_back_bytes(schedules, state)),
            ],
            largest: schedules.iter().filter_map(Schedule::largest_binding).max_by_key(|l| l.0).unwrap_or_default(),
        }
    }

    /// The sum of all parts.
    pub fn peak_bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.1).sum()
    }

    /// Says the promise before the stage runs, and starts to count.
    pub(super) fn begin(&self, job: &Job<'_>) {
        job.gpu.meter().restart_peak();
        let parts = self.parts.iter().map(|(what, bytes)| format!("{} {what}", size(*bytes)));
        let (peak, parts) = (size(self.peak_bytes()), parts.collect::<Vec<_>>().join(", "));
        job.progress.note(&format!("device memory: {peak} are promised: {parts}"));
    }

    /// Says the most memory that was held since [`Promise::begin`].
    pub(super) fn end(&self, job: &Job<'_>) {
        let (held, peak) = (size(job.gpu.meter().peak_bytes()), size(self.peak_bytes()));
        job.progress.note(&format!("device memory: {held} were held at the peak, {peak} were promised"));
    }
}

#[cfg(test)]
mod tests {
    use super::Promise;
    use crate::base::progress::Silent;
    use crate::device::{Gpu, GpuOptions};
    use crate::study::testing::{Heard, with_job};
    use crate::study::{Job, PretrainOptions};

    const SMALL: &str = "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.125\n[pretraining]\n\
                         batch_size = 4\nepochs = 1\nwarmup_epochs = 0\nsimclr.projection_dims = [16, 8]\n";
    const IMAGES: &str = "phantom:covid?train=9&val=4&test=4";

    /// The promise for a run equals what the allocator holds, to the byte.
    #[test]
    fn a_promise_is_kept() {
        let heard = Heard::default();
        with_job(SMALL, &heard, |job| {
            let planned = job.plan_pretraining(IMAGES, "simclr", 0).unwrap();
            job.pretrain(IMAGES, "simclr", 0, PretrainOptions::default()).unwrap();
            assert_eq!(job.gpu.meter().peak_bytes(), planned.promise.peak_bytes(), "{:?}", planned.promise);
            let lines = heard.lines();
            let said = |words: [&str; 2]| lines.iter().any(|l| words.iter().all(|w| l.contains(w)));
            assert!(said(["device memory", "are promised: "]) && said(["were held", "were promised"]), "{lines:?}");
        });
    }

    /// A step that computes values again needs less, and an error says that it would fit.
    #[test]
    fn values_computed_again_need_less() {
        with_job(SMALL, &Silent, |job| {
            let planned = |gpu: &Gpu, recompute: bool| {
                let mut config = job.config.clone();
                config.run.recompute = recompute;
                let job = Job { gpu, config: &config, kernels: job.kernels.clone(), ..*job };
                job.plan_pretraining(IMAGES, "simclr", 0)
            };
            let [kept, again] = [false, true].map(|recompute| planned(job.gpu, recompute).unwrap());
            assert_eq!((kept.recomputed.as_ref(), &again.recomputed), (Some(&again.promise), &None));
            let both = [kept.promise, again.promise];
            let activations = |p: &Promise| p.parts[3].1;
            assert!(activations(&both[1]) < activations(&both[0]), "{both:?}");
            let between = both.each_ref().map(Promise::peak_bytes).iter().sum::<u64>() / 2;
            let tight = GpuOptions { memory_budget_bytes: Some(between), ..GpuOptions::default() };
            let tight = Gpu::open(&tight).unwrap();
            let e = planned(&tight, false).unwrap_err().to_string();
            let (hint, key) =
                ("with run.recompute = true they fit", "the largest pretraining.batch_size that fits is ");
            assert!(e.contains(hint) && e.contains(key), "{e}");
            assert!(planned(&tight, true).unwrap().largest_batch >= 4);
        });
    }

    /// A training can be planned, too. The plan says what the training holds.
    #[test]
    fn a_training_is_planned() {
        let text = "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.125\n[training]\nbatch_size = 4\nepochs = 1\n";
        with_job(text, &Silent, |job| {
            let noise = (crate::noise::NoiseKind::default(), None);
            let planned = job.plan_training(IMAGES, noise, 0).unwrap();
            assert_eq!((planned.batch, planned.images, &*planned.batch_key), (4, 9, "training.batch_size"));
            assert!(planned.largest_batch > 1000 && planned.recomputed.is_some(), "{planned:?}");
            assert_eq!(job.gpu.meter().live_bytes(), 0, "nothing is left on the device");
            job.gpu.meter().restart_peak();
            job.train(IMAGES, None, noise, 0).unwrap();
            let held = job.gpu.meter().peak_bytes();
            assert!(held >= planned.promise.peak_bytes(), "{held} were held, {:?}", planned.promise);
            let most = planned.promise.peak_bytes() + planned.promise.peak_bytes() / 4;
            assert!(held <= most, "{held} were held with the neighbours, {:?}", planned.promise);
        });
    }

    #[test]
    fn a_plan_names_the_largest_batch_and_makes_nothing() {
        with_job(SMALL, &Silent, |job| {
            let planned = |gpu: &Gpu, batch: usize| {
                let mut config = job.config.clone();
                config.pretraining.optimization.batch_size = batch;
                let job = Job { gpu, config: &config, kernels: job.kernels.clone(), ..*job };
                job.plan_pretraining(IMAGES, "simclr", 0)
            };
            let six = planned(job.gpu, 6).unwrap();
            assert_eq!((six.batch, six.images), (6, 9));
            assert!(six.largest_batch > 1000, "it is the device's bound, not that of nine images: {six:?}");
            assert!(six.promise.largest.0 > 0 && six.promise.largest.0 <= six.binding_bytes, "{six:?}");
            assert_eq!(job.gpu.meter().live_bytes(), 0, "nothing is left on the device");
            // This many bytes are what a step of six needs at its peak, and no more: a checkpoint's buffer counts, too.
            let bytes = six.promise.peak_bytes();
            assert!(six.promise.parts[4].1 > 0);
            let gpu = Gpu::open(&GpuOptions { memory_budget_bytes: Some(bytes), ..GpuOptions::default() }).unwrap();
            let four = planned(&gpu, 4).unwrap();
            assert_eq!((four.largest_batch, four.budget_bytes), (6, Some(bytes)));
            let e = planned(&gpu, 8).unwrap_err();
            assert!(
                e.exit_code() == 2 && e.to_string().ends_with("the largest pretraining.batch_size that fits is 6"),
                "{e}"
            );
        });
    }
}
