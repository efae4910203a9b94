//! CSV manifests with the columns path, label and, where there are splits or patients, split and patient. Paths start from
//! the manifest's folder. Labels are class names. If all labels are numbers, they sort as numbers. An image without a
//! patient is a group of its own.

use super::table::{NamedImages, Row, Table, bad};
use super::{Claims, Layout, Open, files};
use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result};
use crate::data::decode::{Listing, name_of};
use crate::data::{Split, classes};
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "manifest",
    takes: "a .csv manifest with the columns path,label[,split][,patient]",
    help: "a .csv manifest with the columns path,label[,split][,patient]; no split divides a patient; columns with _label in their name are for noise of the kind given",
    claims: Claims::Ending("csv"),
    open: Open::Path(|path| files(list(path))),
};

/// Lists the images that a manifest names, in its order.
pub fn list(path: &Path) -> Result<Listing> {
    let bytes = crate::base::files::read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut images = NamedImages::default();
    let unread = rows(path, &bytes, |row| {
        let file = folder.join(row.path);
        match file.metadata() {
            Ok(meta) if meta.is_file() => images.take(row, file),
            Ok(_) => {
                return Err(bad(path, row.line, format!("{} is not a file", distinct(&file.to_string_lossy(), NAME))));
            }
            Err(_) => {
                return Err(bad(path, row.line, format!("{} does not exist", distinct(&file.to_string_lossy(), NAME))));
            }
        }
        images.check_repeats(path)
    })?;
    if images.is_empty() {
        return Err(Error::Data(format!("{} names no image", path.display())));
    }
    let mut listing = images.listing(name_of(path));
    // Labels that people gave are for the noise of that kind: `noisy_label`, `worse_label`.
    let given = |name: &String| name.to_ascii_lowercase().contains("_label");
    let (given, unread): (Vec<String>, Vec<String>) = unread.into_iter().partition(given);
    if !given.is_empty() {
        listing.notes.push(format!(
            "columns that only noise of the kind given reads, as labels: {}; the classes are those of the column label",
            classes::listed(&given)
        ));
    }
    if !unread.is_empty() {
        // A misspelt `patient` or `split` would change which images are compared.
        listing.notes.push(format!(
            "columns that are not read: {}; read are path, label, split and patient",
            classes::listed(&unread)
        ));
    }
    Ok(listing)
}

/// Passes each row to `take` and keeps none. Gives the names of the columns that are not read.
fn rows(path: &Path, bytes: &[u8], mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<Vec<String>> {
    let table = Table::new(path, bytes, b',')?;
    let (Some(at), Some(label)) = (table.column("path"), table.column("label")) else {
        return Err(bad(path, 1, wrong_header(&table)));
    };
    let (split, patient) = (table.column("split"), table.column("patient"));
    let read = [Some(at), Some(label), split, patient];
    let others = table.header.iter().enumerate().filter(|(i, name)| !read.contains(&Some(*i)) && !name.is_empty());
    let unread = others.map(|(_, name)| name.clone()).collect();
    table.rows(|line, fields| {
        let field = |i: usize| fields.get(i).unwrap_or_default();
        let split = match split.map(field) {
            None => Split::Train,
            Some(text) => Split::parse(text).ok_or_else(|| {
                bad(path, line, format!("the split {} is not train, val or test", classes::shown(text)))
            })?,
        };
        let group = patient.map(field).filter(|patient| !patient.is_empty());
        let row = Row { line, path: field(at), label: field(label), split, group };
        row.check().map_err(|what| bad(path, line, what))?;
        take(row)
    })?;
    Ok(unread)
}

/// What is wrong with a header.
fn wrong_header(table: &Table<'_>) -> String {
    let shown = table.shown_header();
    let mut what =
        format!("the header must name the columns path and label, and may name split and patient; it is {shown}");
    if !shown.ends_with(')') && table.header.iter().any(|f| f.contains(['/', '\\', '.'])) {
        what.push_str(" (this line looks like an image: put a line path,label,split before it)");
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::layout::table::FEW;
    use crate::data::testing::{complaint, options, write_png};
    use crate::data::{Keep, load};

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
    fn no_split_divides_a_patient() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "path,label,split, Patient \n".to_string();
        for i in 0..24 {
            write_png(&dir.path().join(format!("{i}.png")), i, 9);
            let patient = if i == 23 { String::new() } else { format!(" {}", i / 2) };
            text += &format!(
                "{i}.png,{},{},{patient}\n",
                ["a", "b"][i as usize % 2],
                if i < 15 { "train" } else { "test" }
            );
        }
        std::fs::write(dir.path().join("m.csv"), text).unwrap();
        let data = load("m.csv", &options(dir.path(), 1), &|_, _| ()).unwrap();
        assert_eq!(
            (data.train.len(), data.val.len(), data.test.len()),
            (12, 2, 9),
            "image 14 is of the patient of image 15"
        );
        let (first, second) = (&data.val.names[0], &data.val.names[1]);
        let number = |name: &str| name.trim_end_matches(".png").parse::<u32>().unwrap();
        assert_eq!(number(first) / 2, number(second) / 2, "{first} {second}");
        let has = |text: &str| data.warnings.iter().any(|n| n.contains(text));
        assert!(has("patients: 8 in train, 5 in test") && has("have 1 in several splits"), "{:?}", data.warnings);
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
        assert!(refuse(b"path,label\r\na.png,x\r\nb.png,x\r\n").contains("line 3: "), "lines as Windows ends them");
        assert!(refuse(b"path,label\n\n\na.png,x\nb.png,x\n").contains("line 5: "), "empty lines");
        assert!(refuse(b"path,label\r\na.png,x\r\na.png,x,y,z\r\n").contains("line 3: it has 4 columns"));
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
        let given = of("path,label,worse_label,patient_label\n0.png,A,b,7\n1.png,b,b,8\n").unwrap().notes;
        let due = "columns that only noise of the kind given reads, as labels: 'worse_label', 'patient_label'; the classes are those of \
                   the column label";
        assert_eq!(given, [due], "a misspelt column is told, too");
        let misspelt = of("path,label,patients,spilt\n0.png,A,7,train\n1.png,b,8,train\n").unwrap().notes;
        assert_eq!(
            misspelt,
            ["columns that are not read: 'patients', 'spilt'; read are path, label, split and patient"]
        );
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
            list(&path).unwrap().decode(&options(dir.path(), 1), Keep::Memory, &|_, _| ()).unwrap()
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
        assert!(
            (0..801).all(|i| many.image(i).unwrap() == two.image(i % 2).unwrap())
                && two.image(0).unwrap() != two.image(1).unwrap()
        );
        let bad = of("path,label\nd/bad.png,a\nd/0.png,a\nd/bad.png,b\n").unreadable;
        assert!(bad.len() == 2 && bad[0].to_string() == bad[1].to_string(), "{bad:?}");
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
