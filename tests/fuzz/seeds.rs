//! Small valid files of every format that the program reads.

use super::mutate::Seed;
use std::collections::BTreeMap;
use wgslab::base::hash::Hasher;
use wgslab::base::seal;

/// The committed files with one of these endings. Each has a few hundred bytes and was made with Pillow and numpy.
pub fn pictures(endings: &[&str]) -> Vec<Seed> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort(); // the order is fixed, so that a case is found again by its number
    let wanted = |p: &std::path::PathBuf| p.extension().is_some_and(|e| endings.iter().any(|x| e == *x));
    files.into_iter().filter(wanted).map(|p| Seed::whole(std::fs::read(p).unwrap())).collect()
}

/// PNG as chunks: each part is a kind and data. The join adds the length and the checksum.
pub fn png() -> Vec<Seed> {
    let word = |b: &[u8]| u32::from_be_bytes(b[..4].try_into().unwrap()) as usize;
    let cut = |file: Vec<u8>| {
        let (mut rest, mut parts) = (&file[8..], Vec::new());
        while rest.len() >= 12 {
            let n = word(rest);
            parts.push(rest[4..8 + n].to_vec());
            rest = &rest[12 + n..];
        }
        parts
    };
    let join = |parts: &[Vec<u8>]| {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        for part in parts {
            file.extend((part.len().saturating_sub(4) as u32).to_be_bytes());
            file.extend(part);
            file.extend(crc32fast::hash(part).to_be_bytes());
        }
        file
    };
    pictures(&["png"]).into_iter().map(|s| Seed { parts: cut(s.file()), join }).collect()
}

/// A member of an archive: the header in Python's notation, then the data.
pub fn npy(descr: &str, order: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if order { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), bytes].concat()
}

/// Archives whose parts are the names and bytes of the members in turn, and one archive that numpy compressed.
pub fn npz() -> Vec<Seed> {
    let split = |order: bool, gray: bool, labels: &str| {
        let mut parts = Vec::new();
        for (split, n) in [("train", 4), ("val", 2), ("test", 3)] {
            let pixels: Vec<u8> = (0..n * 9 * if gray { 1 } else { 3 }).map(|i| (i * 37 + n) as u8).collect();
            let shape = if gray { format!("({n}, 3, 3)") } else { format!("({n}, 3, 3, 3)") };
            parts.push(format!("{split}_images.npy").into_bytes());
            parts.push(npy("|u1", order, &shape, &pixels));
            let width: usize = labels[2..].parse().unwrap();
            let values: Vec<u8> = (0..n).flat_map(|i| [vec![i as u8 % 2], vec![0; width - 1]].concat()).collect();
            parts.push(format!("{split}_labels.npy").into_bytes());
            parts.push(npy(labels, order, &format!("({n}, 1)"), &values));
        }
        Seed { parts, join: archive }
    };
    let own =
        [split(false, true, "|u1"), split(true, true, "<u2"), split(false, false, "<i8"), split(true, false, "<i4")];
    own.into_iter().chain(pictures(&["npz"])).collect()
}

/// Archives of labels, one with the names of their images.
pub fn given_labels() -> Vec<Seed> {
    let names: Vec<u8> = "a.pngb.png".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let labels = ["given.npy".into(), npy("|u1", false, "(2,)", &[1, 0])];
    let named = ["names.npy".into(), npy("<U5", false, "(2,)", &names)];
    let both = [labels.clone(), named].concat();
    [labels.to_vec(), both].map(|parts| Seed { parts, join: archive }).into()
}

/// A zip file of stored members.
pub fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    let (mut file, mut directory, mut members) = (Vec::new(), Vec::new(), 0u16);
    for pair in parts.chunks(2) {
        let [name, bytes] = pair else { continue };
        let mut about = Vec::new();
        for n in [20u16, 0, 0, 0, 0] {
            about.extend(n.to_le_bytes()); // version, flags, stored, no time
        }
        for n in [crc32fast::hash(bytes), bytes.len() as u32, bytes.len() as u32] {
            about.extend(n.to_le_bytes());
        }
        about.extend((name.len() as u16).to_le_bytes());
        about.extend(0u16.to_le_bytes());
        directory
            .extend([b"PK\x01\x02\x14\0".as_slice(), &about, &[0; 10], &(file.len() as u32).to_le_bytes()].concat());
        directory.extend(name);
        file.extend([b"PK\x03\x04".as_slice(), &about, name, bytes].concat());
        members = members.wrapping_add(1);
    }
    let (at, size) = (file.len() as u32, directory.len() as u32);
    file.extend(&directory);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &members.to_le_bytes(), &members.to_le_bytes()].concat());
    file.extend([size.to_le_bytes().as_slice(), &at.to_le_bytes(), &[0, 0]].concat());
    file
}

/// Files that PyTorch wrote (tests/torch), by members: names and bytes in turn.
pub fn torch(names: &[&str]) -> Vec<Seed> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch");
    let one = |name: &&str| {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(folder.join(name)).unwrap()).unwrap();
        let mut parts = Vec::new();
        for i in 0..zip.len() {
            let (mut member, mut bytes) = (zip.by_index(i).unwrap(), Vec::new());
            std::io::copy(&mut member, &mut bytes).unwrap();
            parts.extend([member.name().as_bytes().to_vec(), bytes]);
        }
        Seed { parts, join: archive }
    };
    names.iter().map(one).collect()
}

/// A safetensors file as its header and its data. The join writes the header's length.
pub fn safetensors(file: &[u8]) -> Seed {
    let n = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let join = |parts: &[Vec<u8>]| {
        let header = parts.first().map_or(&[][..], Vec::as_slice);
        let data = parts.iter().skip(1).flatten();
        (header.len() as u64).to_le_bytes().iter().chain(header).chain(data).copied().collect()
    };
    Seed { parts: vec![file[8..8 + n].to_vec(), file[8 + n..].to_vec()], join }
}

/// The same for a checkpoint. Where the file still is a checkpoint, the join makes its two checksums right again. So
/// the code that reads shapes and metadata sees the changes.
pub fn sealed_tensors(file: &[u8]) -> Seed {
    let plain = safetensors(file);
    let join = |parts: &[Vec<u8>]| {
        let file = (safetensors(&[&2u64.to_le_bytes()[..], b"{}"].concat()).join)(parts);
        resealed_tensors(&file).unwrap_or(file)
    };
    Seed { join, ..plain }
}

/// Seals the file as `nn::checkpoint` does: a digest of the tensors is among the metadata, and a checksum covers both.
fn resealed_tensors(file: &[u8]) -> Option<Vec<u8>> {
    let tensors = safetensors::SafeTensors::deserialize(file).ok()?;
    let mut sorted = tensors.tensors();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Hasher::new();
    for (name, view) in &sorted {
        hash.update(name);
        hash.update(view.dtype().to_string());
        view.shape().iter().for_each(|d| hash.update((*d as u64).to_le_bytes()));
        hash = hash.part(view.data());
    }
    let n = u64::from_le_bytes(file[..8].try_into().ok()?) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&file[8..8 + n]).ok()?;
    let mut about: serde_json::Value = serde_json::from_str(header["__metadata__"]["wgslab"].as_str()?).ok()?;
    about.as_object_mut()?.insert("tensors".into(), hash.short().into());
    header["__metadata__"]["wgslab"] = serde_json::Value::Object(seal::sealed(&about).ok()?).to_string().into();
    let header = header.to_string();
    Some([&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &file[8 + n..]].concat())
}

/// Tensors as a safetensors file.
pub fn tensors(list: &[(&str, safetensors::Dtype, &[usize], Vec<u8>)], metadata: &str) -> Vec<u8> {
    let views: BTreeMap<&str, _> = list
        .iter()
        .map(|(name, dtype, shape, data)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        })
        .collect();
    let metadata = (!metadata.is_empty()).then(|| [("wgslab".to_string(), metadata.to_string())].into());
    safetensors::serialize(views, metadata).unwrap()
}

/// JSON objects that carry checksums, one for each part. Where a part still is an object, the join makes its checksum
/// right again.
pub fn sealed(objects: &[String]) -> Seed {
    let join = |parts: &[Vec<u8>]| {
        let lines = parts.iter().map(|p| resealed(p).map_or_else(|_| p.clone(), String::into_bytes));
        lines.collect::<Vec<_>>().join(&b'\n')
    };
    Seed { parts: objects.iter().map(|o| o.clone().into_bytes()).collect(), join }
}

fn resealed(text: &[u8]) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    seal::sealed(&value).map(|object| serde_json::Value::Object(object).to_string())
}

/// A text below the line with its checksum. The join writes that line.
pub fn sealed_text(text: &str) -> Seed {
    let join = |parts: &[Vec<u8>]| {
        let text = parts.concat();
        String::from_utf8(text).map_or_else(|e| e.into_bytes(), |t| seal::sealed_text(&t).into_bytes())
    };
    Seed { parts: vec![text.into()], join }
}
