//! Compares DICOM files with pydicom's numbers. `tests/pictures` says how they were made.

use crate::data::decode::picture::{Kind, Remark};
use crate::data::decode::tests::{cases, opened, wrong};
use crate::data::testing::{complaint, options, write_png};
use crate::data::{LoadOptions, inspect, load};
use std::path::Path;

fn file(name: &str) -> Vec<u8> {
    cases("dicom").into_iter().find(|c| c.name == name).unwrap().file
}

#[test]
fn files_are_the_pictures_of_pydicom() {
    let cases = cases("dicom");
    let (right, refused): (Vec<_>, Vec<_>) = cases.iter().partition(|c| c.right.is_some());
    assert!(right.len() >= 57 && refused.len() >= 20, "{} {}", right.len(), refused.len());
    let wrong: Vec<String> = right.into_iter().filter_map(|c| wrong(c, (0, 0.0))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for case in refused {
        let said = opened(&case.file, Some(Kind::Dicom), 1).err().unwrap();
        assert!(said.replace(' ', "_").contains(&case.name), "{}: {said}", case.name);
    }
}

#[test]
fn a_cut_file_is_unreadable_or_the_whole_picture() {
    for case in cases("dicom").into_iter().filter(|c| c.right.is_some()) {
        let whole = opened(&case.file, None, 3).unwrap().raw.pixels;
        for length in 0..case.file.len() {
            if let Ok(cut) = opened(&case.file[..length], None, 3) {
                // A JPEG may lack its end marker; run lengths and JPEGs may lack what fills them up.
                assert!(cut.raw.pixels == whole, "{} of {length} bytes", case.name);
            }
        }
    }
}

#[test]
fn remarks_and_the_patient_are_told() {
    let of = |name: &str| opened(&file(name), Some(Kind::Dicom), 3).unwrap();
    let plain = of("gray_16");
    assert_eq!((plain.remarks, plain.patient.as_deref()), (vec![], Some("p 7")));
    assert_eq!(of("icon_and_private").remarks, [Remark::Spacing]);
    assert_eq!(of("gray_full_range").remarks, [Remark::Stretched]);
    assert_eq!(of("gray_8").remarks, []);
    assert_eq!(of("padding_full_range").remarks, [Remark::Padded, Remark::Stretched]);
    assert_eq!(of("padding_mono1").remarks, [Remark::Padded]);
    assert_eq!(of("padding_none_of_it").remarks, [Remark::Stretched]);
    for frames in ["frames_gray", "frames_odd", "frames_jpeg", "frames_jpeg_fragments"] {
        assert_eq!(of(frames).remarks, [Remark::Frames(Kind::Dicom)], "{frames}");
    }
    assert_eq!(opened(&file("rgb"), None, 1).unwrap().remarks, [Remark::Colour]);
    assert_eq!(opened(&file("gray_8"), Some(Kind::Jpeg), 1).unwrap().remarks, [Remark::Ending(Kind::Dicom)]);
}

/// A file of another patient, whose picture differs from those of other numbers.
fn of_patient(patient: usize, number: u8) -> Vec<u8> {
    let mut file = file("gray_8");
    let at = file.windows(4).position(|w| w == b"p 7 ").unwrap_or_else(|| panic!("no patient"));
    file[at..at + 4].copy_from_slice(format!("P{patient:<3}").as_bytes());
    let end = file.len();
    file[end - 40..].fill(number);
    file
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_of_a_hospital_is_read_as_it_is_and_no_patient_is_divided() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..24u8 {
        let (split, class) = (if i < 16 { "train" } else { "test" }, ["a", "b"][usize::from(i % 2)]);
        // With an ending, without one, and with a number after a point. Image 15 is of the patient of 16 and 17.
        let name = [format!("{i}.DCM"), format!("IM{i:04}"), format!("1.2.{i}")][usize::from(i % 3)].clone();
        let patient = if i == 15 { 8 } else { usize::from(i / 2) };
        write(&dir.path().join(format!("s/{split}/{class}/{name}")), &of_patient(patient, i));
    }
    write(&dir.path().join("s/train/a/DICOMDIR"), &file("no_pixels,_and_its_modality_is_SR"));
    write(&dir.path().join("s/train/a/README"), b"words");
    let cached = LoadOptions { cache: Some(dir.path().join("cache")), ..options(dir.path(), 1) };
    let mut before = None;
    for _ in 0..2 {
        let data = load("s", &cached, &|_, _| ()).unwrap();
        assert_eq!((data.train.len() + data.val.len(), data.test.len(), data.left_out.len()), (15, 8, 0));
        let patient =
            |name: &String| name.rsplit(['/', '.']).find_map(|n| n.trim_start_matches("IM").parse::<usize>().ok());
        let number = |name: &String| patient(&name.replace(".DCM", "")).unwrap();
        let mut held: Vec<usize> = data.val.names.iter().map(|n| number(n) / 2).collect();
        held.sort_unstable();
        assert!(!held.is_empty() && held.chunks(2).all(|two| two[0] == *two.last().unwrap()), "{held:?}");
        let told = data.warnings.join("\n");
        assert!(told.contains("patients: 9 in train, 4 in test") && told.contains("1 in several splits"), "{told}");
        assert!(before.replace(data.fingerprint.clone()).is_none_or(|b| b == data.fingerprint));
    }
    let summary = inspect("s", &cached).unwrap();
    assert_eq!(summary.unread["no ending"], 1, "{summary}");
    // A CSV may name other patients.
    let mut text = "path,label,split,patient\n".to_string();
    for (i, split) in ["train", "train", "train", "test"].iter().enumerate() {
        write(&dir.path().join(format!("{i}.dcm")), &of_patient(1, i as u8));
        text += &format!("{i}.dcm,x,{split},{}\n", i * 7);
    }
    write(&dir.path().join("m.csv"), text.as_bytes());
    assert_eq!(load("m.csv", &options(dir.path(), 1), &|_, _| ()).unwrap().test.len(), 1);
    write(&dir.path().join("m.csv"), text.replace(",patient", ",other").as_bytes());
    let said = complaint(load("m.csv", &options(dir.path(), 1), &|_, _| ()));
    assert!(said.contains("one patient, 'P1'") && said.contains("in a CSV"), "{said}");
}

#[test]
fn a_report_among_images_is_left_out_by_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..22u64 {
        write_png(&dir.path().join(format!("{}/c/{i}.png", if i < 20 { "train" } else { "test" })), i, 9);
    }
    write(&dir.path().join("train/c/SR1"), &file("no_pixels,_and_its_modality_is_SR"));
    let data = load(".", &options(dir.path(), 3), &|_, _| ()).unwrap();
    assert_eq!(data.left_out.len(), 1);
    assert!(data.left_out[0].to_string().starts_with("train/c/SR1: DICOM: it holds no pixels"), "{}", data.left_out[0]);
    let strict = LoadOptions { strict: true, ..options(dir.path(), 3) };
    assert!(complaint(load(".", &strict, &|_, _| ())).contains("--strict"));
}

/// `file` with another value of a short element.
fn with_short(mut file: Vec<u8>, element: [u8; 4], value: u16) -> Vec<u8> {
    let head = [&element[..], b"US", &[2, 0]].concat();
    let at = file.windows(8).position(|w| w == head).unwrap_or_else(|| panic!("no element"));
    file[at + 8..at + 10].copy_from_slice(&value.to_le_bytes());
    file
}

#[test]
fn the_highest_bit_of_all_is_refused_by_its_number() {
    let changed = with_short(file("gray_16"), [0x28, 0, 0x02, 0x01], u16::MAX);
    let said = opened(&changed, Some(Kind::Dicom), 1).err().unwrap();
    assert!(said.contains("12 of 16 bits and end at bit 65535"), "{said}");
}

#[test]
fn the_cache_does_not_name_a_patient_and_keeps_patients_apart() {
    let dir = tempfile::tempdir().unwrap();
    // The list names the patient of half of the images. That of the others stands in their files alone.
    let mut text = "path,label,split,patient\n".to_string();
    for i in 0..12u8 {
        write(&dir.path().join(format!("{i}.dcm")), &of_patient(100 + usize::from(i / 2), i));
        let named = if i % 2 == 0 { format!("P{}", 100 + i / 2) } else { String::new() };
        text += &format!(
            "{i}.dcm,{},{},{named}\n",
            ["a", "b"][usize::from(i / 2 % 2)],
            if i < 9 { "train" } else { "test" }
        );
    }
    write(&dir.path().join("m.csv"), text.as_bytes());
    let cached = LoadOptions { cache: Some(dir.path().join("cache")), ..options(dir.path(), 1) };
    for _ in 0..2 {
        let data = load("m.csv", &cached, &|_, _| ()).unwrap();
        // Image 8 is of the patient of 9, which only the file of 9 says.
        assert!(!data.train.names.iter().chain(&data.val.names).any(|n| n == "8.dcm"), "{:?}", data.train.names);
        assert_eq!((data.train.len() + data.val.len(), data.test.len()), (8, 3));
    }
    let mut files = std::fs::read_dir(dir.path().join("cache")).unwrap().map(|f| f.unwrap().path());
    let file = files.find(|f| f.extension().unwrap() == "safetensors").unwrap();
    let bytes = std::fs::read(file).unwrap();
    let names = |id: &str| bytes.windows(id.len()).any(|w| w == id.as_bytes());
    assert!(names("9.dcm") && (100..106).all(|p| !names(&format!("P{p}"))));
}
