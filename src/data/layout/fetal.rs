//! Fetal planes (Burgos-Artizzu et al. 2020, Zenodo 3904280): ultrasound images in 6 classes, as `Images/NAME.png` and a
//! table `FETAL_PLANES_DB_data.csv` with semicolons between its columns. Of these, `Image_name` has no ending, `Plane` is
//! the class, `Patient_num` the group, and `Train` is 1 or 0. Spaces around names and values do not count. Classes are in
//! alphabetical order, as the order of the study's author is not known.

use super::official::{Download, child};
use super::table::{NamedImages, Row, Table, bad};
use super::walk::FolderWalk;
use super::{Claims, Layout, Open, files};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing};
use crate::data::{Split, classes};
use std::collections::{HashMap, HashSet};
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "fetal",
    takes: "fetal:ROOT",
    help: "fetal:ROOT, the fetal planes of Zenodo as downloaded: Images and FETAL_PLANES_DB_data.csv",
    claims: Claims::Nothing,
    open: Open::Path(|path| files(list(path))),
};

const DOWNLOAD: Download = Download {
    name: "fetal",
    holds: "the folder Images and the table FETAL_PLANES_DB_data.csv",
    classes: &["Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other"],
    images: [7_129, 0, 5_271],
};

const TABLE: &str = "FETAL_PLANES_DB_data.csv";
const SHEET: &str = "FETAL_PLANES_DB_data.xlsx";

/// Lists the images that the table of a download names, in its order.
pub fn list(root: &Path) -> Result<Listing> {
    let has = |folder: &Path, name: &str| child(folder, name).is_ok_and(|c| c.is_some());
    let root = &DOWNLOAD.find(root, TABLE, |folder| has(folder, TABLE) || has(folder, SHEET))?;
    let Some(path) = child(root, TABLE)? else {
        return Err(Error::Data(format!(
            "{} has its table only as a spreadsheet, {SHEET}; unpack {TABLE} from the download, or save the sheet under \
             that name with semicolons between the columns",
            root.display()
        )));
    };
    let mut walk = FolderWalk::new(root);
    let found = walk.images_of(&DOWNLOAD.part(root, "Images")?)?;
    let by_name = by_name(&found)?;
    let (mut images, mut named) = (NamedImages::of_classes(DOWNLOAD.classes), HashSet::new());
    let bytes = crate::base::files::read(&path)?;
    rows(&path, &bytes, |row| {
        let Some(file) = by_name.get(row.path) else {
            let name = classes::shown(row.path);
            return Err(bad(
                &path,
                row.line,
                format!("the folder Images holds no image {name}; unpack the whole download"),
            ));
        };
        named.insert(&file.name);
        images.take(Row { path: &file.name, ..row }, file.path.clone());
        images.check_repeats(&path)
    })?;
    if images.is_empty() {
        return Err(Error::Data(format!("{} names no image", path.display())));
    }
    let mut listing = images.listing(DOWNLOAD.name.into());
    let mut others = found.iter().filter(|file| !named.contains(&file.name)).peekable();
    if let Some(first) = others.peek().map(|file| classes::shown(&file.name)) {
        let n = others.count();
        listing.notes.push(format!("images that the table does not name: {n}; the first is {first}"));
    }
    DOWNLOAD.finish(&mut listing, &walk);
    Ok(listing)
}

/// The images by file name, and by file name without its ending.
fn by_name(found: &[ImageFile]) -> Result<HashMap<String, &ImageFile>> {
    let mut names: HashMap<String, &ImageFile> = HashMap::new();
    for file in found {
        let whole = file.name.rsplit('/').next().unwrap_or_default();
        let stem = whole.rsplit_once('.').map_or(whole, |(stem, _)| stem);
        for name in [stem, whole] {
            if let Some(twin) = names.insert(name.to_string(), file) {
                let (a, b) = (twin.path.display(), file.path.display());
                return Err(Error::Data(format!("{a} and {b} have the same name in the table; keep one")));
            }
        }
    }
    Ok(names)
}

/// Passes each row of the table to `take`. Its path is the name in the table.
fn rows(path: &Path, bytes: &[u8], mut take: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
    let table = Table::new(path, bytes, b';')?;
    let column = |name: &str| {
        table.column(name).ok_or_else(|| {
            let header = table.shown_header();
            bad(
                path,
                1,
                format!("the header must name the columns Image_name, Patient_num, Plane and Train; it is {header}"),
            )
        })
    };
    let [image, patient, plane, train] =
        [column("Image_name")?, column("Patient_num")?, column("Plane")?, column("Train")?];
    table.rows(|line, fields| {
        let field = |i: usize| fields.get(i).unwrap_or_default();
        let split = match field(train) {
            "1" => Split::Train,
            "0" => Split::Test,
            other => return Err(bad(path, line, format!("Train is {}; it must be 1 or 0", classes::shown(other)))),
        };
        let (label, patient) = (field(plane), field(patient));
        let row = Row { line, path: field(image), label, split, group: Some(patient) };
        row.check().map_err(|what| bad(path, line, what))?;
        if patient.is_empty() {
            return Err(bad(path, line, "Patient_num is empty; without it a patient could be in train and in test"));
        }
        if !DOWNLOAD.classes.contains(&label) {
            let known: Vec<String> = DOWNLOAD.classes.iter().map(|c| c.to_string()).collect();
            let (label, hint) = (classes::shown(label), classes::hint(label, &known));
            return Err(bad(path, line, format!("the plane {label} is none of {}{hint}", classes::listed(&known))));
        }
        take(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{class_tree, complaint, options};
    use crate::data::{inspect, load};

    const HEADER: &str = "Image_name; Patient_num;Plane;Brain_plane;Operator;US_Machine;Train \n";

    /// A table with the spaces of the official one: each patient has two images of one plane.
    fn table(patients: std::ops::Range<usize>, train: std::ops::Range<usize>) -> String {
        let row = |p: usize, i: usize| {
            let (plane, train) = (DOWNLOAD.classes[p % 6], u8::from(train.contains(&p)));
            format!("Patient{p:05}_Plane_{i};{p} ;{plane} ;Not A Brain;Op. 1;Voluson E6;{train} \n")
        };
        patients.flat_map(|p| [row(p, 0), row(p, 1)]).collect()
    }

    /// 24 patients, of whom the first 18 are in train.
    fn tree(place: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(place);
        for p in 0..24 {
            class_tree(&root.join("all"), &[&format!("Patient{p:05}_Plane_")], "", 2, "png");
        }
        std::fs::create_dir(root.join("Images")).unwrap();
        for p in 0..24 {
            for i in 0..2 {
                let from = root.join(format!("all/Patient{p:05}_Plane_/{i}.png"));
                std::fs::rename(from, root.join(format!("Images/Patient{p:05}_Plane_{i}.png"))).unwrap();
            }
        }
        std::fs::remove_dir_all(root.join("all")).unwrap();
        std::fs::write(root.join(TABLE), format!("\u{feff}{HEADER}{}", table(0..24, 0..18))).unwrap();
        dir
    }

    #[test]
    fn the_table_gives_classes_splits_and_patients() {
        for place in ["", "FETAL_PLANES_ZENODO"] {
            let dir = tree(place);
            std::fs::write(dir.path().join(place).join(SHEET), "x").unwrap();
            let data = load("fetal:.", &options(dir.path(), 1), &|_, _| ()).unwrap();
            assert_eq!(data.classes, DOWNLOAD.classes);
            assert_eq!(data.test.names[..2], ["Images/Patient00018_Plane_0.png", "Images/Patient00018_Plane_1.png"]);
            assert_eq!((data.test.labels[..4].to_vec(), data.test.len()), (vec![0, 0, 1, 1], 12));
            assert_eq!((data.train.len(), data.val.class_counts(6)), (24, vec![2; 6]), "whole patients");
            let patients = |names: &[String]| names.iter().map(|n| n[7..19].to_string()).collect::<HashSet<_>>();
            assert!(patients(&data.train.names).is_disjoint(&patients(&data.val.names)));
            let has = |text: &str| data.warnings.iter().any(|n| n.contains(text));
            assert!(has("patients: 18 in train, 6 in test; each is in one split only"), "{:?}", data.warnings);
            assert!(has("36 in train, 12 in test; the whole download has 7129 in train, 5271 in test"));
        }
    }

    #[test]
    fn a_patient_of_both_splits_and_files_that_are_not_named_are_told() {
        let dir = tree("");
        let images = dir.path().join("Images");
        std::fs::rename(images.join("Patient00000_Plane_0.png"), images.join("Patient00000_Plane_0.PNG")).unwrap();
        let more = format!("Patient00007_Plane_1.png; 7; {};;;;0\n", DOWNLOAD.classes[1]);
        let rest: String = table(0..24, 0..18).replace("Patient00007_Plane_1;", "Patient00006_Plane_1;");
        std::fs::write(dir.path().join(TABLE), format!("{HEADER}{more}{rest}")).unwrap();
        for (name, file) in [("Thumbs.db", "x"), ("._Patient00001_Plane_0.png", "x"), ("list.txt", "x")] {
            std::fs::write(images.join(name), file).unwrap();
        }
        class_tree(&images, &["new"], "", 1, "png");
        let notes = inspect("fetal:.", &options(dir.path(), 1)).unwrap().notes;
        let has = |text: &str| notes.iter().any(|n| n.contains(text));
        assert!(has("the files have 1 in several splits") && has("the first is '7'"), "{notes:?}");
        assert!(has("2 images of train and val are left out: a later split has"), "{notes:?}");
        assert!(has("rows that give an image another label than an earlier row: 1, first line 18"), "{notes:?}");
        assert!(has("images that the table does not name: 1; the first is 'Images/new/0.png'"), "{notes:?}");
        assert!(has("files not read: 1 (1 .txt)") && has("hidden images left out: 1"), "{notes:?}");
    }

    #[test]
    fn a_row_that_cannot_be_is_named_with_its_line() {
        let dir = tree("");
        let path = dir.path().join(TABLE);
        let refuse = |text: String| {
            std::fs::write(&path, text).unwrap();
            complaint(list(dir.path()))
        };
        for (row, says) in [
            ("Patient00000_Plane_0;1;Other;;;;2", "line 2: Train is '2'; it must be 1 or 0"),
            ("Patient00000_Plane_0;1;Other;;;;", "line 2: Train is ''"),
            ("Patient00000_Plane_0;;Other;;;;1", "line 2: Patient_num is empty"),
            ("Patient00000_Plane_0;1;other;;;;1", "line 2: the plane 'other' is none of 'Fetal abdomen'"),
            ("Patient00000_Plane_0;1;;;;;1", "line 2: the label is empty"),
            (";1;Other;;;;1", "line 2: the path is empty"),
            ("Patient00000_Plane_9;1;Other;;;;1", "line 2: the folder Images holds no image 'Patient00000_Plane_9'"),
            ("Patient00000_Plane_0;1;Other", "line 2: it has 3 columns, but the header has 7: a semicolon is missing"),
        ] {
            let said = refuse(format!("{HEADER}{row}\n"));
            assert!(said.contains(says), "{said}");
        }
        assert!(refuse(HEADER.into()).contains("names no image"));
        let said = refuse(HEADER.replace(';', ","));
        assert!(
            said.contains("columns are separated by semicolons (this file seems to have commas: save it"),
            "{said}"
        );
        let said = refuse(HEADER.replace("Patient_num", "Patient"));
        assert!(said.contains("line 1: the header must name") && said.contains("'Patient', 'Plane'"), "{said}");
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        let dir = tree("");
        let root = dir.path();
        std::fs::copy(root.join("Images/Patient00000_Plane_0.png"), root.join("Images/Patient00000_Plane_0.jpg"))
            .unwrap();
        assert!(complaint(list(root)).contains("have the same name in the table"));
        std::fs::remove_file(root.join("Images/Patient00000_Plane_0.jpg")).unwrap();
        std::fs::rename(root.join(TABLE), root.join(SHEET)).unwrap();
        let said = complaint(list(root));
        assert!(
            said.contains("only as a spreadsheet") && said.contains("with semicolons between the columns"),
            "{said}"
        );
        std::fs::rename(root.join(SHEET), root.join(TABLE)).unwrap();
        std::fs::rename(root.join("Images"), root.join("Pictures")).unwrap();
        let said = complaint(list(root));
        assert!(said.contains("has no Images; the download of fetal holds the folder Images and the table"), "{said}");
        std::fs::remove_file(root.join(TABLE)).unwrap();
        assert!(complaint(list(root)).contains("has no FETAL_PLANES_DB_data.csv; the download"));
    }
}
