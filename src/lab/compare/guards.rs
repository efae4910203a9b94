//! Tests of what a comparison refuses, and of what it must not miss.

use super::super::environment;
use super::super::report::SCHEMA;
use super::*;

/// A report of these cases with steady samples.
fn report(cases: &[u32]) -> Report {
    let row = |case: u32| Row {
        samples_ms: (0..20).map(|i| 1.0 + 0.001 * f64::from(i)).collect(),
        reference_ms: vec![2.0; 20],
        ..super::tests::row(case)
    };
    let (reference, rows) = (Some(row(0)), cases.iter().map(|&c| row(c)).collect());
    Report {
        schema: SCHEMA.into(),
        environment: environment::tests::made_up(),
        reference,
        rows,
        skipped: Vec::new(),
        comparison: None,
    }
}

#[test]
fn what_no_longer_runs_is_a_regression_that_says_why() {
    let base = report(&[1, 2]);
    let mut new = report(&[1]);
    let skip = |case: &str| Skipped { op: "relu".into(), case: case.into(), why: "a binding is missing".into() };
    new.skipped = vec![skip("case 2"), skip("a case that the base does not have")];
    let c = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap();
    assert_eq!((c.stopped.len(), c.skipped.len(), c.only_base.len()), (1, 2, 0));
    let e = c.expect_no_regression().unwrap_err();
    let said = e.to_string();
    assert!(e.exit_code() == 5 && said.contains("case 2") && said.contains("a binding is missing"), "{said}");
    new.rows.clear();
    let e = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap().expect_no_regression().unwrap_err();
    assert_eq!(e.exit_code(), 5, "nothing of it runs: {e}");
    new.skipped.remove(0);
    let e = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap_err().to_string();
    assert!(e.contains("no row in common") && e.contains("a binding is missing"), "{e}");
}

/// A race of two trees leaves reports whose kernels all ran with checks.
#[test]
fn runs_with_and_without_checks_have_no_verdict() {
    let plain = report(&[1]);
    let with = |checked: bool, shaders: Option<&str>| {
        let mut r = plain.clone();
        (r.environment.checked, r.environment.shaders) = (checked, shaders.map(String::from));
        r
    };
    let fair = |base: &Report, new: &Report| match compare(base, new, THRESHOLD, ["run-a.json", "now"]) {
        Ok(_) => true,
        Err(e) => {
            assert!(e.exit_code() == 2 && e.to_string().contains("run-a.json") && e.to_string().contains("checks"));
            false
        }
    };
    assert!(fair(&plain, &plain) && fair(&with(true, None), &with(true, Some("b"))));
    assert!(fair(&with(false, Some("a")), &with(false, Some("a"))));
    assert!(!fair(&with(true, None), &plain) && !fair(&plain, &with(false, Some("a"))));
    assert!(!fair(&with(false, Some("b")), &with(false, Some("a"))));
}

#[test]
fn a_missing_reference_is_told() {
    let base = report(&[1, 2]);
    let mut new = base.clone();
    new.rows[1].reference_ms.clear();
    let c = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap();
    assert_eq!(c.rows.iter().map(|r| r.steady).collect::<Vec<_>>(), [true, false]);
    assert_eq!(c.drift, Some(1.0));
}

#[test]
fn another_processor_is_another_machine() {
    let (base, mut new) = (report(&[1]), report(&[1]));
    new.environment.cpu = "a newer cpu".into();
    let e = compare(&base, &new, THRESHOLD, ["base.json", "now"]).unwrap_err();
    assert!(e.exit_code() == 2 && e.to_string().contains("a newer cpu"), "{e}");
}

/// Known before anything is measured.
#[test]
fn a_base_with_a_row_twice_is_refused_at_once() {
    let base = report(&[1, 2, 1]);
    let e = expect_comparable(&base, &base.environment, "base.json").unwrap_err().to_string();
    assert!(e.contains("base.json has two rows") && e.contains("case 1"), "{e}");
}

/// A file of measurements is compared or refused quickly, whatever numbers are in it.
#[test]
fn no_number_of_a_report_is_counted_up_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.json");
    let refused = |says: &str, edit: &dyn Fn(&mut Row)| {
        let mut report = report(&[1, 2]);
        edit(&mut report.rows[1]);
        report.save(&path).unwrap();
        let e = Report::load(&path).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains(says), "{e}");
    };
    // As whole numbers that wrap they add up.
    refused("turns of relu.forward case 2", &|r| r.turns = vec![usize::MAX, 1, 20]);
    refused("turns of relu.forward case 2", &|r| r.turns = vec![0, 20]);
    refused("turns of relu.forward case 2", &|r| r.turns = vec![1 << 40]);
    refused("turns of relu.forward case 2", &|r| {
        (r.samples_ms, r.reference_ms, r.turns) = (vec![1.0; 5000], Vec::new(), vec![1; 5000]);
    });
    refused("the samples of relu.forward case 2", &|r| r.samples_ms = Vec::new());
    for odd in [0.0, -1.0, 1e-300, 1e300] {
        refused("the samples of relu.forward case 2", &|r| r.samples_ms[3] = odd);
        refused("reference_ms of relu.forward case 2", &|r| r.reference_ms[3] = odd);
    }
    let mut report = report(&[1, 2]);
    for row in &mut report.rows {
        (row.repeats, row.flops, row.bytes, row.roof_share) = (u32::MAX, u64::MAX, u64::MAX, Some(1e300));
        (row.samples_ms, row.reference_ms) = ((0..100_000).map(|i| 1.0 + 1e-6 * f64::from(i)).collect(), Vec::new());
    }
    report.save(&path).unwrap();
    let base = Report::load(&path).unwrap();
    assert!(compare(&base, &base, THRESHOLD, ["base.json", "now"]).is_ok() && base.html().is_ok());
}
