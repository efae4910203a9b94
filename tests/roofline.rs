//! Compares the roofs that the lab measures with loops written here, and tests what a roof says of a kernel.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, alone, in_three, wgslab};
use wgslab::device::dispatch::ParamBlocks;
use wgslab::device::{Dispatch, Gpu, GpuOptions, Kernel, Piece};
use wgslab::kernels::estimate::Rates;
use wgslab::lab::roofline::{self, Peak, Point, Probe, Roof};
use wgslab::lab::{Report, Spread};

/// Rounds of a loop of [`fma_loop`], and the multiply-adds of a vec4 in each round.
const ROUNDS: u32 = 1024;
const ADDS: usize = 128;

/// The text of a workgroup's multiply-adds in `chains` chains. This file writes it out itself, without the lab's
/// templater.
fn fma_text(chains: usize, width: u32) -> String {
    let names: Vec<String> = (0..chains).map(|c| format!("v{c}")).collect();
    let begin: String = names.iter().enumerate().map(|(c, v)| format!("var {v} = vec4(x, {c}.0, 2.0, x);")).collect();
    let adds: String = (0..ADDS).map(|i| format!("{0} = fma({0}, m, b);", names[i % chains])).collect();
    format!(
        "struct Params {{ m: f32, b: f32 }}
        @group(0) @binding(0) var<uniform> p: Params;
        @group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
        @compute @workgroup_size({width})
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let m = vec4(p.m); let b = vec4(p.b); let x = f32(id.x);
            {begin}
            for (var i = 0u; i < {ROUNDS}u; i++) {{ {adds} }}
            out[id.x] = {};
        }}",
        names.join(" + ")
    )
}

/// The text that copies `each` vec4 in an invocation, those of a workgroup side by side, in rows of 2²² vec4, because a
/// dimension of a grid has at most 65,535 workgroups.
fn copy_text(each: u64) -> String {
    let copies: String = (0..each).map(|i| format!("to[i + {0}u] = origin[i + {0}u];", 256 * i)).collect();
    format!(
        "@group(0) @binding(1) var<storage, read> origin: array<vec4<f32>>;
        @group(0) @binding(2) var<storage, read_write> to: array<vec4<f32>>;
        @compute @workgroup_size(256)
        fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
            let i = group.y * {row}u + group.x * {own}u + lane;
            {copies}
        }}",
        row = ROW / 16,
        own = 256 * each,
    )
}

/// The bytes of a row of [`copy_text`].
const ROW: u64 = 16 << 22;

/// A loop of this file, with the work of one run in flops or bytes.
struct Loop {
    list: [Dispatch; 1],
    work: f64,
}

impl Loop {
    /// The rate in 10⁹ flops or bytes per second, by the clock that times the probes.
    fn rate(&self, gpu: &Gpu) -> f64 {
        let timed = gpu.time_repeated(&self.list, 1).unwrap();
        self.work / timed.device_ms.unwrap_or(timed.wall_ms) * 1e-6
    }
}

/// A kernel needs pieces that live as long as the program.
fn kernel(name: &'static str, path: &'static str, text: String) -> Kernel {
    let text: &'static str = Box::leak(text.into_boxed_str());
    Kernel::new(name, "test", Box::leak(Box::new([Piece { path, text }])))
}

fn fma_loop(gpu: &Gpu, groups: u32, chains: usize) -> Loop {
    const WIDTH: u32 = 64;
    let params = ParamBlocks::new(std::iter::once(bytemuck::bytes_of(&[0.5f32, 0.25]))).upload(gpu).unwrap();
    let out = gpu.buffer("out", 16 * u64::from(WIDTH * groups)).unwrap();
    let kernel = kernel("test.fma", "test/fma.wgsl", fma_text(chains, WIDTH));
    let list = [gpu.dispatch("fma", &kernel, &[&out], (&params, 0), [groups, 1, 1]).unwrap()];
    Loop { list, work: f64::from(groups * WIDTH) * f64::from(ROUNDS) * ADDS as f64 * 8.0 }
}

/// The loop of the highest rate: which one hides the latency and fits the registers depends on the processor.
fn fastest(gpu: &Gpu, loops: impl IntoIterator<Item = Loop>) -> Loop {
    let rated = loops.into_iter().map(|own| {
        own.rate(gpu); // compiles the kernel and touches the memory first
        let rate = Spread::of(&(0..7).map(|_| own.rate(gpu)).collect::<Vec<_>>()).median;
        (rate, own)
    });
    rated.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
}

/// Loops that copy 1, 2, 4 and 8 vec4 in an invocation, all between the same two buffers.
fn copy_loops(gpu: &Gpu) -> impl Iterator<Item = Loop> {
    let rows = (256 << 20).min(gpu.caps().binding_bytes) / ROW;
    let bytes = rows * ROW;
    let (from, to) = (gpu.buffer("from", bytes).unwrap(), gpu.buffer("to", bytes).unwrap());
    [1, 2, 4, 8].into_iter().map(move |each| {
        let (kernel, none) =
            (kernel("test.copy", "test/copy.wgsl", copy_text(each)), ParamBlocks::new(std::iter::empty()));
        let grid = [(ROW / 16 / 256 / each) as u32, rows as u32, 1];
        let list = [gpu.dispatch("copy", &kernel, &[&from, &to], (&none, 0), grid).unwrap()];
        Loop { list, work: 2.0 * bytes as f64 }
    })
}

/// The lab's rate divided by the rate of the loop of this file, as the median over turns. In a turn each is sampled
/// twice, alternately.
fn ratio(gpu: &Gpu, probe: &Probe, own: &Loop, turns: usize) -> f64 {
    own.rate(gpu); // compiles the kernel and touches the memory first
    let turn = |_| {
        let (mut lab_s, mut own_s) = (0.0, 0.0);
        for _ in 0..2 {
            lab_s += 1.0 / probe.sample(gpu).unwrap();
            own_s += 1.0 / own.rate(gpu);
        }
        own_s / lab_s
    };
    Spread::of(&(0..turns).map(turn).collect::<Vec<_>>()).median
}

#[test]
fn roofs_agree_with_loops_written_elsewhere() {
    if !adapter("roofs_agree_with_loops_written_elsewhere") {
        return;
    }
    let _alone = alone();
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    // Enough workgroups for a sample that takes far longer than a launch. A GPU needs many more than a CPU.
    let groups = if gpu.caps().software { 16 } else { 16 << 10 };
    let agree = |what: &str, (probe, peak): (Probe, Peak), own: &Loop| {
        let times = ratio(&gpu, &probe, own, 15); // the median of fewer turns is spoiled by other processes
        let said = format!("{what}: {times:.3} times the loop of this test; {peak:?}");
        if (times - 1.0).abs() <= 0.15 { Ok(()) } else { Err(said) }
    };
    let own = fastest(&gpu, [1, 2, 3, 4, 8].map(|chains| fma_loop(&gpu, groups, chains)));
    in_three(|| agree("f32", roofline::f32_probe(&gpu).unwrap(), &own));
    let own = fastest(&gpu, copy_loops(&gpu));
    in_three(|| agree("copy", roofline::copy_probe(&gpu).unwrap(), &own));
}

fn peak(median: f64) -> Peak {
    Peak { value: Some(Spread { median, q1: median, q3: median }), how: "made up".into() }
}

/// A roof of 100 GFLOP/s and 10 GB/s.
fn made_up(gpu: &Gpu) -> Roof {
    Roof {
        schema: roofline::SCHEMA.into(),
        environment: wgslab::lab::Environment::of(gpu),
        f32: peak(100.0),
        f16: Peak { value: None, how: "not there".into() },
        matrix: Peak { value: None, how: "not there".into() },
        copy: peak(10.0),
        cache: peak(40.0),
        workgroup: peak(80.0),
        launch: peak(3.0),
        dependent_launch: peak(5.0),
        round_trip: peak(60.0),
    }
}

#[test]
fn the_nearer_roof_binds_and_a_file_comes_back_as_it_was() {
    if !adapter("the_nearer_roof_binds_and_a_file_comes_back_as_it_was") {
        return;
    }
    let _alone = alone();
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    let (roof, dir) = (made_up(&gpu), tempfile::tempdir().unwrap());
    // 10⁹ flops take 10 ms at the peak rate, 10⁸ bytes take 10 ms at the bandwidth.
    assert_eq!(roof.share(1_000_000_000, 1000, 20.0), Some(0.5));
    assert_eq!(roof.share(1000, 100_000_000, 40.0), Some(0.25));
    // What was measured stands in the place of what is usual.
    let (rates, usual) = (roof.rates(gpu.caps()), Rates::usual(gpu.caps()));
    let due = Rates {
        gflop_per_s: 100.0,
        memory_gb_per_s: 10.0,
        cache_gb_per_s: 40.0,
        workgroup_gb_per_s: 80.0,
        launch_us: 5.0,
        ..usual
    };
    assert_eq!(rates, due);
    let bare = Roof { copy: Peak { value: None, how: "not there".into() }, ..roof.clone() };
    assert_eq!(bare.rates(gpu.caps()).memory_gb_per_s, usual.memory_gb_per_s);
    let path = dir.path().join("roof.json");
    roof.save(&path).unwrap();
    assert_eq!(Roof::load(&path).unwrap(), roof);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("wgslab-roof/1", "wgslab-roof/9")).unwrap();
    assert!(Roof::load(&path).unwrap_err().to_string().contains("wgslab-roof/9"));
    std::fs::write(&path, "[]").unwrap();
    assert_eq!(Roof::load(&path).unwrap_err().exit_code(), 4);
    // No axis can show any of these numbers, so no picture is drawn.
    for odd in [0.0, -1.0, 1e-300, 1e300] {
        let mut roof = roof.clone();
        roof.copy.value = Some(Spread { median: odd, q1: odd, q3: odd });
        roof.save(&path).unwrap();
        let e = Roof::load(&path).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("copy past the caches"), "{e}");
    }

    let point = |name: &str, flops, bytes| Point { name: name.into(), flops, bytes, ms: 20.0 };
    let points = [point("conv2d.forward <3x3>", 1_000_000_000, 1_000_000), point("copy.forward", 0, 1 << 20)];
    let svg = roofline::svg(&roof, &points).unwrap();
    for part in ["<svg", "flops a byte", "f32 100.0 GFLOP/s", "copy 10.0 GB/s", "&lt;3x3&gt;", "50 %", "1 more"] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
    assert!(roofline::svg(&roof, &[]).is_ok(), "the roofs must be drawn even without kernels");
}

#[test]
fn a_profile_says_how_near_its_kernels_are_to_the_roof() {
    if !adapter("a_profile_says_how_near_its_kernels_are_to_the_roof") {
        return;
    }
    let _alone = alone();
    let gpu = Gpu::open(&GpuOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let roof = made_up(&gpu);
    let tiny = ["profile", "--width", "0.125", "--size", "8", "--batch", "4", "--steps", "1", "--roof"];
    let run = |roof: &Roof| {
        roof.save(&dir.path().join("roof.json")).unwrap();
        let words = [&tiny[..], &["roof.json", "--json", "p.json", "--html", "p.html"]].concat();
        wgslab(dir.path(), &words).output().unwrap()
    };
    let output = run(&roof);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("of roof"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(dir.path().join("p.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    for kernel in profile["kernels"].as_array().unwrap() {
        let (flops, bytes) = (kernel["flops"].as_u64().unwrap(), kernel["bytes"].as_u64().unwrap());
        let (share, ms) = (kernel["roof_share"].as_f64().unwrap(), kernel["ms"]["median"].as_f64().unwrap());
        // The share of a sum of nodes is at least the share of the same work in one piece.
        assert!(share * 1.000_001 >= roof.share(flops, bytes, ms).unwrap(), "{kernel}");
    }
    assert!(std::fs::read_to_string(dir.path().join("p.html")).unwrap().contains("flops a byte"));
    let mut other = roof.clone();
    other.environment.driver = "another".into();
    let output = run(&other);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("roof.json was measured on"));
}

#[test]
fn a_bench_is_drawn_under_the_roofs_of_this_adapter() {
    if !adapter("a_bench_is_drawn_under_the_roofs_of_this_adapter") {
        return;
    }
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let words = ["bench", "smoke", "--samples", "3", "--seconds", "0.01", "--roofline", "r.svg", "--json", "b.json"];
    let output = wgslab(dir.path(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("f32 multiply-add") && said.contains("of roof"), "{said}");
    let roof = Roof::load(&dir.path().join("r.json")).unwrap();
    for (name, peak, _) in roof.figures().iter().filter(|f| !f.0.starts_with("cooperative") && !f.0.starts_with("f16"))
    {
        assert!(peak.median().is_some_and(|m| m.is_finite() && m > 0.0), "{name}: {peak:?}");
    }
    let report = Report::load(&dir.path().join("b.json")).unwrap();
    for row in &report.rows {
        assert_eq!(row.roof_share, roof.share(row.flops, row.bytes, row.ms().median), "{}", row.name());
    }
    assert!(std::fs::read_to_string(dir.path().join("r.svg")).unwrap().contains(&report.rows[0].case));
}
