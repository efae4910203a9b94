//! Tests with files that PyTorch wrote (tests/torch/make_torch.py), and with pickles written by hand.

use super::{names::named, pickle};
use crate::nn::tensors::tensors;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(name)
}

fn refusal(name: &str) -> String {
    let path = path(name);
    let e = tensors(&path, &std::fs::read(&path).unwrap()).unwrap_err();
    assert_eq!(e.exit_code(), 4, "{e}");
    e.to_string()
}

#[test]
fn every_float_and_every_view_has_the_values_that_pytorch_saw() {
    let due_bytes = std::fs::read(path("tensors.safetensors")).unwrap();
    let due = tensors(Path::new("due"), &due_bytes).unwrap();
    assert_eq!(due.len(), 11);
    for name in ["tensors.pt", "tensors_4.pt"] {
        let bytes = std::fs::read(path(name)).unwrap();
        let found = tensors(Path::new(name), &bytes).unwrap();
        for (tensor, due) in &due {
            let got = &found[tensor];
            assert_eq!(got.shape, due.shape, "{name}: {tensor}");
            assert_eq!(got.f32_bytes(), due.f32_bytes(), "{name}: {tensor}");
        }
        assert_eq!(found.len(), due.len() + 1, "numbers, texts and lists are passed over");
        assert_eq!((found["count"].bytes().as_ref(), found["count"].f32_bytes()), (&7i64.to_le_bytes()[..], None));
    }
}

#[test]
fn names_in_dicts_within_dicts_are_joined() {
    let bytes = std::fs::read(path("resnet.pth")).unwrap();
    let found = tensors(Path::new("resnet.pth"), &bytes).unwrap();
    let plain_bytes = std::fs::read(path("resnet.safetensors")).unwrap();
    let plain = tensors(Path::new("plain"), &plain_bytes).unwrap();
    for (name, due) in &plain {
        let got = &found[&format!("state_dict.module.{name}")];
        assert_eq!(
            (got.dtype, got.shape.as_slice(), got.bytes()),
            (due.dtype, due.shape.as_slice(), due.bytes()),
            "{name}"
        );
    }
    let others: Vec<&String> = found.keys().filter(|n| !n.starts_with("state_dict.module.")).collect();
    assert_eq!(others, ["optimizer.state.0.momentum_buffer"]);
}

#[test]
fn what_is_not_tensors_alone_is_refused_by_its_name() {
    let said = refusal("hostile.pth");
    assert!(said.contains("hostile.pth holds posix.system, and only tensors are read"), "{said}");
    assert!(!Path::new("pickle-was-run").exists() && said.contains("torch.save(model.state_dict(), 'w.pt')"), "{said}");
    for (name, says) in [
        ("module.pth", "holds torch.nn.modules.linear.Linear, and"),
        ("complex.pth", "holds torch.ComplexFloatStorage, and"),
        ("expanded.pth", "holds conv1.weight, which repeats the values of its storage; save it with .contiguous()"),
        ("compressed.pth", "compressed, which torch.save never does"),
        ("big.pth", "big-endian"),
        ("without.pth", "lacks the storage 0 of conv1.weight"),
        ("short.pth", "holds conv1.weight, which lies outside its storage of 20 bytes"),
    ] {
        let said = refusal(name);
        assert!(said.contains(name) && said.contains(says), "{said}");
    }
}

#[test]
fn no_bit_of_a_file_changes_unseen() {
    let whole = std::fs::read(path("weight.pth")).unwrap();
    let read = |bytes: &[u8]| tensors(Path::new("w.pth"), bytes).map(|t| t["conv1.weight"].bytes().into_owned());
    let due = read(&whole).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(got) = read(&bytes) {
            // The bit may be in padding, a date or a version. Then the values are the same.
            assert_eq!(got, due, "byte {at} changed, and another result came of it");
        }
        assert!(read(&whole[..at]).is_err(), "cut to {at} bytes");
    }
}

/// Reads a pickle from its instructions. Returns how many tensors have a name.
fn read(parts: &[&[u8]]) -> Result<usize, String> {
    let bytes = parts.concat();
    let (machine, root) = pickle::read(&bytes)?;
    named(&machine, root, 1 << 20).map(|found| found.len())
}

#[test]
fn a_pickle_is_data_however_it_is_made() {
    let tensor: &[&[u8]] = &[
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89)tR",
    ];
    let a: &[u8] = b"X\x01\0\0\0a";
    let one = [&[b"\x80\x02}".as_slice(), a][..], tensor, &[b"s."]].concat();
    assert_eq!(read(&one), Ok(1));
    let itself: &[&[u8]] = &[b"}q\x00", a, b"h\x00s."];
    assert_eq!(read(itself).unwrap_err(), "holds no tensor by name");
    let alike = [&[b"}".as_slice(), a][..], tensor, &[b"q\x01sX\x01\0\0\0ah\x01s."]].concat();
    assert!(read(&alike).unwrap_err().contains("two tensors one name"));
    let deep = [b"}X\x01\0\0\0a".repeat(100), b"}".to_vec(), b"s".repeat(100), b".".to_vec()].concat();
    assert!(read(&[&deep]).unwrap_err().contains("more than 32 deep"));
    for (parts, says) in [
        (&[b"".as_slice()][..], "ends within its pickle"),
        (&[b"K"], "ends within its pickle"),
        (&[b"."], "takes more than it put"),
        (&[b"(."], "takes more than it put"),
        (&[b"X\xff\xff\xff\xffa"], "ends within its pickle"),
        (&[b"cos\nsystem\n"], "holds os.system, and"),
        (&[b"cbuiltins\neval\nX\x01\0\0\x001\x85R."], "holds builtins.eval, and"),
        (&[b"\x8c\x05posix\x8c\x06system\x93."], "holds posix.system, and"),
        (&[b"(ios\nsystem\n."], "the instruction 0x69"),
        (&[b"K\x01."], "holds no dict"),
        (&[b"ccollections\nOrderedDict\n)R."], "no tensor by name"),
        (&[b"ccollections\nOrderedDict\nK\x01\x85R."], "makes a tensor of wrong parts"),
        (&[b"h\x07."], "did not keep"),
        (&[b"K\x01K\x02K\x03s."], "of what is no dict"),
        (&[b"}K\x01a."], "no list"),
        (&[b"K\x01}b."], "no dict"),
        (&[b"K\x01\x85Q."], "no storage"),
    ] {
        let why = read(parts).unwrap_err();
        assert!(why.contains(says), "{parts:?}: {why}");
    }
    let long =
        [&[b"}X\x00\x00\x10\x00".as_slice(), &[b'a'; 1 << 20]][..], tensor, &[b"sK\x01"], tensor, &[b"s."]].concat();
    assert!(read(&long).unwrap_err().contains("names longer than the file"));
}
