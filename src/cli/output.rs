//! Prints to stdout and stderr. Everything but JSON and WGSL goes through `base/text`: names and lines of files may
//! hold characters that a terminal obeys, or be megabytes long. It is no error if the reader closes its end, as `head`
//! does.

use crate::base::text::{self, CELL, LINE};
use crate::base::{Error, Result};
use crate::study::results::CellResult;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

/// Prints `text` to stdout with a line end, each line made safe for a terminal.
pub(super) fn print(text: &str) -> Result<()> {
    print_exact(&text::visible_lines(text))
}

/// Prints text for a program or a file, unchanged.
pub(super) fn print_exact(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()))
}

/// Prints a path or a source text: unchanged for a program or a file, made safe on a terminal.
pub(super) fn print_source(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() { print(text) } else { print_exact(text) }
}

/// Prints `value` as JSON to stdout, while it is made.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let json = serde_json::to_writer_pretty(&mut out, value);
    match json.map_err(|e| (e.io_error_kind(), e)) {
        Ok(()) => written(writeln!(out).and_then(|()| out.flush())),
        Err((Some(ErrorKind::BrokenPipe), _)) => Ok(()),
        Err((_, e)) => Err(Error::Failed(format!("cannot write the result as JSON: {e}"))),
    }
}

/// A folder that is gone with the value.
pub(super) fn temporary() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|e| Error::io(&std::env::temp_dir(), "make a folder in", e))
}

fn written(done: std::io::Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::Failed(format!("cannot write to stdout: {e}"))),
        _ => Ok(()),
    }
}

/// An error if two of these files would be the same, or if one is a folder or lies inside a file. `files` gives the
/// name of each for messages. Otherwise the mistake would show only when the work is done and its result has no place.
pub(super) fn expect_writable(files: &[(&str, Option<&Path>)]) -> Result<()> {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
    let files: Vec<_> = files.iter().filter_map(|(what, p)| Some((what, whole((*p)?)))).collect();
    for (i, (what, path)) in files.iter().enumerate() {
        let shown = path.display();
        if let Some((other, _)) = files[..i].iter().find(|f| f.1 == *path) {
            return Err(Error::Usage(format!("{other} and {what} would both be {shown}; name them apart")));
        }
        if path.is_dir() {
            return Err(Error::Usage(format!("{what} {shown} is a folder; give the name of a file")));
        }
        if let Some(file) = path.ancestors().skip(1).find(|p| p.is_file()) {
            let file = file.display();
            return Err(Error::Usage(format!("{what} {shown} cannot be written: {file} is a file, not a folder")));
        }
    }
    Ok(())
}

/// Prints a line to stderr, made safe for a terminal. If stderr is gone, nobody can be told.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text::visible(line, LINE));
}

/// Lines of aligned columns. The first row is the head; numbers are aligned to the right. A long cell is shortened
/// before the width of its column is taken.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    // A list may have a million rows, so that a cell is copied only where it must be shown in another way.
    fn shown(t: &str) -> Cow<'_, str> {
        if text::is_plain(t, CELL) { t.into() } else { text::visible(t, CELL).into() }
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (mut widths, mut right) = (vec![0; columns], vec![true; columns]);
    for (r, row) in rows.iter().enumerate() {
        for (c, cell) in row.iter().map(|t| shown(t)).enumerate() {
            widths[c] = widths[c].max(cell.chars().count());
            right[c] &= r == 0 || cell.chars().all(|k| k.is_ascii_digit() || "+-.% ".contains(k));
        }
    }
    let mut out = String::new();
    for row in rows {
        let start = out.len();
        for (c, (&w, &right)) in widths.iter().zip(&right).enumerate() {
            let (gap, cell) = (if c == 0 { "" } else { "  " }, row.get(c).map_or("".into(), |t| shown(t)));
            let space = std::iter::repeat_n(' ', w - cell.chars().count().min(w));
            out.push_str(gap);
            if right {
                out.extend(space);
                out.push_str(&cell);
            } else {
                out.push_str(&cell);
                out.extend(space);
            }
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// A column of the table of results: its name, whether it is always shown, and a result's cell.
type Column = (&'static str, bool, fn(&CellResult) -> String);

/// In the order in which they are shown.
const COLUMNS: [Column; 11] = [
    ("dataset", true, |r| r.dataset.clone()),
    ("backbone", false, |r| r.backbone.clone()),
    ("pretraining", true, |r| r.pretraining.clone()),
    ("seed", false, |r| r.seed.to_string()),
    ("noise", true, |r| match r.noise_kind.as_str() {
        "none" => "none".to_string(),
        kind => format!("{kind} {:.0} %", 100.0 * r.noise_rate),
    }),
    ("protocol", false, |r| r.protocol.name().to_string()),
    ("method", false, |r| r.method.clone()),
    ("realised", true, |r| percent(r.realised_noise_rate)),
    ("test accuracy", true, |r| percent(r.test_accuracy)),
    ("balanced accuracy", true, |r| percent(r.balanced_accuracy)),
    ("seconds", true, |r| format!("{:.1}", r.seconds)),
];

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The results of a study, one line for each cell. Backbone, seed, protocol and method are shown if there are several.
pub(super) fn results(results: &[CellResult]) -> String {
    let several = |of: fn(&CellResult) -> String| results.iter().any(|r| of(r) != of(&results[0]));
    let shown: Vec<&Column> = COLUMNS.iter().filter(|(_, always, of)| *always || several(*of)).collect();
    let head = shown.iter().map(|(name, ..)| name.to_string()).collect();
    let row = |r: &CellResult| shown.iter().map(|(.., of)| of(r)).collect();
    table(&std::iter::once(head).chain(results.iter().map(row)).collect::<Vec<_>>())
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(*unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = table(&[row(&["name", "share"]), row(&["größe", "9.5 %"]), row(&["b", "100.0 %"])]);
        assert_eq!(text, "name     share\ngröße    9.5 %\nb      100.0 %");
    }

    #[test]
    fn a_cell_can_be_read_and_does_not_widen_its_column_without_end() {
        let row = |a: &str| vec![a.to_string(), "1".to_string()];
        let text = table(&[row("name"), row("a\u{1b}[2J\nb"), row(&"x".repeat(3_000_000))]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 3 && lines[1].starts_with("a\\u{1b}[2J\\nb "), "{text}");
        assert!(lines.iter().all(|l| l.chars().count() < 200), "{}", lines[2].len());
    }

    #[test]
    fn rows_that_differ_say_in_what() {
        let row = |protocol: &str, method: &str, seed: u64| -> CellResult {
            serde_json::from_value(serde_json::json!({
                "dataset": "covid", "pretraining": "simclr", "noise_kind": "symmetric", "noise_rate": 0.4,
                "realised_noise_rate": 0.41, "protocol": protocol, "method": method, "seed": seed, "test_accuracy": 0.5,
                "balanced_accuracy": 0.25, "macro_f1": 0.2, "auroc": null, "knn_accuracy": null,
                "knn_weighted_accuracy": null, "knn_neighbours": null, "knn_temperature": null,
                "linear_weight_decay": null, "best_val_accuracy": 0.5, "best_val_epoch": 1, "memorised_fraction": null,
                "best_val_test_accuracy": null, "last5_test_accuracy": null, "pretraining_collapsed": null,
                "classes": 3, "train_images": 9, "val_images": 3, "test_images": 3, "dropped_duplicates": 0,
                "epochs": 1, "seconds": 2.0, "adapter": "a",
            }))
            .unwrap()
        };
        let one = results(&[row("finetune", "elr", 0)]);
        assert_eq!(
            one,
            "dataset  pretraining  noise           realised  test accuracy  balanced accuracy  seconds\n\
             covid    simclr       symmetric 40 %    41.0 %         50.0 %             25.0 %      2.0"
        );
        let methods = results(&[row("finetune", "elr", 0), row("finetune", "gce", 0)]);
        let due = "noise           method  realised";
        assert!(methods.contains(due) && methods.contains("symmetric 40 %  gce "), "{methods}");
        let all = results(&[row("finetune", "elr", 0), row("linear", "linear", 1)]);
        let due = "dataset  pretraining  seed  noise           protocol  method  realised";
        assert!(all.starts_with(due) && all.contains("1  symmetric 40 %  linear    linear    41.0 %"), "{all}");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(128 << 20), "128 MiB");
        assert_eq!(size((3 << 30) + (1 << 29)), "3.5 GiB");
        assert_eq!(size(12), "12 bytes");
    }
}
