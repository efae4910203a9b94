//! Labels that people gave to images, from a file beside the dataset: a CSV table or a NumPy archive.
//!
//! A CSV has the column `path` or `name` with an image's name in the dataset, and a column with its label. An archive has an
//! array of class numbers and, as `wgslab embed` writes it, an array `names`; without names the labels are
//! those of the training split, by place, for a dataset whose images are known by their place (`train/17`).
//!
//! A label is the name of a class, or its number in the list of classes from 0. Where a file could mean both, and they differ,
//! it is refused.

use super::layout::{self, npz, table::Table};
use super::{Dataset, DecodedData, Images, Split, classes};
use crate::base::{Error, Result, files};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Labels by the names of images.
#[derive(Clone, Debug)]
pub struct GivenFile {
    path: PathBuf,
    column: String,
    labels: HashMap<String, String>,
    /// Whether they are known by their place in the training split alone.
    by_place: bool,
}

impl GivenFile {
    /// Reads the `column` of a file, relative to `data_root`; of an empty name, of the CSV manifest that `spec` names. `key` is
    /// where a person named the file, for messages.
    pub fn read(key: &str, [file, column]: [&str; 2], (spec, data_root): (&str, &Path)) -> Result<GivenFile> {
        let path = match file {
            "" => layout::manifest_of(spec, data_root)?.ok_or_else(|| {
                Error::Usage(format!(
                    "{key} names no file, so the column {column} is looked for in the CSV manifest, and {spec} is none; \
                     name a file with the labels there"
                ))
            })?,
            file => data_root.join(file),
        };
        if !files::exists(&path)? {
            return Err(Error::Data(format!(
                "{key}: {} is not there; a name that is no absolute path starts from the data root (--data-root)",
                path.display()
            )));
        }
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("npz") => of_archive(path, column),
            Some("csv") => of_table(path, column),
            _ => Err(Error::Data(format!("{} is no .csv and no .npz; given labels are one of these", path.display()))),
        }
    }

    /// The first of `images` that it has no label for.
    pub fn lacks<'a>(&self, images: &'a Images) -> Option<&'a str> {
        images.names.iter().map(String::as_str).find(|name| !self.labels.contains_key(*name))
    }

    /// The error of a file that lacks the labels of validation images, which are asked of it.
    pub fn without_validation(&self, name: &str) -> Error {
        self.wrong(format!(
            "has a label for each training image, and none for the validation image {}. With noise.validation = \"noisy\" \
             the labels of validation images come from the file, too: add them (`wgslab noise apply` with that key in its \
             --config writes them), or set noise.validation = \"clean\"",
            classes::shown(name)
        ))
    }

    /// The labels of `images` of `data`, in their order.
    pub fn of(&self, images: &Images, data: &Dataset) -> Result<Vec<u32>> {
        if self.by_place {
            let names = data.train.names.iter().chain(&data.val.names);
            self.expect_whole(names, data.train_in_files)?;
        }
        self.of_names(&images.names, &data.classes)
    }

    /// Gives all images of `data` its labels. A split without any label in it is left out, and its name is given.
    pub fn relabel(&self, mut data: DecodedData) -> Result<(DecodedData, Vec<&'static str>)> {
        if self.by_place {
            let train = data.parts[Split::Train as usize].as_ref().map(|p| &p.images.names[..]).unwrap_or_default();
            self.expect_whole(train.iter(), train.len())?;
        }
        let mut left = Vec::new();
        for (split, part) in Split::ALL.into_iter().zip(&mut data.parts) {
            if part.take_if(|p| !p.images.names.iter().any(|name| self.labels.contains_key(name))).is_some() {
                left.push(split.name());
            }
        }
        let names: Vec<String> = data.parts.iter().flatten().flat_map(|p| p.images.names.iter().cloned()).collect();
        if names.is_empty() {
            return Err(self.wrong(format!("names no image of {}", data.name)));
        }
        let mut labels = self.of_names(&names, &data.classes)?.into_iter();
        for part in data.parts.iter_mut().flatten() {
            part.images.labels.iter_mut().zip(labels.by_ref()).for_each(|(old, new)| *old = new);
        }
        Ok((data, left))
    }

    /// The labels of images of these names, in their order.
    fn of_names(&self, names: &[String], known: &[String]) -> Result<Vec<u32>> {
        let find = |name: &String| {
            self.labels.get(name).ok_or_else(|| {
                self.wrong(format!(
                    "has no label for {}; it must have one for each image that is learnt from",
                    classes::shown(name)
                ))
            })
        };
        let texts = names.iter().map(find).collect::<Result<Vec<_>>>()?;
        let by_name: Option<Vec<u32>> = texts.iter().map(|t| place(known, t)).collect();
        let number = |text: &&String| text.parse::<u32>().ok().filter(|&n| (n as usize) < known.len());
        let by_number: Option<Vec<u32>> = texts.iter().map(number).collect();
        match (by_name, by_number) {
            (Some(names), Some(numbers)) if names != numbers => Err(self.wrong(
                "holds labels that are names of classes and, as other classes, their numbers from 0; give the classes other names"
                    .into(),
            )),
            (Some(found), _) | (None, Some(found)) => Ok(found),
            (None, None) => {
                let strange = texts.iter().find(|t| place(known, t).is_none() && number(t).is_none());
                let strange = strange.map_or("names beside numbers".to_string(), |t| classes::shown(t));
                Err(self.wrong(format!(
                    "holds {strange}; labels are the classes {}, or all of them numbers from 0 to {}",
                    classes::listed(known),
                    known.len().saturating_sub(1)
                )))
            }
        }
    }

    /// Labels by place are of this dataset only where there are as many as training images in its file, with those that
    /// were dropped.
    fn expect_whole<'a>(&self, mut names: impl Iterator<Item = &'a String>, due: usize) -> Result<()> {
        if !names.any(|n| n.starts_with("train/")) {
            return Err(
                self.wrong("has no array `names`, and the images of the dataset are not known by their place".into())
            );
        }
        let held = self.labels.len();
        if held != due {
            return Err(self.wrong(format!(
                "holds {held} labels, and the training split {due} images; give one for each, in the order of the dataset's file"
            )));
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> Error {
        Error::Data(format!("{}, {}: it {what}", self.path.display(), self.column))
    }
}

fn place(names: &[String], text: &str) -> Option<u32> {
    names.iter().position(|n| n == text).map(|at| at as u32)
}

fn of_archive(path: PathBuf, column: &str) -> Result<GivenFile> {
    let (labels, names) = npz::labels_beside(&path, column)?;
    let by_place = names.is_none();
    let names = names.unwrap_or_else(|| (0..labels.len()).map(|i| format!("train/{i}")).collect());
    let mut file = GivenFile { path, column: column.to_string(), labels: HashMap::new(), by_place };
    for (name, label) in names.into_iter().zip(labels) {
        file.take(name, label.to_string(), "")?;
    }
    Ok(file)
}

fn of_table(path: PathBuf, column: &str) -> Result<GivenFile> {
    let bytes = files::read(&path)?;
    let mut file =
        GivenFile { path: path.clone(), column: column.to_string(), labels: HashMap::new(), by_place: false };
    let table = Table::new(&path, &bytes, b',')?;
    let name = table.column("path").or_else(|| table.column("name"));
    let (Some(name), Some(label)) = (name, table.column(column)) else {
        let header = table.shown_header();
        return Err(Error::Data(format!(
            "{}: the header must name the columns path (or name) and {column}; it is {header}",
            path.display()
        )));
    };
    table.rows(|line, fields| {
        let field = |i: usize| fields.get(i).unwrap_or_default().to_string();
        // A manifest has rows of other splits, whose images nobody labelled.
        match field(label) {
            empty if empty.is_empty() => Ok(()),
            given => file.take(field(name), given, &format!("line {line}: ")),
        }
    })?;
    Ok(file)
}

impl GivenFile {
    fn take(&mut self, name: String, label: String, at: &str) -> Result<()> {
        let before = self.labels.get(&name).filter(|before| **before != label);
        if let Some(before) = before {
            let (before, label, name) = (classes::shown(before), classes::shown(&label), classes::shown(&name));
            return Err(self.wrong(format!("gives {name} two labels, {before} and {label} ({at}one is enough)")));
        }
        self.labels.insert(name, label);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::arrays::{Array, npz};
    use crate::data::testing::complaint;

    const KEY: &str = "noise.given.file";

    fn images(names: &[&str]) -> Images {
        let labels = vec![0; names.len()];
        Images { labels, names: names.iter().map(|n| n.to_string()).collect(), ..Images::default() }
    }

    fn data(classes: &[&str], names: &[&str]) -> Dataset {
        Dataset {
            name: "d".into(),
            classes: classes.iter().map(|c| c.to_string()).collect(),
            train: images(names),
            val: images(&[]),
            test: images(&[]),
            dropped_duplicates: 0,
            train_in_files: names.len(),
            left_out: Vec::new(),
            fingerprint: String::new(),
            warnings: Vec::new(),
        }
    }

    fn table(text: &str, column: &str) -> Result<GivenFile> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("l.csv"), text).unwrap();
        GivenFile::read(KEY, ["l.csv", column], ("phantom:covid", dir.path()))
    }

    fn labels(text: &str, classes: &[&str]) -> Result<Vec<u32>> {
        let data = data(classes, &["a.png", "b.png"]);
        table(text, "given")?.of(&data.train, &data)
    }

    #[test]
    fn a_table_gives_classes_by_name_or_by_number() {
        assert_eq!(labels("path,given\nb.png,dog\na.png,cat\n", &["cat", "dog"]).unwrap(), [0, 1]);
        assert_eq!(labels("name,clean,given\na.png,0,1\nb.png,0,0\n", &["cat", "dog"]).unwrap(), [1, 0]);
        assert_eq!(labels("name,given\na.png,1\nb.png,0\nc.png,\n", &["0", "1"]).unwrap(), [1, 0]);
        let said = |text: &str, classes: &[&str]| complaint(labels(text, classes));
        assert!(said("name,given\na.png,1\nb.png,2\n", &["1", "2", "3"]).contains("give the classes other names"));
        assert!(
            said("name,given\na.png,cat\nb.png,cow\n", &["cat", "dog"]).contains("holds 'cow'; labels are the classes")
        );
        assert!(said("name,given\na.png,cat\nb.png,1\n", &["cat", "dog"]).contains("names beside numbers"));
        assert!(said("name,given\na.png,2\nb.png,1\n", &["cat", "dog"]).contains("holds '2'"));
        assert!(said("name,given\na.png,cat\n", &["cat", "dog"]).contains("has no label for 'b.png'"));
        assert!(
            said("name,given\na.png,cat\na.png,dog\n", &["cat", "dog"]).contains("two labels, 'cat' and 'dog' (line 3")
        );
        assert!(said("name,label\na.png,cat\n", &["cat", "dog"]).contains("columns path (or name) and given"));
    }

    #[test]
    fn an_archive_gives_numbers_by_name_or_by_place() {
        let dir = tempfile::tempdir().unwrap();
        let read = |arrays: &[(&str, Array<'_>)], column: &str| {
            std::fs::write(dir.path().join("l.npz"), npz(arrays).unwrap()).unwrap();
            GivenFile::read(KEY, ["l.npz", column], ("phantom:covid", dir.path()))
        };
        let named = [("worse", Array::I64(&[1, 0])), ("names", Array::Text(&["b.png", "a.png"]))];
        let by_name = data(&["cat", "dog"], &["a.png", "b.png"]);
        assert_eq!(read(&named, "worse").unwrap().of(&by_name.train, &by_name).unwrap(), [0, 1]);
        assert!(complaint(read(&named, "aggre")).contains("'names', 'worse'"));
        assert!(complaint(read(&named[1..], "names")).contains("names"));
        let placed = read(&[("worse", Array::I64(&[1, 0, 1]))], "worse").unwrap();
        let mut by_place = data(&["cat", "dog"], &["train/2", "train/0"]);
        by_place.val = images(&["train/1"]);
        by_place.train_in_files = 3;
        assert_eq!(placed.of(&by_place.train, &by_place).unwrap(), [1, 1]);
        assert_eq!(placed.of(&by_place.val, &by_place).unwrap(), [0]);
        // One that was dropped from train has a label, and one dropped from val has none.
        for (train_in_files, dropped_duplicates) in [(4, 1), (2, 1)] {
            let other = Dataset { train_in_files, dropped_duplicates, ..by_place.clone() };
            let said = complaint(placed.of(&other.train, &other));
            assert!(
                said.contains(&format!("holds 3 labels, and the training split {train_in_files} images")),
                "{said}"
            );
        }
        assert!(complaint(placed.of(&by_name.train, &by_name)).contains("not known by their place"));
        let said = complaint(read(&[("worse", Array::F32(&[0.0; 4], vec![2, 2]))], "worse"));
        assert!(said.contains("one label for each image"), "{said}");
    }

    #[test]
    fn all_images_of_a_set_get_other_labels_and_a_split_without_any_is_left_out() {
        let part = |names: &[&str]| Some(crate::data::Part { images: images(names), ..Default::default() });
        let set = |names: &[&str]| DecodedData {
            classes: vec!["cat".into(), "dog".into()],
            parts: [part(names), None, part(&["t.png"])],
            ..DecodedData::default()
        };
        let file = table("path,given\na.png,dog\nb.png,cat\n", "given").unwrap();
        let (found, left) = file.relabel(set(&["b.png", "a.png"])).unwrap();
        assert_eq!((found.parts[0].as_ref().unwrap().images.labels.as_slice(), left), (&[0, 1][..], vec!["test"]));
        assert!(found.parts[2].is_none());
        assert!(complaint(file.relabel(set(&["b.png", "c.png"]))).contains("has no label for 'c.png'"));
        assert!(complaint(file.relabel(set(&["c.png"]))).contains("names no image"));
    }

    #[test]
    fn the_manifest_itself_may_hold_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.csv"), "path,label,noisy_label\na.png,cat,dog\n").unwrap();
        let data = data(&["cat", "dog"], &["a.png"]);
        let read = |spec: &str| GivenFile::read(KEY, ["", "noisy_label"], (spec, dir.path()));
        assert_eq!(read("m.csv").unwrap().of(&data.train, &data).unwrap(), [1]);
        let gone = complaint(GivenFile::read(KEY, ["gone.csv", "noisy_label"], ("m.csv", dir.path())));
        assert!(gone.starts_with("noise.given.file: ") && gone.contains("gone.csv is not there"), "{gone}");
        let e = read("phantom:covid").unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("phantom:covid is none; name a file"), "{e}");
    }
}
