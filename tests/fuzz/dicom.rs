//! DICOM files: seeds made by pydicom, and hostile ones that claim or hold far more than they are.

use super::bombs::{picture, zeros};
use super::hostile::{FOLDER, Row};
use super::mutate::Seed;
use std::path::Path;

/// Texts of the format.
pub const WORDS: &[&str] = &[
    "DICM",
    "SQ\0\0",
    "UN\0\0",
    "OB\0\0",
    "OW\0\0",
    "US\u{2}\0",
    "1.2.840.10008.1.2\0",
    "1.2.840.10008.1.2.1\0",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2\0",
    "1.2.840.10008.1.2.5\0",
    "1.2.840.10008.1.2.4.50",
    "MONOCHROME1 ",
    "RGB ",
    "YBR_FULL_422",
    "SIGMOID ",
    "1e308\\-1e308 ",
];

/// The files that are right.
pub fn seeds() -> Vec<Seed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures/dicom.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<&str> = tensors.names().into_iter().filter_map(|n| n.strip_suffix(".pixels")).collect();
    names.sort_unstable(); // the order is fixed, so that a case is found again by its number
    let file = |name: &str| tensors.tensor(&format!("{name}.file")).unwrap().data().to_vec();
    names.into_iter().map(|name| Seed::whole(file(name))).collect()
}

/// An element in explicit form. A length of its own may lie.
fn element(tag: [u16; 2], kind: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let long = matches!(kind, b"OB" | b"OW" | b"SQ" | b"UN");
    let length =
        if long { [&[0, 0][..], &length.to_le_bytes()].concat() } else { (length as u16).to_le_bytes().to_vec() };
    [&tag.map(u16::to_le_bytes).concat()[..], kind, &length, value].concat()
}

fn text(tag: [u16; 2], kind: &[u8; 2], value: &str) -> Vec<u8> {
    element(tag, kind, value.len() as u32, value.as_bytes())
}

fn short(tag: [u16; 2], value: u16) -> Vec<u8> {
    element(tag, b"US", 2, &value.to_le_bytes())
}

/// What a file has before its data set.
fn head(syntax: &str) -> Vec<u8> {
    let syntax = text([2, 0x10], b"UI", syntax);
    let length = element([2, 0], b"UL", 4, &(syntax.len() as u32).to_le_bytes());
    [&[0; 128][..], b"DICM", &length, &syntax].concat()
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1\0";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const RLE: &str = "1.2.840.10008.1.2.5\0";
const FOREVER: u32 = u32::MAX;

/// The elements of a gray picture of 16 bits, without its pixels.
fn gray(side: u16, frames: &str) -> Vec<u8> {
    let shorts = [(0x10, side), (0x11, side), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)];
    let shorts = shorts.map(|(element, value)| short([0x28, element], value)).concat();
    let before = [short([0x28, 2], 1), text([0x28, 4], b"CS", "MONOCHROME2 "), text([0x28, 8], b"IS", frames)];
    [before.concat(), shorts].concat()
}

fn item(length: u32, value: &[u8]) -> Vec<u8> {
    [&[0xFE, 0xFF, 0x00, 0xE0][..], &length.to_le_bytes(), value].concat()
}

fn put(dir: &Path, syntax: &str, set: &[Vec<u8>]) {
    picture(dir, "x.dcm", &[head(syntax), set.concat()].concat());
}

/// A stored block of deflate with these bytes, then `mib` MiB of deflated zeros.
fn deflated(bytes: &[u8], mib: usize) -> Vec<u8> {
    let n = bytes.len() as u16;
    [&[0][..], &n.to_le_bytes(), &(!n).to_le_bytes(), bytes, &zeros(mib, false)].concat()
}

fn claim(dir: &Path) {
    put(dir, EXPLICIT, &[gray(u16::MAX, "1 "), element([0x7FE0, 0x10], b"OW", FOREVER - 1, &[0; 64])]);
}

fn frames(dir: &Path) {
    put(dir, EXPLICIT, &[gray(8, "2147483647"), element([0x7FE0, 0x10], b"OW", 128, &[0; 128])]);
}

fn long_value(dir: &Path) {
    put(dir, EXPLICIT, &[element([0x10, 0x20], b"UN", FOREVER - 1, b"p "), gray(8, "1 ")]);
}

fn inflated_value(dir: &Path) {
    put(dir, DEFLATED, &[deflated(&element([9, 0x1001], b"UN", FOREVER - 1, &[]), 4095)]);
}

fn inflated_elements(dir: &Path) {
    put(dir, DEFLATED, &[deflated(&gray(8, "1 "), 2048)]);
}

fn inflated_pixels(dir: &Path) {
    let set = [gray(7000, "1 "), element([0x7FE0, 0x10], b"OW", 98_000_000, &[])].concat();
    put(dir, DEFLATED, &[deflated(&set, 2048)]);
}

fn nested(dir: &Path) {
    let level = [element([8, 0x1140], b"SQ", FOREVER, &[]), item(FOREVER, &[])].concat();
    put(dir, EXPLICIT, &[level.repeat(400_000)]);
}

fn many_elements(dir: &Path) {
    put(dir, EXPLICIT, &[element([8, 0x60], b"CS", 0, &[]).repeat(1_200_000)]);
}

fn fragments(dir: &Path) {
    let pixels = element([0x7FE0, 0x10], b"OB", FOREVER, &[]);
    put(dir, RLE, &[gray(8, "1 "), pixels, item(0, &[]).repeat(1_200_000)]);
}

fn run_lengths(dir: &Path, segments: u32) {
    let mut data = segments.to_le_bytes().to_vec();
    data.extend([64u32; 15].iter().flat_map(|v| v.to_le_bytes()));
    data.extend([0x81, 7].repeat(64));
    let end = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0].to_vec();
    let pixels = element([0x7FE0, 0x10], b"OB", FOREVER, &[]);
    put(dir, RLE, &[gray(7000, "1 "), pixels, item(0, &[]), item(data.len() as u32, &data), end]);
}

pub fn rows() -> Vec<Row> {
    let row = |name, write, says| Row { name, write, words: FOLDER, device: false, codes: &[4], says };
    vec![
        row("dicom: a claim of 65,535 × 65,535", claim, "4294836225 pixels"),
        row("dicom: a claim of 2³¹ frames", frames, "and number of frames need"),
        row("dicom: a value of 4 GiB", long_value, "it holds no pixels"),
        row("dicom: a value that inflates to 4 GiB", inflated_value, "it inflates to more than"),
        row("dicom: elements that inflate to 2 GiB", inflated_elements, "x.dcm: DICOM: "),
        // It is read: the set then lacks a validation image, since its other pictures are those of the test split.
        row("dicom: pixels that inflate to 98 MB, and 2 GiB more", inflated_pixels, "no validation image is left"),
        row("dicom: sequences, 400,000 deep", nested, "more than 64 sequences"),
        row("dicom: 1,200,000 elements", many_elements, "x.dcm: DICOM: "),
        row("dicom: 1,200,000 empty fragments", fragments, "cut or damaged"),
        row("dicom: run lengths of 7,000 × 7,000", |d| run_lengths(d, 2), "too few for 49000000 pixels"),
        row("dicom: run lengths of 2³² segments", |d| run_lengths(d, u32::MAX), "have 4294967295 segments"),
    ]
}
