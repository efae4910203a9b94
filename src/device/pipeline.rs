//! Pipelines. Each is made once for a kernel and kept, because wgpu does not cache them. A driver may take seconds for
//! one, sometimes minutes. Nothing interrupts a driver, so it works on threads of their own, and a caller that waits for
//! it may stop waiting.

use super::kernel::Kernel;
use super::shader::{Access, STACK_BYTES, create_module};
use super::wgsl::{Layout, Shader};
use super::{Caps, Gpu};
use crate::base::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A pipeline with the layout its bind groups need.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Access of its storage buffers, in order.
    pub(super) buffers: Vec<Access>,
    /// Bytes of its `Params`.
    pub(super) params_bytes: u32,
}

/// A pipeline without the driver's part.
struct Unmade {
    layout: wgpu::BindGroupLayout,
    buffers: Vec<Access>,
    params_bytes: u32,
}

impl Unmade {
    fn with(&self, raw: wgpu::ComputePipeline) -> Pipeline {
        let (layout, buffers) = (self.layout.clone(), self.buffers.clone());
        Pipeline { raw, layout, buffers, params_bytes: self.params_bytes }
    }
}

/// A shader, known by its text alone. Kernels whose texts are the same share a pipeline, whatever they are called: a convolution
/// and its gradient to the input often run the same product. A step of ResNet-18 on a software adapter has 41 kernels and 34 texts.
struct ByText(Arc<Shader>);

impl PartialEq for ByText {
    fn eq(&self, other: &ByText) -> bool {
        self.0.compiled() == other.0.compiled()
    }
}

impl Eq for ByText {}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.compiled().hash(state);
    }
}

/// The texts and pipelines made so far.
#[derive(Default)]
pub(super) struct Pipelines {
    shaders: Mutex<HashMap<Kernel, Arc<Shader>>>,
    made: Mutex<HashMap<ByText, Arc<Pipeline>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(held) => held,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// A callback that is called repeatedly while kernels are compiled. Its error ends the wait, and is returned to whoever asked for
/// the pipeline.
pub type Waiting = Arc<dyn Fn(&Compiling<'_>) -> Result<()> + Send + Sync>;

/// The kernel that a driver is compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiling<'a> {
    /// The kernel's name and variant.
    pub kernel: &'a str,
    /// How many times the callback was called before during this compilation.
    pub asked: usize,
    /// How many more kernels of the same plan are still to be compiled.
    pub left: usize,
}

/// The most kernels that a driver is given at once, on a machine with more cores too: each takes memory while it compiles.
const MOST_AT_ONCE: usize = 8;

/// The time between two calls of the callback.
const TICK: Duration = Duration::from_millis(100);

/// A piece of work with the name of its kernel.
type Job<T> = (String, Box<dyn FnOnce() -> T + Send>);

/// What a thread tells of the job at an index.
enum Told<T> {
    Begun(usize),
    Done(usize, T),
}

/// Runs `jobs` on `threads` threads of their own, and gives each result with the index of its job to `done` when it is there. An
/// error is one of `waiting`, after which no further job begins and those that run go on alone, or names a job that panicked, after
/// all others. A thread's stack is large enough for any shader of bounded nesting.
fn beside<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    threads: usize,
    waiting: &Waiting,
    done: &mut dyn FnMut(usize, T),
) -> Result<()> {
    let failed = |name: &str, what: &str| Error::Failed(format!("{name} could not be compiled: {what}"));
    let names: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
    let works: VecDeque<_> = jobs.into_iter().map(|(_, work)| work).enumerate().collect();
    let works = Arc::new(Mutex::new(works));
    let (tell, told) = channel();
    for at in 0..threads.min(names.len()) {
        let (works, tell) = (works.clone(), tell.clone());
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            loop {
                let Some((i, work)) = lock(&works).pop_front() else { break };
                // If nobody waits any more, no result is needed.
                if tell.send(Told::Begun(i)).and_then(|()| tell.send(Told::Done(i, work()))).is_err() {
                    break;
                }
            }
        });
        match spawned {
            Ok(_) => {}
            Err(_) if at > 0 => break, // fewer threads do the same work
            Err(e) => return Err(failed(&names[0], &format!("there is no thread for it ({e})"))),
        }
    }
    drop(tell); // so that threads that gave up are noticed
    let (mut open, mut asked) = (vec![true; names.len()], vec![0; names.len()]);
    let (mut running, mut left, mut tick) = (Vec::new(), names.len(), Instant::now() + TICK);
    while left > 0 {
        match told.recv_timeout(tick.saturating_duration_since(Instant::now())) {
            Ok(Told::Begun(i)) => running.push(i),
            Ok(Told::Done(i, result)) => {
                running.retain(|&r| r != i);
                (open[i], left) = (false, left - 1);
                done(i, result);
            }
            Err(RecvTimeoutError::Timeout) => {
                tick = Instant::now() + TICK;
                // Of those that run, the first to begin.
                if let Some(&i) = running.first() {
                    waiting(&Compiling { kernel: &names[i], asked: asked[i], left: left - 1 })?;
                    asked[i] += 1;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match open.iter().position(|open| *open) {
        None => Ok(()),
        Some(i) => Err(failed(&names[i], "the compiler gave up on it")),
    }
}

impl Gpu {
    /// The complete text of `kernel` with its layout, made at the first call.
    pub fn shader(&self, kernel: &Kernel) -> Result<Arc<Shader>> {
        let mut known = lock(&self.pipelines.shaders);
        if let Some(s) = known.get(kernel) {
            return Ok(s.clone());
        }
        let s = Arc::new(kernel.shader(self.tree())?);
        known.insert(kernel.clone(), s.clone());
        Ok(s)
    }

    /// Makes the pipelines of `shaders` that are not made yet, as many at once as the machine has cores, up to
    /// [`MOST_AT_ONCE`]. What could be made is kept, also where another fails.
    pub(crate) fn prepare(&self, shaders: &[Arc<Shader>]) -> Result<()> {
        let mut known = lock(&self.pipelines.made);
        let (mut new, mut jobs) = (Vec::<(Arc<Shader>, Unmade)>::new(), Vec::new());
        for shader in shaders {
            let apart = |s: &Arc<Shader>| s.compiled() != shader.compiled();
            if !known.contains_key(&ByText(shader.clone())) && new.iter().all(|(s, _)| apart(s)) {
                let (unmade, job) = self.unmade(shader)?;
                new.push((shader.clone(), unmade));
                jobs.push(job);
            }
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MOST_AT_ONCE);
        let mut failed: Option<Error> = None;
        let ended = beside(jobs, threads, &self.waiting, &mut |i, made| {
            let (shader, unmade) = &new[i];
            let made = made.map_err(|why| Error::Failed(format!("{}: {why}", shader.shown())));
            match made.and_then(|raw| self.check().map(|()| raw)) {
                Ok(raw) => {
                    self.meter().pipeline_made();
                    known.insert(ByText(shader.clone()), Arc::new(unmade.with(raw)));
                }
                Err(e) => failed = failed.take().or(Some(e)),
            }
        });
        failed.map_or(ended, Err)
    }

    /// The pipeline of a text, made at the first call.
    pub(super) fn pipeline(&self, shader: &Arc<Shader>) -> Result<Arc<Pipeline>> {
        let key = ByText(shader.clone());
        if let Some(made) = lock(&self.pipelines.made).get(&key) {
            return Ok(made.clone());
        }
        self.prepare(std::slice::from_ref(shader))?;
        lock(&self.pipelines.made)
            .get(&key)
            .cloned()
            .ok_or_else(|| Error::Failed(format!("{} was not compiled", shader.shown())))
    }

    /// What a pipeline has beside the driver's part, and the driver's part as a job.
    fn unmade(&self, shader: &Shader) -> Result<(Unmade, Job<Result<wgpu::ComputePipeline, String>>)> {
        shader.expect_valid()?;
        let reflected = shader.layout();
        fits(&shader.shown(), reflected, self.caps())?;
        let (checked, cleared) = (self.options().checked || shader.needs_checks(), shader.is_foreign());
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = Vec::new();
        if reflected.params_bytes > 0 {
            entries.push(entry(0, wgpu::BufferBindingType::Uniform));
        }
        for (i, access) in reflected.buffers.iter().enumerate() {
            let read_only = *access == Access::Read;
            entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }));
        }
        // The name shows in a debugger which of an op's variants runs: the first of those that share the text.
        let name = format!("{} [{}]", shader.name(), shader.variant());
        let label = Some(name.as_str());
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let (device, text, label) = (self.device.clone(), shader.wgsl().to_string(), name.clone());
        let make = move || {
            let module = create_module(&device, &label, &text, checked);
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: cleared,
                    ..Default::default()
                },
                cache: None,
            })
        };
        let of = shader.text();
        let (buffers, params_bytes) = (reflected.buffers.clone(), reflected.params_bytes);
        Ok((Unmade { layout, buffers, params_bytes }, (name, Box::new(move || of.compiled(make)))))
    }
}

/// Refuses a kernel that the adapter cannot run, with a sentence instead of a validation error.
fn fits(kernel: &str, r: &Layout, caps: &Caps) -> Result<()> {
    let over = |what: &str, need: u64, have: u64| {
        Err(Error::Failed(format!("{kernel} needs {need} {what}, but the adapter has {have}; choose another variant")))
    };
    // In text from a file, the product may overflow a word.
    let invocations: u64 = r.workgroup.iter().map(|&n| u64::from(n)).fold(1, u64::saturating_mul);
    if r.buffers.len() as u32 > caps.storage_buffers {
        return over("storage buffers", r.buffers.len() as u64, caps.storage_buffers as u64);
    }
    if invocations > u64::from(caps.invocations) {
        return over("invocations in a workgroup", invocations, caps.invocations as u64);
    }
    if r.workgroup_bytes > caps.workgroup_bytes {
        return over("bytes of workgroup memory", r.workgroup_bytes as u64, caps.workgroup_bytes as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{GpuOptions, Piece};
    use crate::piece;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NAME: &str = "a.b [c]";

    /// The results in the order of the jobs.
    fn all<T: Send + 'static>(jobs: Vec<Job<T>>, threads: usize, waiting: &Waiting) -> Result<Vec<T>> {
        let mut made: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
        beside(jobs, threads, waiting, &mut |i, result| made[i] = Some(result))?;
        Ok(made.into_iter().map(Option::unwrap).collect())
    }

    fn job<T>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Job<T> {
        (name.to_string(), Box::new(work))
    }

    /// A compiler that needs some time.
    #[test]
    fn who_waits_is_asked_and_may_leave() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let patient: Waiting = Arc::new(move |now| {
            let asked = count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(*now, Compiling { kernel: NAME, asked, left: 0 });
            Ok(())
        });
        assert_eq!(all(vec![job(NAME, || 7)], 1, &patient).unwrap(), [7]);
        all(vec![job(NAME, || std::thread::sleep(5 * TICK))], 1, &patient).unwrap();
        assert!(asked.load(Ordering::SeqCst) >= 1);
        let hasty: Waiting = Arc::new(|now| Err(Error::TryAgain(format!("stopped while compiling {}", now.kernel))));
        let (hold, held) = channel::<()>();
        let endless = move || held.recv().is_ok(); // it never ends by itself
        let e = all(vec![job(NAME, endless)], 1, &hasty).unwrap_err();
        assert!(e.exit_code() == 75 && e.to_string().contains(NAME), "{e}");
        drop(hold);
    }

    /// Results are in the order of the jobs, whichever ends first. A job that waits for the one behind it ends only if both
    /// run at once. Who waits is told of the one that began first, and how many are left beside it.
    #[test]
    fn as_many_run_at_once_as_there_are_threads() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let patient: Waiting = Arc::new(move |now| {
            lock(&tell).push((now.kernel.to_string(), now.asked, now.left));
            Ok(())
        });
        let (open, opened) = channel();
        let first = job("first", move || {
            opened.recv().unwrap();
            1
        });
        let second = job("second", move || {
            std::thread::sleep(3 * TICK);
            open.send(()).unwrap();
            2
        });
        assert_eq!(all(vec![first, second, job("third", || 3)], 2, &patient).unwrap(), [1, 2, 3]);
        let told = lock(&told);
        assert_eq!(told.first(), Some(&("first".to_string(), 0, 2)), "{told:?}");
        assert_eq!(all(Vec::<Job<u8>>::new(), 2, &patient).unwrap(), [0u8; 0]);
    }

    /// After an error no further job begins, and one that panics is named although others end well.
    #[test]
    fn the_job_that_fails_is_named() {
        let never: Waiting = Arc::new(|_| Ok(()));
        let bad = || job(NAME, || panic!("a bug of a driver"));
        for jobs in [vec![bad()], vec![job("good", || ()), bad(), job("good", || ())]] {
            let good = jobs.len() - 1;
            let mut done = 0;
            let e = beside(jobs, 2, &never, &mut |_, ()| done += 1).unwrap_err();
            assert_eq!(done, good, "what ended well is kept");
            assert!(e.to_string().contains("a.b [c] could not be compiled"), "{e}");
        }
        let begun = Arc::new(AtomicUsize::new(0));
        let (hold, held) = channel::<()>();
        let count = begun.clone();
        let endless = job(NAME, move || {
            let _ = held.recv();
        });
        let next = job("next", move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let hasty: Waiting = Arc::new(|_| Err(Error::TryAgain("stopped".into())));
        all(vec![endless, next], 1, &hasty).unwrap_err();
        drop(hold);
        std::thread::sleep(2 * TICK);
        assert_eq!(begun.load(Ordering::SeqCst), 0);
    }

    /// The same text from a file runs with checks, so it is compiled apart. With another layout than the text's it is refused, although the text is known.
    #[test]
    fn kernels_of_one_text_share_a_pipeline() {
        const PACK: &[Piece] = &[piece!("common/index.wgsl"), piece!("core/gemm/pack.wgsl")];
        let gpu = Gpu::open(&GpuOptions::default()).unwrap();
        let of = |name| gpu.shader(&Kernel::new(name, "v", PACK)).unwrap();
        let (a, b) = (of("a.pack"), of("b.pack"));
        assert!(a != b && a.wgsl() == b.wgsl());
        gpu.prepare(&[a.clone(), b.clone(), a.clone()]).unwrap();
        assert_eq!(gpu.meter().pipelines_made(), 1);
        assert!(Arc::ptr_eq(&gpu.pipeline(&a).unwrap(), &gpu.pipeline(&b).unwrap()));
        let foreign: Shader = serde_json::from_str(&serde_json::to_string(&*a).unwrap()).unwrap();
        gpu.pipeline(&Arc::new(foreign.clone())).unwrap();
        let mut wrong = serde_json::to_value(&foreign).unwrap();
        wrong["layout"]["params_bytes"] = 4.into();
        let wrong: Shader = serde_json::from_value(wrong).unwrap();
        let why = gpu.pipeline(&Arc::new(wrong)).unwrap_err().to_string();
        assert!(why.contains("the layout of its text is not the one"), "{why}");
        assert_eq!(gpu.meter().pipelines_made(), 2);
    }
}
