//! An open device: its buffers, what is written to them and read back, and the errors that wgpu reports.

use super::adapter::{Adapter, AdapterChoice, Caps, choose, describe, enumerate};
use super::buffer::{Buffer, Meter, Part};
use super::cooperative;
use super::pipeline::{Pipelines, Waiting};
use super::tree::Tree;
use crate::base::{Error, Result};
use std::sync::{Arc, Mutex};

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// `vulkan`, `metal` or `dx12`; any of them when `None`.
    pub backend: Option<String>,
    /// Keep the runtime checks in every kernel (most tests do; a study does not).
    pub checked: bool,
    /// Hand labels to the driver, and mark each dispatch with its layer. Nsight, RGP, RenderDoc and Xcode show them. It
    /// costs a little for each dispatch.
    pub labels: bool,
    /// Refuse plans that would need more device memory than this.
    pub memory_budget_bytes: Option<u64>,
    /// Use cooperative matrices if the adapter has them. wgpu calls them experimental: a bug in wgpu or in the driver
    /// can have any effect, including wrong values.
    pub experimental_cooperative_matrix: bool,
    /// Edited shaders to run instead of the committed ones; kernels with an edited piece keep their runtime checks.
    pub shaders: Arc<Tree>,
}

/// An open device.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Pipelines,
    pub(super) waiting: Waiting,
    pub(super) timestamp_period_ns: Option<f32>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    meter: Arc<Meter>,
    adapter: Adapter,
    options: GpuOptions,
}

#[derive(Clone, Debug)]
enum Trouble {
    Lost(String),
    Uncaptured(String),
}

/// A lost device may be reported after the error that it causes. This many polls, 10 ms apart, wait for the report.
const ECHO_POLLS: usize = 100;

impl Gpu {
    /// Opens an adapter with all its limits and the features the kernels can use.
    pub fn open(options: &GpuOptions) -> Result<Gpu> {
        let backend = options.backend.as_deref();
        let found = choose(enumerate(backend, options.labels)?, &options.adapter, backend)?;
        let mut adapter = describe(&found);
        let mut wish = wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if options.experimental_cooperative_matrix {
            adapter.caps.cooperative = cooperative::usable(&found.cooperative_matrix_properties());
            if adapter.caps.cooperative.is_empty() {
                return Err(Error::Usage(format!(
                    "{} has no cooperative matrices that a kernel is written for (16x16x16 or 8x8x8, sums in f32); leave \
                     --experimental-cooperative-matrix out",
                    adapter.name
                )));
            }
            wish |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            experimental_features = cooperative::experimental();
        }
        let features = found.features() & wish;
        let (device, queue) = pollster::block_on(found.request_device(&wgpu::DeviceDescriptor {
            label: Some("wgslab"),
            required_features: features,
            required_limits: found.limits(),
            experimental_features,
            memory_hints: wgpu::MemoryHints::MemoryUsage, // plans lease whole buffers: large blocks would waste memory
            ..Default::default()
        }))
        .map_err(|e| Error::NoAdapter(format!("cannot open {}: {e}", adapter.name)))?;
        let trouble = Arc::new(Mutex::new(None));
        watch(&device, &trouble);
        let timestamp_period_ns =
            features.contains(wgpu::Features::TIMESTAMP_QUERY).then(|| queue.get_timestamp_period());
        Ok(Gpu {
            device,
            queue,
            pipelines: Pipelines::default(),
            waiting: Arc::new(|_| Ok(())),
            timestamp_period_ns,
            trouble,
            meter: Arc::default(),
            adapter,
            options: options.clone(),
        })
    }

    /// Facts of the adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// What the adapter can do.
    pub fn caps(&self) -> &Caps {
        &self.adapter.caps
    }

    /// How the device was opened.
    pub fn options(&self) -> &GpuOptions {
        &self.options
    }

    /// The edited shaders that it runs.
    pub fn tree(&self) -> &Tree {
        &self.options.shaders
    }

    /// What is allocated.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Gives an error if the device was lost, or if wgpu has reported an error since it was opened.
    pub fn check(&self) -> Result<()> {
        let trouble = || match self.trouble.lock() {
            Ok(t) => t.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        let mut found = trouble();
        // The error may follow from a loss that is not reported yet. Polling delivers the report once the running work
        // is over.
        for _ in 0..ECHO_POLLS {
            if !matches!(found, Some(Trouble::Uncaptured(_))) {
                break;
            }
            let _ = self.device.poll(wgpu::PollType::Poll);
            std::thread::sleep(std::time::Duration::from_millis(10));
            found = trouble();
        }
        match found {
            None => Ok(()),
            Some(Trouble::Lost(why)) => Err(Error::TryAgain(format!(
                "the device {} was lost: {why}; the same command goes on from the last checkpoint",
                self.adapter.name
            ))),
            Some(Trouble::Uncaptured(why)) => {
                Err(Error::Failed(format!("wgpu reports an error on {}: {why}", self.adapter.name)))
            }
        }
    }

    /// From now on `waiting` is called while a kernel is being compiled. Its error ends the wait, not the compiler.
    pub fn while_compiling(&mut self, waiting: Waiting) {
        self.waiting = waiting;
    }

    /// From now on plans that need more than `bytes` are refused.
    pub fn set_memory_budget(&mut self, bytes: u64) {
        self.options.memory_budget_bytes = Some(bytes);
    }

    /// What is planned from now on is planned for an adapter with other abilities. Nothing of it may run.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self, change: impl FnOnce(&mut Caps)) {
        change(&mut self.adapter.caps);
    }

    /// A storage buffer of `bytes` zeros that can be copied from and to. An error if it is above the adapter's limit.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        if bytes.next_multiple_of(16) > self.caps().binding_bytes {
            return Err(Error::Failed(format!(
                "{label} needs {bytes} bytes in one buffer and {} binds at most {}; use a smaller batch or image",
                self.adapter.name,
                self.caps().binding_bytes
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.raw_buffer(label, bytes, usage)
    }

    /// A uniform buffer holding `bytes`.
    pub(super) fn uniform(&self, label: &str, bytes: &[u8]) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let b = self.raw_buffer(label, bytes.len() as u64, usage)?;
        self.queue.write_buffer(&b.raw, 0, bytes);
        Ok(b)
    }

    pub(super) fn raw_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        // Padded to 16 bytes, so that kernels may read any tensor as whole vec4.
        let size = bytes.max(16).next_multiple_of(16);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.check()?;
        Ok(Buffer::new(raw, self.meter.clone()))
    }

    /// Writes `bytes` at `offset`, and zeros up to the end of the last word. It takes effect before all work that is
    /// submitted later.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        // One write at a time keeps wgpu's staging memory small: it is freed at the next submit.
        for (i, chunk) in bytes.chunks(16 << 20).enumerate() {
            self.put(buffer, offset + (i as u64) * (16 << 20), chunk);
            self.queue.submit([]);
        }
        self.check()
    }

    /// Writes a small input of a step. It takes effect after all work that was submitted before, and before all that is
    /// submitted later.
    pub fn stage(&self, part: &Part, bytes: &[u8]) {
        self.put(&part.buffer, part.offset, bytes);
    }

    /// wgpu copies whole words; an odd number of halves ends within one.
    fn put(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        self.queue.write_buffer(&buffer.raw, offset, words);
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            self.queue.write_buffer(&buffer.raw, offset + words.len() as u64, &word);
        }
    }

    /// Reads the first `bytes` of a buffer, after waiting for all work before it.
    pub fn read(&self, buffer: &Buffer, bytes: u64) -> Result<Vec<u8>> {
        self.read_from(buffer, 0, bytes)
    }

    /// Reads the first `bytes` of a part of a buffer, after waiting for all work before it.
    pub fn read_part(&self, part: &Part, bytes: u64) -> Result<Vec<u8>> {
        self.read_from(&part.buffer, part.offset, bytes)
    }

    /// Copies all of `from` to the beginning of `to`, before all work that is submitted later.
    pub fn copy(&self, from: &Part, to: &Part) -> Result<()> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&from.buffer.raw, from.offset, &to.buffer.raw, to.offset, from.bytes);
        self.queue.submit([encoder.finish()]);
        self.check()
    }

    fn read_from(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let size = bytes.next_multiple_of(16);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.raw_buffer("read-back", size, usage)?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&buffer.raw, offset, &staging.raw, 0, size);
        self.queue.submit([encoder.finish()]);
        staging.raw.map_async(wgpu::MapMode::Read, .., |_| {}); // if this fails, reading the range below fails
        self.wait()?;
        let view = staging.raw.get_mapped_range(..).map_err(|e| {
            Error::TryAgain(format!("cannot read back from {}: {e}; run the same command again", self.adapter.name))
        })?;
        Ok(view[..bytes as usize].to_vec())
    }

    /// Waits until everything submitted is done.
    pub fn wait(&self) -> Result<()> {
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        polled.map(drop).map_err(|e| Error::TryAgain(format!("waiting for {} failed: {e}", self.adapter.name)))
    }

    /// Loses the device on purpose, to test what a driver reset does to a run.
    pub fn lose(&self) {
        self.device.destroy();
        let _ = self.device.poll(wgpu::PollType::Poll); // delivers the loss; there is nothing left to wait for
    }
}

/// wgpu writes a cause over several indented lines. An error here must be one sentence.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps the first problem, instead of wgpu's default, which is a panic.
fn watch(device: &wgpu::Device, trouble: &Arc<Mutex<Option<Trouble>>>) {
    fn keep(slot: &Mutex<Option<Trouble>>, new: Trouble) {
        let mut t = match slot.lock() {
            Ok(t) => t,
            Err(poisoned) => poisoned.into_inner(),
        };
        // A loss explains the other errors, so it is kept.
        if t.is_none() || matches!(new, Trouble::Lost(_)) {
            *t = Some(new);
        }
    }
    let slot = trouble.clone();
    device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
        keep(&slot, Trouble::Uncaptured(one_line(&e.to_string())))
    }));
    let slot = trouble.clone();
    device.set_device_lost_callback(move |reason, message| keep(&slot, Trouble::Lost(format!("{reason:?} {message}"))));
}

/// The default adapter for a test of a module. None where there is none, which is said past what the runner captures of a
/// test that passes.
#[cfg(test)]
pub(crate) fn for_test() -> Option<Gpu> {
    use std::io::Write;
    if super::adapter::adapters(None).is_ok_and(|list| list.is_empty()) {
        assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "this test needs an adapter");
        std::io::stderr().write_all(b"SKIPPED: no adapter. REQUIRE_GPU=1 makes this a failure.\n").unwrap();
        return None;
    }
    Some(Gpu::open(&GpuOptions::default()).unwrap())
}
