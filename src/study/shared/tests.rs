//! What cells share, what is computed once, and the account of the time, on whole small studies.

use crate::base::files;
use crate::base::progress::Silent;
use crate::study::names::{DONE, PREDICTIONS, RESULT, TIMES};
use crate::study::results::{CellResult, run_folder};
use crate::study::testing::{Heard, with_job};
use crate::study::{Job, Manner, Selection, cells};
use crate::tape::{Tape, Type};

/// A grid of one dataset, with two kinds of labels and these methods.
fn text(methods: &str) -> String {
    format!(
        "[data]\nspecs = [\"phantom:covid?train=20&val=6&test=6\"]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n\
         [pretraining]\nmethods = [\"none\"]\n[noise]\nrates = [0.0, 0.4]\n[training]\nmethods = [{methods}]\nepochs = 2\n\
         batch_size = 8\nlast_batch = \"keep\"\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 8\n"
    )
}

fn run(job: &Job<'_>, selection: Selection) -> Vec<CellResult> {
    let found = job.run(selection, Manner::default()).unwrap();
    assert!(found.failed.cells == 0 && found.damaged.is_empty(), "{found:?}");
    found.results
}

/// Other labels are no other step. Co-teaching has two networks and a smaller last batch: 2 · 3 passes, 2 steps of each.
#[test]
fn cells_that_differ_in_labels_alone_compile_once() {
    with_job(&text("\"co_teaching\", \"cross_entropy\""), &Silent, |job| {
        let made = || (job.shared.scheduled(), job.gpu.meter().pipelines_made());
        let grid = cells(job.config);
        assert_eq!((grid.len(), &*grid[0].method, &*grid[2].method), (4, "co_teaching", "co_teaching"));
        run(job, Selection::Index(0));
        let first = made();
        assert!(first.0 >= 8 && first.1 > 20, "{first:?}");
        run(job, Selection::Index(2));
        assert_eq!(made(), first, "the same steps on other labels");
        run(job, Selection::Index(1));
        let other = made();
        assert_eq!(
            other.0,
            first.0 + 2,
            "another step in two sizes of batch, and the passes of the first network again"
        );
        run(job, Selection::Index(3));
        assert_eq!(made(), other);
    });
}

#[test]
fn a_schedule_is_of_its_tape_and_options() {
    with_job("", &Silent, |job| {
        let record = |name: &str, by: f32| {
            let mut t = Tape::new();
            let x = t.input("x", Type::f32([4])).unwrap();
            let y = t.scale(x, by).unwrap();
            t.output(name, y);
            t
        };
        let made = |name: &str, by: f32| {
            let schedule = job.schedule(&record(name, by)).unwrap();
            assert_eq!(schedule.outputs[0].0, name);
            job.shared.scheduled()
        };
        let counts = [made("y", 2.0), made("y", 2.0), made("y", 3.0), made("z", 3.0), made("y", 2.0)];
        assert_eq!(counts, [1, 1, 2, 3, 3]);
        job.schedule_by(&record("y", 2.0), true).unwrap();
        assert_eq!(job.shared.scheduled(), 4, "values that are computed again are another schedule");
        let mut gpu = crate::device::Gpu::open(&Default::default()).unwrap();
        gpu.pretend(|caps| caps.binding_bytes /= 2);
        let other = Job { gpu: &gpu, kernels: job.kernels.clone(), ..*job };
        other.schedule(&record("y", 2.0)).unwrap();
        assert_eq!(job.shared.scheduled(), 5, "another adapter has another schedule");
        for i in 0..2 * super::MOST {
            made("y", 10.0 + i as f32);
        }
        assert_eq!(job.shared.schedules.borrow().len(), super::MOST, "the newest are kept");
        assert_eq!(made("y", 2.0), 6 + 2 * super::MOST, "what was not used for long is made again");
    });
}

/// A run that ended with its last epoch has the outputs of that epoch's passes. One that stopped before its results has
/// to make them again.
#[test]
fn results_are_the_same_with_and_without_the_last_epochs_outputs() {
    with_job(&text("\"co_teaching\", \"cross_entropy\""), &Silent, |job| {
        let whole = run(job, Selection::All);
        let kept: Vec<Vec<u8>> = cells(job.config)
            .iter()
            .map(|cell| {
                let folder = run_folder(job.out, &cell.name);
                let predictions = files::read(&folder.join(PREDICTIONS)).unwrap();
                [DONE, RESULT, PREDICTIONS].iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
                predictions
            })
            .collect();
        let again = run(job, Selection::All);
        let timeless =
            |all: &[CellResult]| all.iter().map(|r| CellResult { seconds: 0.0, ..r.clone() }).collect::<Vec<_>>();
        assert_eq!(timeless(&again), timeless(&whole));
        for (cell, due) in cells(job.config).iter().zip(kept) {
            assert!(files::read(&run_folder(job.out, &cell.name).join(PREDICTIONS)).unwrap() == due, "{}", cell.name);
        }
    });
}

#[test]
fn the_time_of_a_process_is_accounted_for() {
    let heard = Heard::default();
    with_job(&text("\"cross_entropy\""), &heard, |job| {
        run(job, Selection::Index(0));
        let lines = || files::read_text(&job.out.join(TIMES)).unwrap();
        let first: serde_json::Value = serde_json::from_str(&lines()).unwrap();
        let of = |name: &str| first[name].as_f64().unwrap();
        let parts = of("training_s") + of("evaluation_s") + of("other_s");
        assert!((parts - of("seconds")).abs() < 1e-6 && first["stages"] == 1, "{first}");
        assert!(of("training_s") > 0.0 && of("evaluation_s") > 0.0 && of("other_s") > 0.0, "{first}");
        assert!((of("other_share") - of("other_s") / of("seconds")).abs() < 1e-9, "{first}");
        let told = || heard.lines().iter().filter(|l| l.contains(" of evaluation, ")).count();
        assert_eq!(told(), 1, "{:?}", heard.lines());
        let other = crate::study::Shared::default();
        let next = Job { shared: &other, kernels: job.kernels.clone(), ..*job };
        run(&next, Selection::Index(0));
        assert_eq!((lines().lines().count(), told()), (1, 1), "everything was done");
        run(&next, Selection::Index(1));
        assert_eq!((lines().lines().count(), told()), (2, 2));
    });
}
