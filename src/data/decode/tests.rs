//! Compares pictures of every kind with numbers of Pillow, libjpeg-turbo and numpy. `tests/pictures` says how they were
//! made.

use super::picture::{Gate, Kind, Limit, Opened, Remark, read};
use super::*;
use safetensors::SafeTensors;

/// A file with the right pixels; without pixels it must be refused.
pub struct Case {
    pub name: String,
    pub file: Vec<u8>,
    /// Height, width, and the bytes of red, green and blue.
    pub right: Option<(usize, usize, Vec<u8>)>,
}

pub fn cases(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/pictures/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = tensors.names().into_iter().filter_map(|n| n.strip_suffix(".file")).collect();
    names.sort();
    let one = |name: &str| Case {
        name: name.into(),
        file: tensors.tensor(&format!("{name}.file")).unwrap().data().into(),
        right: tensors.tensor(&format!("{name}.pixels")).ok().map(|t| (t.shape()[0], t.shape()[1], t.data().into())),
    };
    names.into_iter().map(one).collect()
}

fn case(file: &str, name: &str) -> Vec<u8> {
    cases(file).into_iter().find(|c| c.name == name).unwrap().file
}

pub fn opened(bytes: &[u8], promised: Option<Kind>, channels: usize) -> Result<Opened, String> {
    read(bytes, promised, channels, 16, &Limit::new(MAX_PIXELS, &Gate::default()))
}

fn seen(bytes: &[u8], promised: Option<Kind>, channels: usize) -> Result<(Raw, Vec<Remark>), String> {
    opened(bytes, promised, channels).map(|o| (o.raw, o.remarks))
}

fn pixels(bytes: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    seen(bytes, None, 3).map(|(raw, _)| (raw.height, raw.width, raw.pixels))
}

/// What is wrong with the result for a case that has pixels.
pub fn wrong(case: &Case, (most, mean): (u8, f64)) -> Option<String> {
    let (height, width, right) = case.right.as_ref().unwrap();
    let raw = match seen(&case.file, None, 3) {
        Err(why) => return Some(format!("{}: {why}", case.name)),
        Ok((raw, _)) => raw,
    };
    if (raw.height, raw.width) != (*height, *width) {
        return Some(format!("{}: {}×{} instead of {width}×{height}", case.name, raw.width, raw.height));
    }
    let gray = seen(&case.file, None, 1).unwrap().0.pixels;
    let luma: Vec<u8> = raw.pixels.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect();
    assert_eq!(gray, luma, "{}: gray is not the luma of its colours", case.name);
    let off: Vec<u8> = raw.pixels.iter().zip(right).map(|(a, b)| a.abs_diff(*b)).collect();
    let average = off.iter().map(|&d| f64::from(d)).sum::<f64>() / off.len() as f64;
    let worst = off.iter().max().copied().unwrap_or(0);
    (worst > most || average > mean).then(|| format!("{}: off by up to {worst}, {average:.3} on average", case.name))
}

#[test]
fn jpegs_are_the_pictures_of_libjpeg_turbo() {
    let cases = cases("jpeg");
    let (right, refused): (Vec<_>, Vec<_>) = cases.iter().partition(|c| c.right.is_some());
    assert!(right.len() >= 180, "{}", right.len());
    let wrong: Vec<String> = right.into_iter().filter_map(|c| wrong(c, (0, 0.0))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for case in refused {
        let said = pixels(&case.file).unwrap_err();
        let word = case.name.split('_').next().unwrap();
        let word = ["two", "twelve"].iter().position(|w| *w == word).map_or(word, |i| ["2 components", "12 bits"][i]);
        assert!(said.starts_with("JPEG: ") && said.contains(word), "{}: {said}", case.name);
    }
}

#[test]
fn other_files_are_the_pictures_that_were_written() {
    let cases = cases("files");
    let (right, refused): (Vec<_>, Vec<_>) = cases.iter().partition(|c| c.right.is_some());
    assert!(right.len() >= 100, "{}", right.len());
    let allowed = |c: &Case| match c.name.as_str() {
        "cmyk.tif" => (1, 0.5), // the library rounds down, Pillow rounds to nearest
        _ => (0, 0.0),
    };
    let wrong: Vec<String> = right.into_iter().filter_map(|c| wrong(c, allowed(c))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for case in refused {
        let said = pixels(&case.file).unwrap_err();
        let reason = match case.name.split(['_', '.']).next().unwrap() {
            "planes" => "separate planes",
            "words" => "its content is not JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM",
            word => word,
        };
        assert!(said.contains(reason), "{}: {said}", case.name);
    }
}

#[test]
fn a_cut_file_is_unreadable_or_the_whole_picture() {
    let jpegs =
        ["base_420_35x27", "prog_420_35x27", "separate_420_35x27", "restart_420", "refined_422", "gray", "cmyk"];
    let mut files: Vec<Case> = cases("files").into_iter().filter(|c| c.right.is_some()).collect();
    files.extend(cases("jpeg").into_iter().filter(|c| jpegs.contains(&c.name.as_str())));
    let mut other = Vec::new();
    for case in files {
        let whole = pixels(&case.file).unwrap();
        for length in 0..case.file.len() {
            let cut = &case.file[..length];
            // Some programs put a JPEG's end marker after whatever they have of the file.
            let end = if case.file.starts_with(&[0xFF, 0xD8]) { [0xFF, 0xD9].as_slice() } else { &[] };
            for bytes in [cut.to_vec(), [cut, end].concat()] {
                if pixels(&bytes).is_ok_and(|p| p != whole) {
                    other.push(format!("{} of {} bytes", case.name, bytes.len()));
                }
            }
        }
    }
    assert!(other.is_empty(), "{} other pictures: {:#?}", other.len(), &other[..other.len().min(20)]);
}

#[test]
fn only_the_end_marker_of_a_jpeg_may_be_missing() {
    for name in ["base_420_35x27", "prog_420_35x27"] {
        let file = case("jpeg", name);
        let whole = pixels(&file).unwrap();
        for lost in [1, 2] {
            let (raw, remarks) = seen(&file[..file.len() - lost], Some(Kind::Jpeg), 3).unwrap();
            assert_eq!((raw.pixels, remarks), (whole.2.clone(), vec![Remark::WithoutEnd]));
        }
        let said = pixels(&file[..file.len() - 3]).unwrap_err();
        assert!(said.contains("cut or damaged"), "{said}");
    }
}

#[test]
fn a_damaged_scan_is_named() {
    let file = case("jpeg", "base_420_88x88");
    let scan = file.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap() + 14;
    let with = |at: usize, bytes: &[u8]| [&file[..at], bytes, &file[at..]].concat();
    let mut rng = crate::base::rng::Rng::new(3, 0, 0);
    // A JPEG has no checksum. After damage the codes may become valid again, and the rest may have the same number of
    // blocks. Damage of a few bytes often passes so; damage of a sixth of the file rarely does. The list has the number
    // of damaged bytes and the most that may pass, in percent.
    let (height, width, _) = pixels(&file).unwrap();
    for (size, most) in [(1, 70), (4, 60), (16, 40), (64, 30), (200, 15), (400, 5)] {
        let (mut tried, mut slipped) = (0, 0);
        for at in (scan..file.len() - 2 - size).step_by(13) {
            let noise: Vec<u8> = (0..size).map(|_| rng.below(255) as u8).collect();
            let over = [&file[..at], &noise, &file[at + size..]].concat();
            let lost = [&file[..at], &file[at + size..]].concat();
            let zeros = [&file[..at], &vec![0; size], &file[at + size..]].concat();
            for damaged in [over, lost, with(at, &noise), zeros] {
                tried += 1;
                if let Ok((h, w, _)) = pixels(&damaged) {
                    assert_eq!((h, w), (height, width));
                    slipped += 1;
                }
            }
        }
        assert!(tried > 600 && slipped * 100 < tried * most, "{size} bytes: {slipped} of {tried}");
    }
    // Zeros after the data are padding. Anything else is more than the picture needs.
    let end = file.len() - 2;
    assert_eq!(pixels(&with(end, &[0; 5])).unwrap(), pixels(&file).unwrap());
    assert!(pixels(&with(end, &[0, 7])).unwrap_err().contains("goes on"));
    let file = case("jpeg", "restart_420");
    let at = file.windows(2).position(|w| w == [0xFF, 0xD1]).unwrap();
    let swapped = [&file[..at], &[0xFF, 0xD2], &file[at + 2..]].concat();
    assert!(pixels(&swapped).unwrap_err().contains("restart marker 1 is missing"));
}

#[test]
fn the_form_of_pixels_is_that_of_the_file() {
    for (set, name, due) in [
        ("files", "gray_1.png", "gray 1-bit"),
        ("files", "gray_16.png", "gray 16-bit"),
        ("files", "gray_alpha_8.png", "gray with alpha 8-bit"),
        ("files", "palette_4.png", "palette 4-bit"),
        ("files", "rgb_16.png", "RGB 16-bit"),
        ("files", "alpha_8.png", "RGBA 8-bit"),
        ("files", "1.bmp", "palette 1-bit"),
        ("files", "palette.bmp", "palette 8-bit"),
        ("files", "rgb.bmp", "RGB 8-bit"),
        ("files", "still.gif", "palette 8-bit"),
        ("files", "lossless.webp", "RGB 8-bit"),
        ("files", "alpha.webp", "RGBA 8-bit"),
        ("files", "gray_1_0.tif", "gray 1-bit"),
        ("files", "gray_16.tif", "gray 16-bit"),
        ("files", "rgb_16_be.tif", "RGB 16-bit"),
        ("files", "alpha_8.tif", "RGBA 8-bit"),
        ("files", "cmyk.tif", "CMYK 8-bit"),
        ("files", "float_gray.tif", "gray 32-bit float"),
        ("files", "half_rgb.tif", "RGB 16-bit float"),
        ("files", "double_gray.tif", "gray 64-bit float"),
        ("files", "jpeg_in.tif", "RGB 8-bit"),
        ("files", "jpeg_in_gray.tif", "gray 8-bit"),
        ("jpeg", "base_420_35x27", "RGB 8-bit"),
        ("jpeg", "gray", "gray 8-bit"),
        ("jpeg", "ycck", "CMYK 8-bit"),
        ("dicom", "gray_16", "gray 12-bit"),
        ("dicom", "gray_8_mono1", "gray 8-bit"),
        ("dicom", "ybr_422", "RGB 8-bit"),
        ("dicom", "palette_of_12_bits", "palette 12-bit"),
    ] {
        assert_eq!(opened(&case(set, name), None, 1).unwrap().form.to_string(), due, "{name}");
    }
}

#[test]
fn remarks_tell_what_was_decided() {
    let deep = |remarks: &[Remark]| matches!(remarks, [Remark::Deep(_)]);
    for case in cases("files").into_iter().filter(|c| c.right.is_some()) {
        let promised = Kind::of_ending(Path::new(&case.name));
        let (_, remarks) = seen(&case.file, promised, 3).unwrap();
        let stem = case.name.split('.').next().unwrap();
        match stem {
            "several" => assert_eq!(remarks, [Remark::Frames(promised.unwrap())], "{}", case.name),
            _ if stem.ends_with("_named") => assert!(matches!(remarks[..], [Remark::Ending(_)]), "{}", case.name),
            _ if stem.contains("_16") => assert!(deep(&remarks), "{}", case.name),
            _ => assert_eq!(remarks, [], "{}", case.name),
        }
    }
}

/// The header of a file that claims many pixels, with nothing after it to fill them.
fn claims(kind: Kind) -> Vec<u8> {
    let mut file = match kind {
        Kind::Jpeg => case("jpeg", "prog_420_35x27"),
        Kind::Png => case("files", "rgb_8.png"),
        Kind::Tiff => case("files", "rgb_8.tif"),
        Kind::Bmp => case("files", "rgb.bmp"),
        Kind::WebP => case("files", "lossless.webp"),
        Kind::Gif => case("files", "still.gif"),
        Kind::Dicom => case("dicom", "gray_16"),
    };
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    match kind {
        Kind::Jpeg => {
            let at = file.windows(2).position(|w| w == [0xFF, 0xC2]).unwrap() + 5;
            file[at..at + 4].copy_from_slice(&[0xFF; 4]);
        }
        Kind::Png => {
            put(16, &[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
            let crc = crc32(&file[12..29]);
            file[29..33].copy_from_slice(&crc.to_be_bytes());
        }
        Kind::Tiff => {
            // Width, height and the rows of a strip.
            [18, 30, 102].iter().for_each(|&at| put(at, &60_000u16.to_le_bytes()));
        }
        Kind::Bmp => put(18, &[0, 0x70, 0, 0, 0, 0x70, 0, 0]),
        Kind::WebP => put(21, &[0xFE, 0xBF, 0xFF, 0x0F]),
        Kind::Gif => put(6, &[0xFF; 4]),
        Kind::Dicom => {
            // Rows and Columns, in explicit form.
            for tag in [[0x28, 0, 0x10, 0], [0x28, 0, 0x11, 0]] {
                let at = file.windows(4).position(|w| w == tag).unwrap() + 8;
                file[at..at + 2].copy_from_slice(&[0xFF; 2]);
            }
        }
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), |c, _| (c >> 1) ^ ((c & 1) * 0xEDB8_8320)))
}

#[test]
fn a_claim_of_many_pixels_is_refused_before_anything_is_inflated() {
    for kind in [Kind::Jpeg, Kind::Png, Kind::Tiff, Kind::Bmp, Kind::WebP, Kind::Gif, Kind::Dicom] {
        let file = claims(kind);
        let said = pixels(&file).unwrap_err();
        assert!(said.starts_with(kind.name()) && said.contains("data.max_pixels"), "{said}");
    }
    // A picture of this size is read with a raised limit and refused without.
    let file = case("files", "rgb_8.png");
    let gate = Gate::default();
    assert!(read(&file, None, 3, 16, &Limit::new(76, &gate)).err().unwrap().contains("11×7 = 77 pixels"));
    assert!(read(&file, None, 3, 16, &Limit::new(77, &gate)).is_ok());
}

#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let file = case("jpeg", "separate_444_35x27");
    let scan = file.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
    let next = scan + 2 + file[scan + 2..].windows(2).position(|w| w == [0xFF, 0xDA] || w == [0xFF, 0xC4]).unwrap();
    let twice = [&file[..next], &file[scan..next], &file[next..]].concat();
    assert!(pixels(&twice).unwrap_err().contains("out of turn"));
    let file = case("jpeg", "prog_444_35x27");
    let scan = file.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
    let empty = [&file[..scan], &file[scan..file.len() - 2], &file[scan..]].concat();
    assert!(pixels(&empty).unwrap_err().contains("out of turn"));
}

#[test]
fn a_set_tells_each_kind_of_remark_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    let mut add = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        entries.push(ImageFile { path, name: name.into(), label: 0, group: None });
    };
    for i in 0..3 {
        add(&format!("{i}.jpg"), &case("files", "png_named.jpg"));
        add(&format!("deep{i}.png"), &case("files", "gray_12_of_16.png"));
    }
    add("pages.tif", &case("files", "several.tif"));
    add("words.png", &case("files", "words.png"));
    let listing = Listing {
        name: "x".into(),
        classes: vec!["a".into()],
        files: [Some(entries), None, None],
        ..Listing::default()
    };
    let options = crate::data::testing::options(dir.path(), 1);
    let source = listing.decode(&options, Keep::Memory, &|_, _| ()).unwrap();
    assert_eq!(source.unreadable.len(), 1);
    let told = source.notes.join("\n");
    assert_eq!(source.notes.len(), 4, "{told}");
    assert!(told.contains("4 images are in colour and made gray, because data.channels is 1"), "{told}");
    for said in ["3 images are PNG by content", "the first is 0.jpg", "1 image has several pages", "pages.tif"] {
        assert!(told.contains(said), "{told}");
    }
    assert!(told.contains("3 images are 16-bit files using only the levels 0 to 4095 of 65535"), "{told}");
    assert!(told.contains("data.bit_depth = 12") && told.contains("the first is deep0.png"), "{told}");
    let scaled = listing.decode(&LoadOptions { bit_depth: 12, ..options.clone() }, Keep::Memory, &|_, _| ()).unwrap();
    assert!(scaled.notes.join("\n").contains("read as 12 bits"), "{:?}", scaled.notes);
    let white = |s: &DecodedData| s.parts[0].as_ref().unwrap().images.all().unwrap().iter().copied().max().unwrap();
    let deep = |s: &DecodedData| s.parts[0].as_ref().unwrap().images.image(1).unwrap().iter().copied().max().unwrap();
    assert!(white(&scaled) > 200 && deep(&scaled) > 200 && deep(&source) < 16);
    let dark = listing.decode(&LoadOptions { bit_depth: 10, ..options }, Keep::Memory, &|_, _| ()).unwrap();
    assert_eq!(dark.unreadable.len(), 4);
}

#[test]
fn work_in_parallel_is_taken_in_order_from_any_thread_and_may_end() {
    let all = |n: usize| {
        let mut taken = Vec::new();
        in_parallel(
            n,
            |i, _| i * i,
            |i, square| {
                taken.push((i, square));
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..n).map(|i| (i, i * i)).collect::<Vec<_>>());
    };
    [0, 1, 1000].into_iter().for_each(all);
    // A pool of one thread has nobody else to do the work.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| all(100));
    let begun = std::sync::atomic::AtomicUsize::new(0);
    let count = |i: usize, _: &mut Resizer| (begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst), i).1;
    let ended = in_parallel(100_000, count, |i, _| if i < 5 { Ok(()) } else { Err(Error::Failed("enough".into())) });
    assert!(ended.unwrap_err().to_string().contains("enough") && begun.into_inner() < 100_000);
    let fails = |i: usize, _: &mut Resizer| assert!(i < 40, "the work of {i}");
    let panicked = std::panic::catch_unwind(|| in_parallel(100, fails, |_, ()| Ok(())));
    let said = panicked.unwrap_err();
    assert!(said.downcast_ref::<String>().unwrap().starts_with("the work of "));
}
