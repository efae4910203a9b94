//! Archives made in memory, valid and invalid.

use super::*;
use crate::data::load;
use crate::data::testing::{complaint, options};
use npyz::WriterBuilder;
use std::io::{Cursor, Write};

/// An archive in memory; members are added with their shape and elements.
struct Maker(npyz::npz::NpzWriter<Cursor<Vec<u8>>>);

impl Maker {
    fn new() -> Self {
        Maker(npyz::npz::NpzWriter::new(Cursor::new(Vec::new())))
    }

    fn add<T: npyz::AutoSerialize + Copy>(mut self, name: &str, shape: &[u64], data: &[T]) -> Self {
        let writer = self.0.array::<T>(name, Default::default()).unwrap().default_dtype().shape(shape);
        let mut writer = writer.begin_nd().unwrap();
        writer.extend(data.iter().copied()).unwrap();
        writer.finish().unwrap();
        self
    }

    /// A member that claims to have `shape` and holds `bytes` zeros.
    fn claim(mut self, name: &str, shape: &str, bytes: usize) -> Self {
        let head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let zip = self.0.zip_writer();
        zip.start_file(format!("{name}.npy"), Default::default()).unwrap();
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(head.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(head.as_bytes()).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..bytes).step_by(1 << 20).for_each(|at| zip.write_all(&zeros[..(bytes - at).min(1 << 20)]).unwrap());
        self
    }

    fn split(self, split: &str, n: usize, seed: u8) -> Self {
        let pixels: Vec<u8> = (0..n * 16).map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed)).collect();
        let labels: Vec<u8> = (0..n).map(|i| i as u8 % 2).collect();
        self.add(&format!("{split}_images"), &[n as u64, 4, 4], &pixels).add(
            &format!("{split}_labels"),
            &[n as u64, 1],
            &labels,
        )
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.zip_writer().finish().unwrap().into_inner()
    }
}

fn whole() -> Vec<u8> {
    Maker::new().split("train", 6, 0).split("val", 2, 100).split("test", 4, 200).bytes()
}

fn parse(bytes: &[u8]) -> Result<DecodedData> {
    parse_in(tempfile::tempdir().unwrap().path(), bytes)
}

fn parse_in(folder: &Path, bytes: &[u8]) -> Result<DecodedData> {
    let path = folder.join("some.npz");
    std::fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path)?;
    let source = archive.decode(&options(Path::new(""), 1), Keep::Memory, &|_, _| ())?;
    Ok(source.noting(archive.notes))
}

#[test]
fn an_archive_becomes_three_splits() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("PneumoniaMNIST_4.npz"), whole()).unwrap();
    let mut options = options(dir.path(), 1);
    options.store_size = 4;
    let data = load("PneumoniaMNIST_4.npz", &options, &|_, _| ()).unwrap();
    assert_eq!(data.classes, ["normal", "pneumonia"]);
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (6, 2, 4));
    assert_eq!(data.train.labels, [0, 1, 0, 1, 0, 1]);
    assert_eq!(data.val.image(0).unwrap()[..3], [100, 137, 174]);
    assert_eq!(data.test.names[3], "test/3");
    options.channels = 3;
    let rgb = load("PneumoniaMNIST_4.npz", &options, &|_, _| ()).unwrap();
    assert_eq!(rgb.val.image(0).unwrap()[..6], [100, 100, 100, 137, 137, 137]);
}

#[test]
fn labels_of_any_integer_type_and_either_shape_are_read() {
    let images: Vec<u8> = (0..2 * 4 * 4 * 3).collect();
    let base = || Maker::new().add("train_images", &[2, 4, 4, 3], &images);
    for bytes in [
        base().add("train_labels", &[2], &[0i64, 2]).bytes(),
        base().add("train_labels", &[2, 1], &[0u16, 2]).bytes(),
        base().add("train_labels", &[2], &[0i8, 2]).bytes(),
    ] {
        let source = parse(&bytes).unwrap();
        assert_eq!(source.classes, ["0", "2"], "no image is of class 1");
        assert_eq!(source.parts[0].as_ref().unwrap().images.labels, [0, 1]);
        assert!(source.notes.iter().any(|n| n.contains("no image has the class number 1")), "{:?}", source.notes);
    }
    for bytes in [
        base().add("train_labels", &[2], &[0f32, 1.0]).bytes(),
        base().add("train_labels", &[2], &[0f64, 1.0]).bytes(),
        base().add("train_labels", &[2], &[false, true]).bytes(),
    ] {
        let source = parse(&bytes).unwrap();
        assert_eq!(source.parts[0].as_ref().unwrap().images.labels, [0, 1]);
        assert!(source.notes[0].contains("count as class numbers"), "{:?}", source.notes);
    }
    for bytes in [
        base().add("train_labels", &[2], &[0i64, -1]).bytes(),
        base().add("train_labels", &[2], &[0i8, -1]).bytes(),
        base().add("train_labels", &[2], &[0u32, 70_000]).bytes(),
        base().add("train_labels", &[2], &[0f32, 0.5]).bytes(),
        base().add("train_labels", &[2], &[0f64, f64::NAN]).bytes(),
        base().add("train_labels", &[2], &[0f64, -1.0]).bytes(),
        base().add("train_labels", &[2], &[0f64, f64::INFINITY]).bytes(),
    ] {
        assert!(complaint(parse(&bytes)).contains("member train_labels row 1"));
    }
}

#[test]
fn a_wrong_member_is_named() {
    let images = [1u8; 32];
    let base = || Maker::new().add("train_images", &[2, 4, 4], &images);
    let labels = |m: Maker| m.add("train_labels", &[2], &[0u8, 1]).bytes();
    for (bytes, say) in [
        (Maker::new().add("x", &[1], &[0u8]).bytes(), "member train_images is missing"),
        (base().bytes(), "member train_labels is missing beside train_images"),
        (Maker::new().add("test_labels", &[1], &[0u8]).bytes(), "member test_images is missing"),
        (base().add("train_labels", &[3], &[0u8; 3]).bytes(), "holds 3 labels, but train_images holds 2"),
        (base().add("train_labels", &[2, 14], &[0u8; 28]).bytes(), "14 labels for each image, as in ChestMNIST"),
        (base().add("train_labels", &[1], &[0u8]).bytes(), "holds 1 labels, but train_images holds 2"),
        (
            labels(Maker::new().add("train_images", &[2, 4, 4], &[1i16, -1].repeat(16))),
            "row 0 holds -1, and black is 0 and white 65535 (data.bit_depth)",
        ),
        (
            labels(Maker::new().add("train_images", &[2, 4, 4], &[[0i64; 16], [300; 16]].concat())),
            "row 1 holds 300, and black is 0 and white 255;",
        ),
        (
            labels(Maker::new().add("train_images", &[2, 4, 4], &[[0f32; 16], [f32::NAN; 16]].concat())),
            "row 1 holds NaN",
        ),
        (
            labels(Maker::new().add("train_images", &[2, 4, 4], &[[-0.5f64; 16], [0.0; 16]].concat())),
            "row 0 holds -0.5",
        ),
        (labels(Maker::new().add("train_images", &[2, 4, 4, 4], &[1u8; 128])), "volumes, as in MedMNIST's 3D sets"),
        (labels(Maker::new().add("train_images", &[2, 16], &images)), "has shape [2, 16]"),
        (labels(Maker::new().add("train_images", &[2, 4, 2, 2], &images)), "has shape [2, 4, 2, 2]"),
        (labels(Maker::new().add::<u8>("train_images", &[0, 4, 4], &[])), "holds no pixels"),
    ] {
        let said = complaint(parse(&bytes));
        assert!(said.contains("some.npz") && said.contains(say), "{said}");
    }
}

#[test]
fn fortran_order_is_turned_into_c_order() {
    // numpy.asfortranarray of a (2, 2, 3, 3) and a (2, 2, 3) array: the first axis varies fastest.
    for channels in [3, 1usize] {
        let dims = [2, 2, 3, channels];
        let at = |n: usize, h: usize, w: usize, c: usize| (((n * 2 + h) * 3 + w) * channels + c) as u8 * 5;
        let mut fortran = Vec::new();
        for (c, w, h, n) in
            (0..channels).flat_map(|c| (0..3).flat_map(move |w| (0..4).map(move |i| (c, w, i / 2, i % 2))))
        {
            fortran.push(at(n, h, w, c));
        }
        let c_order: Vec<u8> = (0..12 * channels as u8).map(|i| i * 5).collect();
        for n in 0..2 {
            assert_eq!(fortran_image(&fortran, 1, dims, n), c_order[n * 6 * channels..(n + 1) * 6 * channels]);
        }
        let shape: Vec<u64> = if channels == 3 { vec![2, 2, 3, 3] } else { vec![2, 2, 3] };
        let of = |order, data: &[u8]| {
            let mut maker = Maker::new();
            let writer = maker.0.array::<u8>("train_images", Default::default()).unwrap();
            let mut writer = writer.default_dtype().shape(&shape).order(order).begin_nd().unwrap();
            writer.extend(data.iter().copied()).unwrap();
            writer.finish().unwrap();
            parse(&maker.add("train_labels", &[2], &[0u8, 1]).bytes()).unwrap()
        };
        assert_eq!(of(npyz::Order::Fortran, &fortran), of(npyz::Order::C, &c_order));
    }
}

/// The pixels of train as read, whose images have these elements, and the notes.
fn pixels_of<T: npyz::AutoSerialize + Copy>(elements: &[T], more: &[T]) -> (Vec<u8>, Vec<String>) {
    let bytes = Maker::new()
        .add("train_images", &[1, 2, 2], elements)
        .add("train_labels", &[1], &[0u8])
        .add("test_images", &[1, 2, 2], more)
        .add("test_labels", &[1], &[0u8]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.npz"), bytes.bytes()).unwrap();
    let archive = Archive::open(&dir.path().join("x.npz")).unwrap();
    let as_stored = LoadOptions { store_size: 2, ..options(Path::new(""), 1) };
    let source = archive.decode(&as_stored, Keep::Memory, &|_, _| ()).unwrap();
    (source.parts[0].as_ref().unwrap().images.all().unwrap().into_owned(), source.notes)
}

#[test]
fn numbers_of_any_type_become_levels() {
    assert_eq!(pixels_of(&[0u8, 1, 200, 255], &[0; 4]), (vec![0, 1, 200, 255], vec![]));
    assert_eq!(pixels_of(&[0i64, 1, 200, 255], &[0; 4]), (vec![0, 1, 200, 255], vec![]));
    assert_eq!(pixels_of(&[0i8, 1, 100, 127], &[0; 4]).0, [0, 1, 100, 127]);
    assert_eq!(pixels_of(&[0u32, 1, 200, 255], &[0; 4]).0, [0, 1, 200, 255]);
    let (levels, notes) = pixels_of(&[true, false, true, true], &[false; 4]);
    assert_eq!(levels, [255, 0, 255, 255]);
    assert!(notes[0].contains("false is black"), "{notes:?}");
    assert_eq!(pixels_of(&[0u16, 128, 129, 65535], &[0; 4]), (vec![0, 0, 1, 255], vec![]));
    let (levels, notes) = pixels_of(&[0i16, 4095, 128, 129], &[0; 4]);
    assert_eq!(levels, [0, 16, 0, 1]);
    assert!(notes[0].contains("data.bit_depth = 12"), "{notes:?}");
    let (levels, notes) = pixels_of(&[0f32, 0.5, 0.1, 1.0], &[0.0; 4]);
    assert_eq!(levels, [0, 128, 26, 255]);
    assert!(notes[0].contains("from 0 to 1 and are read as shares of white"), "{notes:?}");
    // A picture of levels may be nearly black; the archive as a whole decides.
    let (levels, notes) = pixels_of(&[0f64, 0.6, 1.0, 0.2], &[254.4; 4]);
    assert_eq!(levels, [0, 1, 1, 0]);
    assert!(notes[0].contains("to 254.4 and are read as levels"), "{notes:?}");
}

#[test]
fn either_byte_order_is_read() {
    let member = |maker: &mut Maker, name: &str, kind: &str, shape: &str, data: &[u8]| {
        let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let zip = maker.0.zip_writer();
        zip.start_file(format!("{name}.npy"), Default::default()).unwrap();
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(head.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(&[head.as_bytes(), data].concat()).unwrap();
    };
    let of = |kind: &str, data: &[u8]| {
        let mut maker = Maker::new();
        member(&mut maker, "train_images", kind, "(1, 1, 2)", data);
        member(&mut maker, "train_labels", "|u1", "(1,)", &[0]);
        parse(&maker.bytes()).unwrap().parts[0].as_ref().unwrap().images.all().unwrap().into_owned()
    };
    assert_eq!(of(">u2", &[0xFF, 0xFF, 0, 1]), of("<u2", &[0xFF, 0xFF, 1, 0]));
    assert_eq!(of(">f4", &[0x3F, 0x80, 0, 0, 0, 0, 0, 0]), of("<f4", &[0, 0, 0x80, 0x3F, 0, 0, 0, 0]));
    assert_eq!(of(">f2", &[0x3C, 0, 0, 0]), of("|b1", &[1, 0]));
}

#[test]
fn a_class_that_no_image_has_is_no_class() {
    let images: Vec<u8> = (0..6 * 16).map(|i| (i * 7) as u8).collect();
    let whole = |test: &[u8]| {
        Maker::new()
            .add("train_images", &[6, 4, 4], &images)
            .add("train_labels", &[6, 1], &[1u8, 2, 4, 1, 2, 4])
            .add("val_images", &[2, 4, 4], &[200u8; 32])
            .add("val_labels", &[2, 1], &[1u8, 2])
            .add("test_images", &[2, 4, 4], &[100u8; 32])
            .add("test_labels", &[2, 1], test)
            .bytes()
    };
    let dir = tempfile::tempdir().unwrap();
    let load = |bytes: Vec<u8>| {
        std::fs::write(dir.path().join("x.npz"), bytes).unwrap();
        load("x.npz", &options(dir.path(), 1), &|_, _| ())
    };
    let data = load(whole(&[4, 1])).unwrap();
    assert_eq!((data.classes, data.train.labels), (vec!["1".into(), "2".into(), "4".into()], vec![0, 1, 2, 0, 1, 2]));
    assert!(data.warnings.iter().any(|w| w.contains("class number 0, 3")), "{:?}", data.warnings);
    let said = complaint(load(whole(&[3, 1])));
    assert!(said.contains("no image of the class '3'") && said.contains("test/0"), "{said}");
}

#[test]
fn what_a_file_cannot_honestly_hold_is_refused_before_it_is_inflated() {
    let labels = |m: Maker, n: usize| m.add("train_labels", &[n as u64], &vec![0u8; n]).bytes();
    let bomb = labels(Maker::new().claim("train_images", "(80, 1024, 1024)", 80 << 20), 80);
    assert!(bomb.len() < 1 << 20);
    assert!(complaint(parse(&bomb)).contains("over 100 times as many"));
    let many = labels(Maker::new().claim("train_images", "(70000, 2, 2)", 280_000), 70_000);
    assert!(complaint(parse(&many)).contains("70000 images, under 128 bytes each"));
    for (shape, say) in [
        ("(2147483648, 1, 1)", "fewer bytes"),
        ("(1, 1048576, 1048576)", "fewer bytes"),
        ("(4294967296, 4294967296, 4294967296)", "more elements than memory"),
    ] {
        let said = complaint(parse(&labels(Maker::new().claim("train_images", shape, 4), 1)));
        assert!(said.contains(say), "{said}");
    }
    // A header nested deeper than that of any array would overflow the parser's stack.
    let mut head = b"\x93NUMPY\x02\x00".to_vec();
    head.extend(9000u32.to_le_bytes());
    head.extend([b'('; 9000]);
    assert!(member::header(&mut head.as_slice()).err().unwrap().to_string().contains("nested"));
    head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(member::header(&mut head.as_slice()).err().unwrap().to_string().contains("longer"));
}

#[test]
fn a_truncated_archive_is_refused_at_every_length() {
    let (whole, dir) = (whole(), tempfile::tempdir().unwrap());
    for cut in 0..whole.len() {
        complaint(parse_in(dir.path(), &whole[..cut]));
    }
}

#[test]
fn a_flipped_byte_never_panics_and_never_changes_pixels_unseen() {
    let (whole, dir) = (whole(), tempfile::tempdir().unwrap());
    let good = parse_in(dir.path(), &whole).unwrap();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            // A change of some bytes, such as times, has no effect. A member with a changed name is a missing split.
            if let Ok(source) = parse_in(dir.path(), &bytes) {
                for (got, due) in source.parts.iter().zip(&good.parts) {
                    assert!(got.is_none() || got == due, "byte {at}");
                }
            }
        }
    }
}
