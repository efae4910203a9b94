//! Writes the hostile files of the table: small on disk, but large in what they claim or hold.

use super::left;
use super::seeds;
use flate2::{Compress, Compression, FlushCompress};
use std::path::Path;
use wgslab::base::seal;
use wgslab::study::{Config, EpochRecord, results};

pub fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// `mib` MiB of zeros, deflated. One block is repeated, so that no test has to compress gigabytes.
pub fn zeros(mib: usize, zlib: bool) -> Vec<u8> {
    let chunk = vec![0; 1 << 20];
    let mut deflate = Compress::new(Compression::best(), zlib);
    let mut part = |flush| {
        let mut out = Vec::with_capacity(1 << 16);
        deflate.compress_vec(&chunk, &mut out, flush).unwrap();
        out
    };
    let (first, middle) = (part(FlushCompress::Sync), part(FlushCompress::Sync));
    let last = part(FlushCompress::Finish);
    [first, middle.repeat(mib - 2), last].concat()
}

/// The CRC of `before` followed by this many zero bytes.
fn crc_of_zeros(bytes: u64, before: &[u8]) -> u32 {
    let mut all = crc32fast::Hasher::new();
    all.update(before);
    let (mut power, mut left) = (crc32fast::Hasher::new(), bytes);
    power.update(&[0]);
    while left > 0 {
        if left & 1 == 1 {
            all.combine(&power);
        }
        let same = power.clone();
        power.combine(&same);
        left >>= 1;
    }
    all.finalize()
}

/// Small arrays under the usual names; the array `name` holds `bytes` instead.
fn members(name: &str, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let mut parts = seeds::npz()[0].parts.clone();
    let at = parts.iter().position(|p| p == format!("{name}.npy").as_bytes()).unwrap();
    parts[at + 1] = bytes;
    parts
}

pub fn npz_claim(dir: &Path, shape: &str) {
    write(dir, "x.npz", &seeds::archive(&members("train_images", seeds::npy("|u1", false, shape, &[0; 64]))));
}

/// An archive whose training images are `bytes` deflated zeros. The arrays under the other names are small.
pub fn npz_bomb(dir: &Path, bytes: u64) {
    let header = seeds::npy("|u1", false, &format!("({}, 1024, 1024)", bytes >> 20), &[]);
    // The header is a stored block that is not the last. The zeros follow.
    let n = header.len() as u16;
    let stored = [&[0][..], &n.to_le_bytes(), &(!n).to_le_bytes(), &header].concat();
    let images = [stored, zeros((bytes >> 20) as usize, false)].concat();
    let (mut file, mut directory, mut members) = (Vec::new(), Vec::new(), 0u16);
    for pair in seeds::npz()[0].parts.chunks(2) {
        let (name, is_bomb) = (&pair[0], pair[0] == b"train_images.npy");
        let (method, crc, size, data) = match is_bomb {
            true => (8u16, crc_of_zeros(bytes, &header), bytes + u64::from(n), &images),
            false => (0, crc32fast::hash(&pair[1]), pair[1].len() as u64, &pair[1]),
        };
        let mut about = [20u16, 0, method, 0, 0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        about.extend([crc, data.len() as u32, size as u32].iter().flat_map(|v| v.to_le_bytes()));
        about.extend([name.len() as u16, 0].iter().flat_map(|v| v.to_le_bytes()));
        let at = (file.len() as u32).to_le_bytes();
        directory.extend([b"PK\x01\x02\x14\0".as_slice(), &about, &[0; 10], &at, name].concat());
        file.extend([b"PK\x03\x04".as_slice(), &about, name, data].concat());
        members += 1;
    }
    let ends = [directory.len() as u32, file.len() as u32].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let count = members.to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &ends, &[0, 0]].concat();
    write(dir, "x.npz", &[file, directory, end].concat());
}

pub fn npz_long_header(dir: &Path) {
    let bytes = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes(), b"{'descr'"].concat();
    write(dir, "x.npz", &seeds::archive(&members("train_images", bytes)));
}

pub fn npz_brackets(dir: &Path) {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {}", "(".repeat(1_000_000));
    let bytes = [b"\x93NUMPY\x02\0".as_slice(), &(header.len() as u32).to_le_bytes(), header.as_bytes()].concat();
    write(dir, "x.npz", &seeds::archive(&members("train_images", bytes)));
}

pub fn npz_members(dir: &Path) {
    let mut parts = seeds::npz()[0].parts.clone();
    (0..60_000).for_each(|i| parts.extend([format!("m{i}.npy").into_bytes(), vec![0; 8]]));
    write(dir, "x.npz", &seeds::archive(&parts));
}

/// One picture beside others that are valid.
pub fn picture(dir: &Path, name: &str, bytes: &[u8]) {
    for (i, seed) in seeds::png().iter().take(2).enumerate() {
        write(dir, &format!("x/train/a/{i}.png"), &seed.file());
        write(dir, &format!("x/test/a/{i}.png"), &seed.file());
    }
    write(dir, &format!("x/train/a/{name}"), bytes);
}

fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = chunks.iter().map(|(kind, data)| [kind.as_slice(), data].concat()).collect();
    (seeds::png()[0].join)(&parts)
}

fn ihdr(width: u32, height: u32, colour: u8, bits: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, colour, 0, 0, 0]].concat()
}

pub fn png_bomb(dir: &Path, width: u32, height: u32, colour: u8, bits: u8) {
    let channels = if colour == 6 { 4 } else { 1 };
    let row = 1 + width as usize * channels * bits as usize / 8;
    let data = zeros((row * height as usize).div_ceil(1 << 20), true);
    let chunks = [(b"IHDR", ihdr(width, height, colour, bits)), (b"IDAT", data), (b"IEND", Vec::new())];
    picture(dir, "x.png", &png(&chunks));
}

pub fn png_claim(dir: &Path, width: u32, height: u32) {
    let chunks = [(b"IHDR", ihdr(width, height, 2, 8)), (b"IDAT", zeros(3, true)), (b"IEND", Vec::new())];
    picture(dir, "x.png", &png(&chunks));
}

pub fn png_text_bomb(dir: &Path, kind: [u8; 4]) {
    let data = [b"a\0\0".as_slice(), &zeros(2048, true)].concat();
    let whole = seeds::png()[0].parts.clone();
    let parts = [vec![whole[0].clone(), [kind.as_slice(), &data].concat()], whole[1..].to_vec()].concat();
    picture(dir, "x.png", &(seeds::png()[0].join)(&parts));
}

pub fn bmp(dir: &Path, width: i32, height: i32, runs: &[u8]) {
    let compression = u32::from(!runs.is_empty());
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\x04\0\0\x28\0\0\0".to_vec();
    file.extend([width.to_le_bytes(), height.to_le_bytes(), [1, 0, 8, 0], compression.to_le_bytes()].concat());
    file.extend([runs.len() as u32, 0, 0, 256, 0].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([0; 1024]);
    file.extend(runs);
    picture(dir, "x.bmp", &file);
}

/// A TIFF directory. Each tag is (number, type, count, value).
fn tiff(tags: &[(u16, u16, u32, u32)], next: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in tags {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend(next.to_le_bytes());
    file.extend(data);
    file
}

/// The tags of a gray picture in one strip.
fn gray(side: u32, compression: u32, bytes: u32) -> Vec<(u16, u16, u32, u32)> {
    let at = 8 + 2 + 12 * 9 + 4;
    vec![
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, at),
        (277, 3, 1, 1),
        (278, 4, 1, side),
        (279, 4, 1, bytes),
    ]
}

pub fn tiff_bomb(dir: &Path) {
    let data = zeros(2048, true);
    picture(dir, "x.tif", &tiff(&gray(46_340, 8, data.len() as u32), 0, &data));
}

pub fn tiff_circle(dir: &Path) {
    picture(dir, "x.tif", &tiff(&gray(8, 1, 64), 8, &[7; 64]));
}

pub fn tiff_tag(dir: &Path) {
    let mut tags = gray(8, 1, 64);
    tags[5].2 = u32::MAX;
    picture(dir, "x.tif", &tiff(&tags, 0, &[7; 64]));
}

/// A valid small JPEG whose frame header claims a larger picture.
fn jpeg(name: &str, side: u16) -> (Vec<u8>, usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let mut file = std::fs::read(path).unwrap();
    let frame = file.windows(2).position(|w| w[0] == 0xff && (w[1] == 0xc0 || w[1] == 0xc2)).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    let scan = file.windows(2).rposition(|w| w == [0xff, 0xda]).unwrap();
    (file, scan)
}

pub fn jpeg_claim(dir: &Path) {
    picture(dir, "x.jpg", &jpeg("base420.jpg", 65_500).0);
}

pub fn jpeg_scans(dir: &Path) {
    let (file, scan) = jpeg("prog.jpg", 7_000); // within the limit of pixels, which is checked before any scan
    let (before, last) = file.split_at(scan);
    let last = &last[..last.len() - 2];
    picture(dir, "x.jpg", &[before, &last.repeat(5_000), &[0xff, 0xd9]].concat());
}

pub fn manifest(dir: &Path, rows: usize, label: fn(usize) -> String) {
    write(dir, "a.png", &seeds::png()[0].file());
    let mut text = "path,label,split\n".to_string();
    (0..rows).for_each(|i| text += &format!("a.png,{},train\n", label(i)));
    text += &format!("a.png,{},test\n", label(0));
    write(dir, "x.csv", text.as_bytes());
}

/// One picture with nearly the largest number of pixels, in the largest number of rows. The rows name it by different
/// paths.
pub fn csv_repeats(dir: &Path) {
    let chunks = [(b"IHDR", ihdr(7000, 7000, 0, 8)), (b"IDAT", zeros(47, true)), (b"IEND", Vec::new())];
    write(dir, "a/a.png", &png(&chunks));
    let row = |i: usize| format!("{}a/a.png,{},{}\n", "a/../".repeat(i % 9), i % 2, ["train", "test"][i % 7 / 6]);
    write(dir, "x.csv", format!("path,label,split\n{}", (0..8192).map(row).collect::<String>()).as_bytes());
}

/// A download of the fetal planes with one image and these rows.
pub fn fetal(dir: &Path, rows: String) {
    write(dir, "x/Images/a.png", &seeds::png()[0].file());
    let table = format!("Image_name;Patient_num;Plane;Train \n{rows}");
    write(dir, "x/FETAL_PLANES_DB_data.csv", table.as_bytes());
}

pub fn fetal_patients(rows: usize) -> String {
    let planes = ["Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other"];
    (0..rows).map(|i| format!("a;{i};{};{}\n", planes[i % 6], usize::from(i % 7 > 0))).collect()
}

pub fn csv_columns(dir: &Path) {
    write(dir, "a.png", &seeds::png()[0].file());
    let text = format!("path,label{}\na.png,x{}\n", ",a".repeat(1_000_000), ",b".repeat(1_000_000));
    write(dir, "x.csv", text.as_bytes());
}

pub fn safetensors(dir: &Path, header: String) {
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    write(dir, "x.safetensors", &bytes);
}

pub fn safetensors_many(dir: &Path) {
    let one = |i: usize| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    safetensors(dir, format!("{{{}}}", (0..100_000).map(one).collect::<Vec<_>>().join(",")));
}

pub fn safetensors_prefixes(dir: &Path) {
    let one = |i: usize| format!("\"{i}.conv1.weight\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    safetensors(dir, format!("{{{}}}", (0..130_000).map(one).collect::<Vec<_>>().join(",")));
}

pub fn safetensors_shape(dir: &Path) {
    let shape = ["4294967296"; 9].join(",");
    safetensors(dir, format!("{{\"conv1.weight\":{{\"dtype\":\"F32\",\"shape\":[{shape}],\"data_offsets\":[0,0]}}}}"));
}

/// A PyTorch file of this pickle and one storage of 24 bytes.
pub fn torch(dir: &Path, pickle: &[u8]) {
    let parts = [b"x/data.pkl".as_slice(), pickle, b"x/data/0", &[0; 24]].map(<[u8]>::to_vec);
    write(dir, "x.pth", &seeds::archive(&parts));
}

/// What a pickle says of a tensor: elements of its storage, its first one, sizes and strides as pickles.
pub fn torch_tensor(elements: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage =
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu";
    [storage.as_slice(), elements, b"tQK\0", shape, strides, b"\x89)tR"].concat()
}

/// A dict of one tensor.
pub fn torch_claim(dir: &Path, elements: &[u8], shape: &[u8], strides: &[u8]) {
    let tensor = torch_tensor(elements, shape, strides);
    torch(dir, &[b"\x80\x02}X\x01\0\0\0a".as_slice(), &tensor, b"s."].concat());
}

/// Dicts within dicts.
pub fn torch_deep(dir: &Path, depth: usize) {
    torch(dir, &[b"}X\x01\0\0\0a".repeat(depth), b"}".to_vec(), b"s".repeat(depth), b".".to_vec()].concat());
}

/// Dicts that each hold the one before twice: two to the power of their number, were each looked into.
pub fn torch_doubling(dir: &Path, count: u8) {
    let mut pickle = b"}q\0".to_vec();
    for i in 0..count {
        pickle.extend([b"}(K\0h".as_slice(), &[i], b"K\x01h", &[i], b"uq", &[i + 1]].concat());
    }
    torch(dir, &[pickle, b".".to_vec()].concat());
}

/// As many names of one tensor as fit, each behind a long prefix.
pub fn torch_names(dir: &Path) {
    let tensor = torch_tensor(b"K\x06", b"K\x06\x85", b"K\x01\x85");
    let mut pickle = [b"}X\0\x80\0\0".as_slice(), &[b'a'; 0x8000], b"}"].concat();
    pickle.extend([b"(K\0".as_slice(), &tensor, b"q\x01"].concat());
    (1..100_000u32).for_each(|i| pickle.extend([b"J".as_slice(), &i.to_le_bytes(), b"h\x01"].concat()));
    torch(dir, &[pickle, b"us.".to_vec()].concat());
}

/// A directory that names one member of 5 MB a hundred thousand times.
pub fn torch_overlap(dir: &Path) {
    let parts = [b"x/data.pkl".as_slice(), &vec![b'N'; 5 << 20]].map(<[u8]>::to_vec);
    let file = seeds::archive(&parts);
    let directory = file.len() - 22 - (46 + parts[0].len());
    let (members, entry) = (&file[..directory], &file[directory..file.len() - 22]);
    let all = entry.repeat(50_000);
    let ends = [all.len() as u32, directory as u32].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let count = 50_000u16.to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &ends, &[0, 0]].concat();
    write(dir, "x.pth", &[members, &all, &end].concat());
}

/// A transformer of so many blocks, of which only the names are there.
pub fn safetensors_blocks(dir: &Path, blocks: usize) {
    let mut entries = vec![
        ("patch_embed.proj.weight".to_string(), "64,1,1,1".to_string(), 64),
        ("pos_embed".to_string(), "1,2,64".to_string(), 128),
        ("blocks.0.attn.qkv.weight".to_string(), "192,64".to_string(), 192 * 64),
    ];
    entries.extend((0..blocks).map(|i| (format!("blocks.{i}.norm1.weight"), "0".to_string(), 0)));
    let (mut at, mut header) = (0, Vec::new());
    for (name, shape, count) in entries {
        let end = at + 4 * count;
        header.push(format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{shape}],\"data_offsets\":[{at},{end}]}}"));
        at = end;
    }
    let header = format!("{{{}}}", header.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; at]].concat();
    write(dir, "x.safetensors", &bytes);
}

pub fn toml_keys(dir: &Path) {
    let text: String = (0..500_000).map(|i| format!("k{i}=1\n")).collect();
    write(dir, "x.toml", text.as_bytes());
}

pub fn toml_seeds(dir: &Path) {
    let seeds: Vec<String> = (0..200_000).map(|i| i.to_string()).collect();
    let text = format!("seeds = [{}]\n[data]\nspecs = [\"phantom:covid\"]\n", seeds.join(","));
    write(dir, "x.toml", text.as_bytes());
}

/// A study of one cell in which one file was replaced. The checksums are right, so the code after the check reads the
/// file.
pub fn study(dir: &Path, file: &str, bytes: &[u8]) {
    let dir = dir.join("x");
    let config = Config::parse("t", "").unwrap().to_toml().unwrap();
    write(&dir, "config.toml", seal::sealed_text(&config).as_bytes());
    left::write_run(&dir);
    write(&dir, file, bytes);
    // The checksums are made right, so that the parser of the file is reached.
    left::finish(&dir.join("runs/a"));
}

pub fn study_epoch(dir: &Path) {
    study(dir, "runs/b/nothing", &[]);
    let far = EpochRecord { epoch: 1 << 40, ..left::epochs()[0].clone() };
    let run = dir.join("x/runs/a");
    results::write_epochs(&run, &[far]).unwrap();
    left::finish(&run);
}

const PIECE: &str = "elementwise/unary/relu.wgsl";

pub fn shader(dir: &Path, text: &str) {
    let committed = wgslab::device::tree::pieces().find(|p| p.0 == PIECE).unwrap().1;
    write(dir, &format!("x/{PIECE}"), format!("{committed}\n{text}").as_bytes());
}
