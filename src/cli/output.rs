//! What goes to stdout and stderr. A reader that closes its end, as `head` does, is no error.

use crate::base::{Error, Result};
use crate::study::results::CellResult;
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Prints `text` and a line end to stdout.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::Failed(format!("cannot write to stdout: {e}"))),
        _ => Ok(()),
    }
}

/// Prints `value` as JSON to stdout.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    print(&text.map_err(|e| Error::Failed(format!("cannot write the result as JSON: {e}")))?)
}

/// An error where two of these files, each with what it is, would be one, or where one is a folder or lies in a file: what
/// would else be found once the work is done and nowhere to be put.
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

/// Prints a line to stderr. Where stderr is gone there is nobody left to tell.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Lines of aligned columns: the first row is the head, numbers stand to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, c: usize| row.get(c).cloned().unwrap_or_default();
    let width = |c: usize| rows.iter().map(|r| cell(r, c).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let numeric =
        |c: usize| rows.iter().skip(1).all(|r| cell(r, c).chars().all(|k| k.is_ascii_digit() || "+-.% ".contains(k)));
    let right: Vec<bool> = (0..columns).map(numeric).collect();
    let line = |row: &Vec<String>| {
        let cells = (0..columns).map(|c| match (right[c], widths[c]) {
            (true, w) => format!("{:>w$}", cell(row, c)),
            (false, w) => format!("{:<w$}", cell(row, c)),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The results of a study, a line per cell; the seed stands there where it tells cells apart.
pub(super) fn results(results: &[CellResult]) -> String {
    let seeds = results.iter().any(|r| r.seed != results[0].seed);
    let mut head = vec!["dataset", "pretraining", "noise", "realised", "test accuracy", "balanced accuracy", "seconds"];
    if seeds {
        head.insert(2, "seed");
    }
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let row = |r: &CellResult| {
        let noise = match r.noise_kind.as_str() {
            "none" => "none".to_string(),
            kind => format!("{kind} {:.0} %", 100.0 * r.noise_rate),
        };
        let mut row = vec![
            r.dataset.clone(),
            r.pretraining.clone(),
            noise,
            percent(r.realised_noise_rate),
            percent(r.test_accuracy),
            percent(r.balanced_accuracy),
            format!("{:.1}", r.seconds),
        ];
        if seeds {
            row.insert(2, r.seed.to_string());
        }
        row
    };
    let head = head.into_iter().map(String::from).collect();
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
    fn sizes_are_short() {
        assert_eq!(size(128 << 20), "128 MiB");
        assert_eq!(size((3 << 30) + (1 << 29)), "3.5 GiB");
        assert_eq!(size(12), "12 bytes");
    }
}
