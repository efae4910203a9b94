//! CSV manifests with the columns path, label and, where there are splits, split. Paths start from the manifest's
//! folder. Labels are class names. If all labels are numbers, they sort as numbers.

use super::{Claims, Layout, Open, files};
use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing, name_of};
use crate::data::{Split, classes};
use std::collections::HashMap;
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "manifest",
    takes: "a .csv manifest with the columns path,label[,split]",
    help: "a .csv manifest with the columns path,label[,split]",
    claims: Claims::Ending("csv"),
    open: Open::Path(|path| files(list(path))),
};

/// The most characters of a label, because it names a class in tables and messages.
const MAX_LABEL: usize = 255;

/// The most bytes of a path. No system opens a longer one.
const MAX_PATH: usize = 4096;

/// Up to this many rows are always accepted. With more rows, each image may have at most [`REPEATS`] rows on average.
const FEW: usize = 65_536;
const REPEATS: usize = 16;

/// Lists the images that a manifest names, in its order.
pub fn list(path: &Path) -> Result<Listing> {
    let bytes = crate::base::files::read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = Found::default();
    rows(path, &bytes, |row| {
        let file = folder.join(row.path);
        match file.metadata() {
            Ok(meta) if meta.is_file() => found.take(row, file),
            Ok(_) => {
                return Err(bad(path, row.line, format!("{} is not a file", distinct(&file.to_string_lossy(), NAME))));
            }
            Err(_) => {
                return Err(bad(path, row.line, format!("{} does not exist", distinct(&file.to_string_lossy(), NAME))));
            }
        }
        found.check_repeats(path)
    })?;
    if found.lines.is_empty() {
        return Err(Error::Data(format!("{} names no image", path.display())));
    }
    Ok(found.listing(name_of(path)))
}

/// The result of the rows so far.
#[derive(Default)]
struct Found {
    files: [Option<Vec<ImageFile>>; 3],
    /// Labels in the order in which they came, and the index of each.
    labels: Vec<String>,
    places: HashMap<String, u32>,
    /// The first line of each image, and its label there.
    lines: HashMap<std::path::PathBuf, (u64, u32)>,
    /// Rows in all.
    rows: usize,
    /// The number of rows that name an image again and of those with another label, and the first of each as text.
    again: usize,
    other_label: usize,
    first: [Option<String>; 2],
}

impl Found {
    fn take(&mut self, row: Row<'_>, file: std::path::PathBuf) {
        let label = match self.places.get(row.label) {
            Some(&label) => label,
            None => {
                let label = self.labels.len() as u32;
                self.labels.push(row.label.to_string());
                self.places.insert(row.label.to_string(), label);
                label
            }
        };
        self.rows += 1;
        // Paths are compared as the system resolves them: a/./b, a/../a/b and a link to it are a/b.
        match self.lines.entry(file.canonicalize().unwrap_or_else(|_| file.components().collect())) {
            std::collections::hash_map::Entry::Vacant(v) => drop(v.insert((row.line, label))),
            std::collections::hash_map::Entry::Occupied(o) => {
                let &(line, before) = o.get();
                let say = || format!("line {} names {}, as line {line} does", row.line, distinct(row.path, NAME));
                self.again += 1;
                self.first[0].get_or_insert_with(say);
                if before != label {
                    self.other_label += 1;
                    self.first[1].get_or_insert_with(say);
                }
            }
        }
        let entry = ImageFile { path: file, name: row.path.to_string(), label, group: None };
        self.files[row.split as usize].get_or_insert_default().push(entry);
    }

    /// Refuses too many rows for one image, because a short file could name one picture a million times.
    fn check_repeats(&self, path: &Path) -> Result<()> {
        if self.rows > FEW && self.rows / REPEATS > self.lines.len() {
            let (n, m) = (self.rows, self.lines.len());
            let what = format!("its first {n} rows name only {m} images; name each image once");
            return Err(Error::Data(format!("{}: {what}", path.display())));
        }
        Ok(())
    }

    /// Sorts the classes and turns labels into their numbers.
    fn listing(self, name: String) -> Listing {
        let Found { mut files, labels, again, other_label, first, .. } = self;
        let mut classes = labels.clone();
        classes::sort(&mut classes);
        let at: HashMap<&String, u32> = classes.iter().zip(0..).collect();
        let place: Vec<u32> = labels.iter().map(|l| at.get(l).copied().unwrap_or(0)).collect();
        for entry in files.iter_mut().flatten().flatten() {
            entry.label = place[entry.label as usize];
        }
        let mut notes = classes::notes(&classes);
        let [first, first_other] = first.map(Option::unwrap_or_default);
        if again > 0 {
            notes.push(format!("rows that name an image which an earlier row names: {again}, first {first}"));
        }
        if other_label > 0 {
            notes.push(format!(
                "rows that give an image another label than an earlier row: {other_label}, first {first_other}"
            ));
        }
        Listing { name, classes, files, notes, ..Listing::default() }
    }
}

fn bad(path: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} line {line}: {what}", path.display()))
}

/// The error for a line that is not a row.
fn broken(path: &Path, e: &csv::Error) -> Error {
    match e.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => {
            let what = "a comma is missing or too many, or a quotation mark is not closed";
            bad(path, pos.line(), format!("it has {len} columns, but the header has {expected_len}: {what}"))
        }
        csv::ErrorKind::Utf8 { pos: Some(pos), .. } => {
            bad(path, pos.line(), "it is not UTF-8 text; save the CSV in that encoding")
        }
        _ => Error::Data(format!("{} is not a readable CSV file: {e}", path.display())),
    }
}

struct Row<'a> {
    line: u64,
    path: &'a str,
    label: &'a str,
    split: Split,
}

/// Passes each row to `take` and keeps none.
fn rows(path: &Path, bytes: &[u8], mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let broken = |e: csv::Error| broken(path, &e);
    let header = reader.headers().map_err(broken)?.clone();
    // Some spreadsheets write a byte-order mark at the beginning.
    let column = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let (Some(at), Some(label)) = (column("path"), column("label")) else {
        return Err(bad(path, 1, wrong_header(&header)));
    };
    let split = column("split");
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let line = record.position().map_or(0, |p| p.line());
        let field = |i: usize| record.get(i).unwrap_or_default();
        let split = match split.map(field) {
            None => Split::Train,
            Some(text) => Split::parse(text).ok_or_else(|| {
                bad(path, line, format!("the split {} is not train, val or test", classes::shown(text)))
            })?,
        };
        let row = Row { line, path: field(at), label: field(label), split };
        row.check().map_err(|what| bad(path, line, what))?;
        take(row)?;
    }
    Ok(())
}

impl Row<'_> {
    /// What is wrong with this row alone.
    fn check(&self) -> Result<(), String> {
        for (what, text) in [("path", self.path), ("label", self.label)] {
            if text.is_empty() {
                return Err(format!("the {what} is empty; give one, or leave the line out"));
            }
            if text.contains(['\n', '\r']) {
                let text = classes::shown(text);
                return Err(format!("the {what} {text} holds a line break; a quotation mark may not be closed"));
            }
        }
        if self.label.chars().count() > MAX_LABEL {
            let label = classes::shown(self.label);
            return Err(format!(
                "the label {label} is longer than {MAX_LABEL} characters; use shorter names of classes"
            ));
        }
        if self.path.len() > MAX_PATH {
            let path = classes::shown(self.path);
            return Err(format!("the path {path} is longer than {MAX_PATH} bytes"));
        }
        if classes::is_nan(self.label) {
            let label = classes::shown(self.label);
            return Err(format!("the label {label} is a missing value, not a class; give one, or leave the line out"));
        }
        Ok(())
    }
}

/// What is wrong with a header: what it holds and, if another sign seems to separate its columns, that sign.
fn wrong_header(header: &csv::StringRecord) -> String {
    let found: Vec<String> = header.iter().map(str::to_string).collect();
    let mut what = format!(
        "the header must name the columns path and label, and may name split; it is {}, and columns are separated by commas",
        if found.is_empty() { "empty".into() } else { classes::listed(&found) }
    );
    let signs = [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")];
    if let Some((_, name)) = signs.into_iter().find(|(sign, _)| header.len() == 1 && found[0].contains(sign)) {
        what.push_str(&format!(" (this file seems to have {name}: save it with commas)"));
    } else if found.iter().any(|f| f.contains(['/', '\\']) || f.contains('.')) {
        what.push_str(" (this line looks like an image: put a line path,label,split before it)");
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::data::testing::{complaint, options, write_png};

    #[test]
    fn rows_become_splits_with_numbers_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..6 {
            write_png(&dir.path().join(format!("im/{i}.png")), i, 9);
        }
        let text = "label, path ,Split\n10,im/0.png,train\n9,im/1.png,train\n10,im/2.png,test\n9,im/3.png,val\n";
        std::fs::write(dir.path().join("m.csv"), text).unwrap();
        let data = load("m.csv", &options(dir.path(), 1), &|_, _| ()).unwrap();
        assert_eq!(data.classes, ["9", "10"]);
        assert_eq!((data.train.labels, data.val.labels, data.test.labels), (vec![1, 0], vec![0], vec![1]));
        assert_eq!(data.test.names, ["im/2.png"]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        write_png(&dir.path().join("a.png"), 1, 9);
        let refuse = |text: &[u8]| {
            std::fs::write(dir.path().join("m.csv"), text).unwrap();
            complaint(list(&dir.path().join("m.csv")))
        };
        assert!(refuse(b"").contains("columns path and label"));
        assert!(refuse(b"path,label\n").contains("names no image"));
        assert!(refuse(b"path,label\na.png,x\nb.png,x\n").contains("line 3: "));
        assert!(refuse(b"path,label,split\na.png,x,extra\n").contains("'extra'"));
        assert!(refuse(b"path,label\na.png,\n").contains("line 2"));
        assert!(refuse(b"path,label\na.png,x,y,z\n").contains("line 2: it has 4 columns"));
        assert!(refuse(b"path,label\n\xff\xfe,x\n").contains("line 2: it is not UTF-8"));
    }

    #[test]
    fn a_header_that_is_not_one_is_shown() {
        for (text, say) in [
            (
                "path;label;split\na;b;c\n",
                "'path;label;split', and columns are separated by commas (this file seems to have semicolons",
            ),
            ("path\tlabel\n", "seems to have tabs"),
            (
                "img/0.png,a,train\n",
                "it is 'img/0.png', 'a', 'train', and columns are separated by commas (this line looks like an image",
            ),
            ("", "it is empty"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("m.csv");
            std::fs::write(&path, text).unwrap();
            let said = complaint(list(&path));
            assert!(said.contains("line 1: ") && said.contains(say), "{said}");
        }
    }

    #[test]
    fn labels_that_are_none_are_refused_and_strange_ones_told() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..4 {
            write_png(&dir.path().join(format!("{i}.png")), i, 9);
        }
        let of = |text: &str| {
            std::fs::write(dir.path().join("m.csv"), text).unwrap();
            list(&dir.path().join("m.csv"))
        };
        assert!(
            complaint(of("path,label\n0.png,a\n1.png,NaN\n")).contains("line 3: the label 'NaN' is a missing value")
        );
        let long = format!("path,label\n0.png,{}\n", "x".repeat(70_000));
        let said = complaint(of(&long));
        assert!(said.contains("line 2: ") && said.contains("longer than 255") && said.len() < 600, "{said}");
        let said = complaint(of("path,label\n0.png,\"a\n1.png,b\n2.png,c\n"));
        assert!(said.contains("line 2: ") && said.contains("quotation mark"), "{said}");
        let notes = of("path,label\n0.png,A\n1.png,a\n2.png,a|b\n3.png,b\n./0.png,A\n0.png,b\n").unwrap().notes;
        assert!(notes[0].contains("'A' and 'a' differ only in case"), "{notes:?}");
        assert!(notes[1].contains("'a|b' looks like several"), "{notes:?}");
        assert!(notes[2].contains("names: 2, first line 6 names ./0.png, as line 2"));
        assert!(notes[3].contains("another label than an earlier row: 1, first line 7"), "{notes:?}");
    }

    #[test]
    fn a_class_of_one_image_each_cannot_be_held_out() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..5 {
            write_png(&dir.path().join(format!("{i}.png")), i, 9);
        }
        let of = |text: &str| {
            std::fs::write(dir.path().join("m.csv"), text).unwrap();
            load("m.csv", &options(dir.path(), 1), &|_, _| ())
        };
        let said = complaint(of("path,label,split\n0.png,a,train\n1.png,b,train\n2.png,a,test\n"));
        assert!(said.contains("each class has one training image, none can be held out"), "{said}");
        let told =
            of("path,label,split\n0.png,a,train\n1.png,b,train\n3.png,b,train\n2.png,a,test\n").unwrap().warnings;
        assert!(told[0].contains("one training image only") && told[0].contains("'a'"), "{told:?}");
        let said = complaint(of("path,label,split\n0.png,a,train\n1.png,a,train\n3.png,b,test\n"));
        assert!(said.contains("train has no image of the class 'b', but 3.png of test is of it"), "{said}");
    }

    #[test]
    fn an_image_that_several_rows_name_is_decoded_once() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..2 {
            write_png(&dir.path().join(format!("d/{i}.png")), i, 900);
        }
        std::fs::write(dir.path().join("d/bad.png"), "no picture").unwrap();
        let path = dir.path().join("m.csv");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            list(&path).unwrap().decode(&options(dir.path(), 1), &|_, _| ()).unwrap()
        };
        let since = std::time::Instant::now();
        let rows = |n: usize| "d/1.png,b\nd/../d/0.png,a\n".repeat(n);
        let two = of(&format!("path,label\nd/0.png,a\n{}", rows(1)));
        let once = since.elapsed();
        let since = std::time::Instant::now();
        let many = of(&format!("path,label\nd/0.png,a\n{}", rows(400)));
        assert!(since.elapsed() < 40 * once, "{:?} for 801 rows, {once:?} for 3", since.elapsed());
        let (two, many) = (&two.parts[0].as_ref().unwrap().images, &many.parts[0].as_ref().unwrap().images);
        assert_eq!((many.len(), &many.labels[..3], &many.names[2][..]), (801, &[0, 1, 0][..], "d/../d/0.png"));
        assert!((0..801).all(|i| many.image(i) == two.image(i % 2)) && two.image(0) != two.image(1));
        let bad = of("path,label\nd/bad.png,a\nd/0.png,a\nd/bad.png,b\n").unreadable;
        assert!(bad.len() == 2 && bad[0] == bad[1], "{bad:?}");
    }

    #[test]
    fn many_classes_are_found_fast_and_many_rows_of_one_image_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        let mut text = String::new();
        let mut seconds = |classes: usize| {
            text = String::from("path,label\n");
            (0..classes).for_each(|i| text.push_str(&format!("m.csv,class {i}\n")));
            std::fs::write(&path, &text).unwrap();
            let once = || {
                let since = std::time::Instant::now();
                assert_eq!(list(&path).unwrap().classes.len(), classes);
                since.elapsed().as_secs_f64()
            };
            (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
        };
        // Ten times the classes must take about ten times as long. If each class were searched among all, it would take
        // a hundred times as long.
        let (few, many) = (seconds(3_000), seconds(30_000));
        assert!(many < 40.0 * few, "{few} s for 3,000 classes, {many} s for 30,000");
        (0..FEW).for_each(|_| text.push_str("m.csv,a\n"));
        std::fs::write(&path, &text).unwrap();
        assert!(complaint(list(&path)).contains("name each image once"));
    }
}
