//! Every function of the library that reads a user's file or what a run left. Each reader has its seeds, the words of
//! its format, and what a caller does next with the data.

use super::dicom;
use super::left::*;
use super::mutate::Seed;
use super::seeds;
use super::texts::*;
use super::watcher::{ORDER, Order};
use super::words::{CSV, JSON, NPY, PICKLE, SPEC, TOML, WGSL};
use super::worker::processor_time;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wgslab::base::{Error, Result};
use wgslab::data::decode::MAX_PIXELS;
use wgslab::data::decode::{ImageFile, Listing};
use wgslab::data::given::GivenFile;
use wgslab::data::layout::{Spec, fetal};
use wgslab::data::npz::Archive;
use wgslab::data::{DecodedData, Keep, LoadOptions, Pixels, RESIDENT_BYTES, manifest};
use wgslab::device::{Gpu, GpuOptions};

pub struct Reader {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Seed>,
    /// Words of the format, which are put anywhere.
    pub words: &'static [&'static str],
    /// Reads a file that holds these bytes.
    pub read: fn(&Desk, &[u8]) -> Result<()>,
    /// The exit codes that a refusal may have.
    pub codes: &'static [u8],
    /// The number of cases that CI tries.
    pub cases: u64,
    /// Whether it needs an adapter.
    pub device: bool,
}

/// The folder where a reader finds its file, and the device for readers that need one.
pub struct Desk {
    pub dir: TempDir,
    gpu: std::sync::OnceLock<Gpu>,
}

impl Desk {
    pub fn new() -> Desk {
        Desk { dir: tempfile::tempdir().unwrap(), gpu: Default::default() }
    }

    pub fn gpu(&self) -> &Gpu {
        self.gpu.get_or_init(|| Gpu::open(&GpuOptions::default()).unwrap())
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn options(&self, channels: usize) -> LoadOptions {
        let data_root = self.dir.path().to_path_buf();
        LoadOptions {
            data_root,
            store_size: 8,
            channels,
            val_fraction: 0.2,
            seed: 1,
            cache: None,
            bit_depth: 16,
            strict: false,
            max_pixels: MAX_PIXELS,
            max_bytes: RESIDENT_BYTES,
            paging: None,
        }
    }
}

const BAD: &[u8] = &[2, 4];

/// All readers.
pub fn all() -> Vec<Reader> {
    let picture =
        |name, seeds| Reader { name, seeds, words: &[], read: read_picture, codes: BAD, cases: 2000, device: false };
    let json = |name, seeds, read| Reader { name, seeds, words: JSON, read, codes: BAD, cases: 1500, device: false };
    vec![
        Reader { name: "npz", seeds: seeds::npz, words: NPY, read: read_npz, codes: BAD, cases: 3000, device: false },
        picture("png", seeds::png),
        picture("jpeg", || seeds::pictures(&["jpg"])),
        picture("tiff", || seeds::pictures(&["tif"])),
        picture("bmp", || seeds::pictures(&["bmp"])),
        picture("gif and webp", || seeds::pictures(&["gif", "webp"])),
        Reader { words: dicom::WORDS, cases: 3000, ..picture("dicom", dicom::seeds) },
        Reader {
            name: "manifest",
            seeds: manifests,
            words: CSV,
            read: read_manifest,
            codes: BAD,
            cases: 2000,
            device: false,
        },
        Reader {
            name: "table of given labels",
            seeds: given_tables,
            words: CSV,
            read: |desk, bytes| read_given(desk, "l.csv", "label", bytes),
            codes: BAD,
            cases: 1500,
            device: false,
        },
        Reader {
            name: "archive of given labels",
            seeds: seeds::given_labels,
            words: NPY,
            read: |desk, bytes| read_given(desk, "l.npz", "given", bytes),
            codes: BAD,
            cases: 1500,
            device: false,
        },
        Reader { name: "fetal", seeds: fetals, words: CSV, read: read_fetal, codes: BAD, cases: 2000, device: false },
        Reader { name: "spec", seeds: specs, words: SPEC, read: read_spec, codes: BAD, cases: 2000, device: false },
        Reader { name: "cache", seeds: caches, words: JSON, read: read_cache, codes: BAD, cases: 1500, device: false },
        Reader {
            name: "weights",
            seeds: weights,
            words: JSON,
            read: read_weights,
            codes: BAD,
            cases: 1500,
            device: true,
        },
        Reader {
            name: "PyTorch file",
            seeds: || seeds::torch(&["tensors.pt", "tensors_4.pt", "weight.pth", "twice.pth"]),
            words: PICKLE,
            read: read_torch,
            codes: BAD,
            cases: 3000,
            device: false,
        },
        Reader { name: "state", seeds: states, words: JSON, read: read_state, codes: BAD, cases: 1500, device: true },
        Reader {
            name: "config",
            seeds: configs,
            words: TOML,
            read: read_config,
            codes: BAD,
            cases: 2000,
            device: false,
        },
        Reader {
            name: "study's config",
            seeds: kept_configs,
            words: TOML,
            read: read_kept_config,
            codes: BAD,
            cases: 1500,
            device: false,
        },
        Reader {
            name: "set of cases",
            seeds: sets,
            words: TOML,
            read: read_set,
            codes: BAD,
            cases: 2000,
            device: false,
        },
        json("bench report", reports, read_report),
        json("roofs", roofs, read_roofs),
        json("table of kernels", tables, read_table),
        json("cursor", cursors, read_cursor),
        json("done", done_files, read_done),
        Reader { device: true, cases: 1000, ..json("environment.json", environments, read_environment) },
        json("result.json", result_files, read_result),
        json("epochs.jsonl", epoch_files, read_epochs),
        json("steps.jsonl", step_files, read_steps),
        json("pictures' labels.json", label_lists, read_pictures),
        Reader {
            name: "labels.csv",
            seeds: label_rows,
            words: CSV,
            read: read_labels,
            codes: BAD,
            cases: 1500,
            device: false,
        },
        Reader {
            name: "wgsl",
            seeds: shaders,
            words: WGSL,
            read: read_shader,
            codes: &[1, 2, 4],
            cases: 1500,
            device: false,
        },
    ]
}

/// Readers for the watcher's own test: one is slow the first time, one every time, and one only waits.
pub fn sluggish() -> [Reader; 3] {
    let reader = |name, read| Reader {
        name,
        seeds: || vec![Seed::whole("a")],
        words: &[],
        read,
        codes: BAD,
        cases: 1,
        device: false,
    };
    [reader("slow once", read_slowly_once), reader("slow always", read_slowly), reader("idle", read_idly)]
}

/// The time that a slow reader takes, and the time that its test allows.
pub const SLOW: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(400));

/// Keeps a processor busy: a case that only waits for one is not slow.
fn read_slowly(_: &Desk, _: &[u8]) -> Result<()> {
    let (started, before) = (Instant::now(), processor_time());
    let spent = || processor_time().zip(before).map_or(started.elapsed(), |(now, before)| now.saturating_sub(before));
    while spent() < SLOW.0 {}
    Ok(())
}

fn read_idly(_: &Desk, _: &[u8]) -> Result<()> {
    std::thread::sleep(SLOW.0);
    Ok(())
}

/// The marker lies in the folder where the watcher keeps the number of the case. All workers share this folder.
fn read_slowly_once(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let order: Order = serde_json::from_str(&std::env::var(ORDER).unwrap()).unwrap();
    match std::fs::File::create_new(order.place.with_file_name("slow")) {
        Ok(_) => read_slowly(desk, bytes),
        Err(_) => Ok(()),
    }
}

fn read_given(desk: &Desk, name: &str, column: &str, bytes: &[u8]) -> Result<()> {
    desk.file(name, bytes);
    GivenFile::read("noise.given.file", [name, column], ("phantom:covid", desk.dir.path())).map(drop)
}

fn read_npz(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let archive = Archive::open(&desk.file("a.npz", bytes))?;
    consistent(&archive.decode(&desk.options(1 + 2 * (bytes.len() % 2)), Keep::Memory, &|_, _| ())?);
    Ok(())
}

/// The parts of what was read must fit together, because all later code indexes without a check.
fn consistent(source: &DecodedData) {
    for part in source.parts.iter().flatten() {
        let images = &part.images;
        assert!(matches!(&images.pixels, Pixels::Memory(all) if all.len() == images.len() * images.stride()));
        assert_eq!((images.names.len(), part.origins.len()), (images.len(), images.len()));
    }
}

fn read_picture(desk: &Desk, bytes: &[u8]) -> Result<()> {
    let path = desk.file("a.png", bytes);
    let entry = ImageFile { path, name: "a.png".into(), label: 0, group: None };
    let (name, classes) = ("set".to_string(), vec!["a".to_string()]);
    let listing = Listing { name, classes, files: [Some(vec![entry]), None, None], ..Default::default() };
    let source = listing.decode(&desk.options(1 + 2 * (bytes.len() % 2)), Keep::Memory, &|_, _| ())?;
    consistent(&source);
    match source.unreadable.first() {
        Some(why) => Err(Error::Data(why.to_string())),
        None => Ok(()),
    }
}

fn manifests() -> Vec<Seed> {
    [
        "path,label,split\na.png,x,train\na.png,y,train\na.png,x,test\n",
        "path,label\na.png,10\na.png,9\n",
        "\u{feff}label,\"path\"\n\"a,b\",a.png\n\"c\"\"d\",a.png\n",
    ]
    .map(Seed::whole)
    .to_vec()
}

/// Lists that give each image one label.
fn given_tables() -> Vec<Seed> {
    ["path,label,split\na.png,x,train\nb.png,y,test\n", "\u{feff}label,\"path\"\n\"a,b\",a.png\n\"c\"\"d\",b.png\n"]
        .map(Seed::whole)
        .to_vec()
}

fn read_manifest(desk: &Desk, bytes: &[u8]) -> Result<()> {
    if !desk.dir.path().join("a.png").exists() {
        desk.file("a.png", &seeds::png()[0].file());
    }
    let listing = manifest::list(&desk.file("m.csv", bytes))?;
    let known = |e: &ImageFile| (e.label as usize) < listing.classes.len();
    assert!(listing.files.iter().flatten().flatten().all(known), "a label without a class");
    Ok(())
}

/// The table of the fetal planes, with its spaces.
fn fetals() -> Vec<Seed> {
    let header = "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train ";
    let rows = ["a;1 ;Fetal brain;Trans-thalamic;Op. 1;Aloka;1 ", "a ;2;Other;Not A Brain;Other;Other;0"];
    let quoted = "Train;Plane;\"Image_name\";Patient_num\n1;\"Maternal cervix\";a.png;3\n";
    vec![Seed::whole(format!("{header}\n{}\n", rows.join("\n"))), Seed::whole(quoted)]
}

fn read_fetal(desk: &Desk, bytes: &[u8]) -> Result<()> {
    if !desk.dir.path().join("Images").exists() {
        desk.file("Images/a.png", &seeds::png()[0].file());
    }
    desk.file("FETAL_PLANES_DB_data.csv", bytes);
    let listing = fetal::list(desk.dir.path())?;
    let whole =
        |e: &ImageFile| (e.label as usize) < listing.classes.len() && e.group.as_ref().is_some_and(|g| !g.is_empty());
    assert!(listing.files.iter().flatten().flatten().all(whole), "a label without a class, or no patient");
    Ok(())
}

fn specs() -> Vec<Seed> {
    [
        "phantom:covid?train=40&val=8&test=8",
        "phantom:fetal",
        "folder",
        "a.csv",
        "folder/../x.npz",
        "mura:folder?label=abnormality",
    ]
    .map(Seed::whole)
    .to_vec()
}

fn read_spec(desk: &Desk, bytes: &[u8]) -> Result<()> {
    if !desk.dir.path().join("folder").exists() {
        for name in ["folder/a", "a.csv", "x.npz"] {
            desk.file(name, b"");
        }
    }
    Spec::parse(&String::from_utf8_lossy(bytes), desk.dir.path()).map(drop)
}
