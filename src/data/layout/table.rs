//! CSV tables that name images: columns by the names in their header, and rows as files with labels.

use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing};
use crate::data::{Split, classes};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

/// The most characters of a label, because it names a class in tables and messages.
const MAX_LABEL: usize = 255;

/// The most bytes of a path. No system opens a longer one.
const MAX_PATH: usize = 4096;

/// Up to this many rows are always accepted. With more rows, each image may have at most [`REPEATS`] rows on average.
pub(super) const FEW: usize = 65_536;
const REPEATS: usize = 16;

/// What separates columns in the files of different programs.
const SEPARATORS: [(u8, &str); 4] = [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab"), (b'|', "bar")];

/// A CSV file whose header has been read. Spaces around names and values do not count.
pub(in crate::data) struct Table<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    separator: u8,
    reader: csv::Reader<&'a [u8]>,
    /// The names of the columns.
    pub header: Vec<String>,
}

impl<'a> Table<'a> {
    /// The table in `bytes`, which the file at `path` holds.
    pub fn new(path: &'a Path, bytes: &'a [u8], separator: u8) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(separator).from_reader(bytes);
        let header = reader.headers().map_err(|e| broken((path, bytes), separator, &e))?;
        // Some spreadsheets write a byte-order mark at the beginning.
        let header = header.iter().map(|h| h.trim_start_matches('\u{feff}').to_string()).collect();
        Ok(Table { path, bytes, separator, reader, header })
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h.eq_ignore_ascii_case(name))
    }

    /// The header for a message: its names, what separates them, and what seems to separate them instead.
    pub fn shown_header(&self) -> String {
        let names = if self.header.is_empty() { "empty".into() } else { classes::listed(&self.header) };
        let due = separator_name(self.separator);
        let has = |other: &&(u8, &str)| matches!(self.header.as_slice(), [all] if all.contains(char::from(other.0)));
        let other = SEPARATORS.iter().filter(|s| s.0 != self.separator).find(has);
        let seems =
            other.map_or(String::new(), |(_, name)| format!(" (this file seems to have {name}s: save it with {due}s)"));
        format!("{names}, and columns are separated by {due}s{seems}")
    }

    /// Passes the line number and the fields of each row to `take`. Keeps none.
    pub fn rows(mut self, mut take: impl FnMut(u64, &csv::StringRecord) -> Result<()>) -> Result<()> {
        let mut record = csv::StringRecord::new();
        let file = (self.path, self.bytes);
        while self.reader.read_record(&mut record).map_err(|e| broken(file, self.separator, &e))? {
            take(record.position().map_or(0, |p| line_of(self.bytes, p)), &record)?;
        }
        Ok(())
    }
}

fn separator_name(separator: u8) -> &'static str {
    SEPARATORS.iter().find(|s| s.0 == separator).map_or("sign", |s| s.1)
}

/// A row that names an image.
pub(super) struct Row<'a> {
    pub line: u64,
    /// The image's name in the dataset.
    pub path: &'a str,
    pub label: &'a str,
    pub split: Split,
    pub group: Option<&'a str>,
}

impl Row<'_> {
    /// What is wrong with this row alone.
    pub fn check(&self) -> Result<(), String> {
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

/// The images of the rows so far.
#[derive(Default)]
pub(super) struct NamedImages {
    files: [Option<Vec<ImageFile>>; 3],
    /// Labels in the order in which they came, and the index of each.
    labels: Vec<String>,
    places: HashMap<String, u32>,
    /// The first line of each image, and its label there.
    lines: HashMap<PathBuf, (u64, u32)>,
    /// Rows in all.
    rows: usize,
    /// The number of rows that name an image again and of those with another label, and the first of each as text.
    again: usize,
    other_label: usize,
    first: [Option<String>; 2],
}

impl NamedImages {
    /// Images of exactly these classes.
    pub fn of_classes(classes: &[&str]) -> Self {
        let labels: Vec<String> = classes.iter().map(|c| c.to_string()).collect();
        NamedImages { places: labels.iter().cloned().zip(0..).collect(), labels, ..NamedImages::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the image of a row, whose file is `file`.
    pub fn take(&mut self, row: Row<'_>, file: PathBuf) {
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
            Entry::Vacant(v) => drop(v.insert((row.line, label))),
            Entry::Occupied(o) => {
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
        let entry = ImageFile { path: file, name: row.path.to_string(), label, group: row.group.map(str::to_string) };
        self.files[row.split as usize].get_or_insert_default().push(entry);
    }

    /// Refuses too many rows for one image, because a short file could name one picture a million times.
    pub fn check_repeats(&self, path: &Path) -> Result<()> {
        if self.rows > FEW && self.rows / REPEATS > self.lines.len() {
            let (n, m) = (self.rows, self.lines.len());
            let what = format!("its first {n} rows name only {m} images; name each image once");
            return Err(Error::Data(format!("{}: {what}", path.display())));
        }
        Ok(())
    }

    /// Sorts the classes and turns labels into their numbers.
    pub fn listing(self, name: String) -> Listing {
        let NamedImages { mut files, labels, again, other_label, first, .. } = self;
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

/// The error for what is wrong with a line.
pub(super) fn bad(path: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} line {line}: {what}", path.display()))
}

/// The line of a row. The reader's place is before the empty lines above it, and before the last byte of a line that ends as
/// Windows ends it.
fn line_of(bytes: &[u8], place: &csv::Position) -> u64 {
    let rest = bytes.get(place.byte() as usize..).unwrap_or_default();
    let ends = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    place.line() + ends.filter(|b| **b == b'\n').count() as u64
}

/// The error for a line that is not a row.
fn broken((path, bytes): (&Path, &[u8]), separator: u8, e: &csv::Error) -> Error {
    match e.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => {
            let (line, separator) = (line_of(bytes, pos), separator_name(separator));
            let what = format!("a {separator} is missing or too many, or a quotation mark is not closed");
            bad(path, line, format!("it has {len} columns, but the header has {expected_len}: {what}"))
        }
        csv::ErrorKind::Utf8 { pos: Some(pos), .. } => {
            bad(path, line_of(bytes, pos), "it is not UTF-8 text; save the CSV in that encoding")
        }
        _ => Error::Data(format!("{} is not a readable CSV file: {e}", path.display())),
    }
}
