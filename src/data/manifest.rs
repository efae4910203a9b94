//! CSV manifests with the columns path, label and, where there are splits, split. Paths start from the manifest's
//! folder. Labels are class names; where all are whole numbers they sort as numbers.

use crate::base::{Error, Result, files};
use crate::data::Split;
use crate::data::decode::{Entry, Listing, name_of};
use std::path::Path;

/// Lists the images a manifest names, in its order.
pub fn list(path: &Path) -> Result<Listing> {
    let bytes = files::read(path)?;
    let rows = rows(path, &bytes)?;
    let train = rows.iter().filter(|r| r.split == Split::Train);
    let mut classes: Vec<String> = train.map(|r| r.label.clone()).collect();
    classes.sort_by_cached_key(|c| (c.parse::<u64>().unwrap_or(u64::MAX), c.clone()));
    classes.dedup();
    if classes.is_empty() {
        return Err(Error::Data(format!("{} names no training image", path.display())));
    }
    let mut listing = Listing { name: name_of(path), classes, ..Listing::default() };
    let folder = path.parent().unwrap_or(Path::new(""));
    for row in rows {
        let Some(label) = listing.classes.iter().position(|c| *c == row.label) else {
            let (line, label, split) = (row.line, row.label, row.split.name());
            return Err(bad(path, line, format!("the label '{label}' of this {split} image is not one of train's")));
        };
        let file = folder.join(&row.path);
        if !file.is_file() {
            return Err(bad(path, row.line, format!("{} is not there", file.display())));
        }
        let entry = Entry { path: file, name: row.path, label: label as u32 };
        listing.files[row.split as usize].get_or_insert_default().push(entry);
    }
    Ok(listing)
}

fn bad(path: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} line {line}: {what}", path.display()))
}

struct Row {
    line: u64,
    path: String,
    label: String,
    split: Split,
}

fn rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let broken = |e: csv::Error| Error::Data(format!("{} is not a readable CSV file: {e}", path.display()));
    let header = reader.headers().map_err(broken)?.clone();
    // Some spreadsheets begin a file with a byte-order mark.
    let column = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let (Some(at), Some(label)) = (column("path"), column("label")) else {
        return Err(bad(path, 1, "the header must name the columns path and label, and may name split"));
    };
    let split = column("split");
    let mut out = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |p| p.line());
        let field = |i: usize| record.get(i).unwrap_or_default().to_string();
        let split = match split.map(field) {
            None => Split::Train,
            Some(text) => Split::parse(&text)
                .ok_or_else(|| bad(path, line, format!("the split '{text}' is not train, val or test")))?,
        };
        let row = Row { line, path: field(at), label: field(label), split };
        if row.path.is_empty() || row.label.is_empty() {
            return Err(bad(path, line, "the path or the label is empty"));
        }
        out.push(row);
    }
    Ok(out)
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
        assert!(refuse(b"path,label\n").contains("no training image"));
        assert!(refuse(b"path,label\na.png,x\nb.png,x\n").contains("line 3: "));
        assert!(refuse(b"path,label,split\na.png,x,train\na.png,y,test\n").contains("'y'"));
        assert!(refuse(b"path,label,split\na.png,x,extra\n").contains("'extra'"));
        assert!(refuse(b"path,label\na.png,\n").contains("line 2"));
        assert!(refuse(b"path,label\na.png,x,y,z\n").contains("CSV"));
        assert!(refuse(b"path,label\n\xff\xfe,x\n").contains("CSV"));
    }
}
