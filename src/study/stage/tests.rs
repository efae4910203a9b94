//! Tests of a stage with steps whose gradients overflow.

use super::*;
use crate::nn::Optimizer;
use crate::study::config::{Config, LastBatch};
use crate::study::testing::{Heard, with_job};
use crate::study::turns::ring_of;
use crate::tape::{Options, Plan, Program, Schedule, Type};

/// In a step with one of the `bad` images, a gradient overflows and the loss does not.
struct Overflowing {
    bad: Vec<u32>,
}

impl Task for Overflowing {
    fn inputs(&self, _: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let bad = indices.iter().any(|i| self.bad.contains(i));
        let (a, b): (f32, f32) = if bad { (1e-30, 1e30) } else { (1.0, 1.0) };
        vec![("a", a.to_le_bytes().to_vec()), ("b", b.to_le_bytes().to_vec())]
    }

    fn epoch(&self, _: &State, _: &EpochSums<'_>, _: &mut EpochRecord, _: &mut serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// loss = w·a·b·b. With a = 1e-30 and b = 1e30 it is 1e30 for w = 1, and the gradient of w·a is above the largest f32.
fn tape(slots: usize) -> Result<Tape> {
    let mut t = Tape::new();
    t.input("indices", Type::u32([2]))?;
    for scalar in ["epoch", "lr"] {
        t.scalar(scalar)?;
    }
    let one = Type::f32([1, 1]);
    let (w, a, b) = (t.state("w", one)?, t.input("a", one)?, t.input("b", one)?);
    let mut x = w;
    for factor in [a, b, b] {
        x = t.matmul(x, factor, false, false)?;
    }
    let loss = t.reshape(x, [1])?;
    let sgd = Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    let skipped = sgd.minimize(&mut t, loss, &["w".to_string()])?;
    let row = t.scalar("ring_row")?;
    t.ring(&ring_of(&Turn::ONLY), slots, row, &[loss, skipped])?;
    Ok(t)
}

/// Two epochs of four steps on eight images, of which the `bad` images overflow. Returns the records and `w`, or the
/// error.
fn run(job: &Job<'_>, bad: Vec<u32>) -> Result<(Vec<EpochRecord>, f32)> {
    let tape = tape(job.config.run.loss_every)?;
    let mut state = State::new();
    state.insert(job.gpu, "w", Type::f32([1, 1]), Some(&1f32.to_le_bytes()))?;
    add_missing(job.gpu, &mut state, &tape)?;
    let whole = Plan::new(job.gpu, Schedule::new(&tape, &Options::new(job.gpu.caps()))?, &state)?;
    let text = "[training]\nepochs = 2\nschedule = \"constant\"\n[training.optimizer]\nlr = 0.01";
    let optimization = Config::parse("t", text)?.training.optimization;
    let task = &Overflowing { bad };
    let (name, address, phase, folder) = ("s".to_string(), "a".to_string(), Phase::Train, job.out);
    let (seed, batches) = (0, Batches { images: 8, whole: 2, last: LastBatch::Drop });
    let turns = vec![(Turn::ONLY, vec!["loss".to_string(), "skipped".to_string()])];
    let stage = Stage {
        job,
        name,
        phase,
        folder,
        address,
        seed,
        optimization,
        batches,
        turns,
        limit: None,
        task,
        images: None,
    };
    let (records, _, _) =
        stage.run(&[Plans { whole: Program::new().then(whole, 1), rest: None }], &state, stage.start())?;
    Ok((records, state.read_f32(job.gpu, "w")?[0]))
}

#[test]
fn skipped_steps_are_counted_and_told_and_an_epoch_of_them_ends_the_run() {
    let heard = Heard::default();
    with_job("[run]\nloss_every = 3", &heard, |job| {
        let (records, w) = run(job, Vec::new()).unwrap();
        assert!(records.iter().all(|r| r.skipped_steps == 0) && heard.lines().is_empty());
        assert!((w - 0.92).abs() < 1e-6, "{w} after eight steps of 0.01");

        let (records, w) = run(job, vec![3]).unwrap();
        assert_eq!(records.iter().map(|r| r.skipped_steps).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(read_epochs(job.out).unwrap(), records);
        assert!((w - 0.94).abs() < 1e-6, "{w} after six steps of 0.01");
        let lines = heard.lines();
        assert_eq!(lines.len(), 2, "once an epoch: {lines:?}");
        assert!(lines[0].starts_with("warning: s: 1 of 4 steps of epoch 1 were skipped"), "{lines:?}");

        let e = run(job, (0..8).collect()).unwrap_err();
        assert_eq!(e.exit_code(), 1);
        assert!(e.to_string().contains("all 4 steps of epoch 1 were skipped"), "{e}");
    });
}
