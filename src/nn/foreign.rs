//! Files of weights in a format that is not read. They are recognized by their first bytes, and the error says how to
//! convert them.

use std::path::Path;

/// What the file is and what to do, if it is neither safetensors nor PyTorch's zip archive. `None` if it may be one of
/// these.
pub(super) fn foreign(path: &Path, head: &[u8]) -> Option<String> {
    let holds = |text: &str| head.windows(text.len()).any(|w| w == text.as_bytes());
    let elsewhere = |what: &str| {
        format!(
            "{what}, and weights are read from safetensors and from PyTorch's .pt and .pth; load it where it was made and \
                 save its tensors in one of them, under torchvision's names of a ResNet or timm's of a ViT"
        )
    };
    let starts = |magic: &[u8]| head.starts_with(magic);
    let named = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
    match () {
        () if starts(b"PK\x03\x04") && holds("data.pkl") => None,
        () if starts(b"PK\x03\x04") && holds(".npy") => Some(elsewhere("a NumPy archive (npz)")),
        () if starts(b"PK\x03\x04") => Some(elsewhere("a zip archive")),
        // Before version 1.6, PyTorch's files began with a pickled magic number. Pickles of the protocols 2 to 5 are in
        // use.
        () if starts(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.") => {
            Some(torch(path, "a PyTorch checkpoint in the form before version 1.6"))
        }
        () if head.len() > 1 && head[0] == 0x80 && (2..=5).contains(&head[1]) && !starts_like_safetensors(head) => {
            Some(torch(path, "a Python pickle"))
        }
        () if starts(b"\x89HDF\r\n\x1a\n") => Some(elsewhere("an HDF5 file (Keras writes such)")),
        () if starts(b"GGUF") => Some(elsewhere("a GGUF file")),
        () if starts(b"\x93NUMPY") => Some(elsewhere("a NumPy array (npy)")),
        () if named("onnx") => Some(elsewhere("an ONNX file")),
        () if starts(b"version https://git-lfs") => {
            Some("a pointer of Git LFS, not the weights; `git lfs pull` fetches them".into())
        }
        () if starts(b"<!") || starts(b"<html") => Some("a web page, not weights; download the file itself".into()),
        () => None,
    }
}

/// Whether the file begins as safetensors does: 8 bytes of length, then the opening brace of the header.
fn starts_like_safetensors(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{')
}

fn torch(path: &Path, what: &str) -> String {
    let (from, to) = (quoted(path), quoted(&path.with_extension("new.pth")));
    format!(
        "{what}, and PyTorch's files are read in the form since version 1.6; save it again: python -c \"import sys, torch; \
         torch.save(torch.load(sys.argv[1], map_location='cpu', weights_only=True), sys.argv[2])\" {from} {to}"
    )
}

/// A path as one word of a shell. People copy the command, and a file name may hold any character.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.into_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_told_by_their_first_bytes() {
        let said = |name: &str, head: &[u8]| foreign(Path::new(name), head).unwrap_or_default();
        assert_eq!(foreign(Path::new("r.pth"), b"PK\x03\x04..archive/data.pkl"), None, "read as it is");
        const OLD: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
        let torch = said("r.pth", OLD);
        assert!(torch.contains("before version 1.6, and") && torch.ends_with("\" r.pth r.new.pth"), "{torch}");
        let torch = said("a b'$(c).pth", OLD);
        assert!(torch.ends_with("\" 'a b'\\''$(c).pth' 'a b'\\''$(c).new.pth'"), "{torch}");
        assert!(said("r", b"\x80\x04\x95\x10\0\0\0\0\0").contains("a Python pickle"));
        for (head, what) in [
            (&b"PK\x03\x04..a.npy"[..], "npz"),
            (b"PK\x03\x04", "a zip archive"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"GGUF\x03", "GGUF"),
            (b"\x93NUMPY", "npy"),
            (b"version https://git-lfs.github.com", "git lfs pull"),
            (b"<!DOCTYPE html>", "web page"),
        ] {
            assert!(said("w", head).contains(what), "{what}");
        }
        assert!(said("w.onnx", b"\x08\x07").contains("ONNX"));
        // A safetensors file whose header has 0x280 bytes begins with the same bytes as a pickle.
        assert_eq!(foreign(Path::new("w"), b"\x80\x02\0\0\0\0\0\0{\"a\""), None);
    }
}
