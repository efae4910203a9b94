//! Edited shader text. A [`Tree`] replaces pieces of the committed `shaders/` by a user's own files.
//!
//! A device is opened with a tree ([`crate::device::GpuOptions::shaders`]) and runs its text. Two devices with
//! different trees work side by side in one process. Text that equals the committed text is not kept, so a full copy of
//! `shaders/` with one edited file is the same tree as that file alone. A kernel with an edited piece runs with naga's
//! runtime checks (bounds, loops), because the tests cover only the committed text.

use super::kernel::{Kernel, Piece};
use crate::base::hash::Hasher;
use crate::base::{Error, Result, files, nearest};
use include_dir::{Dir, include_dir};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every committed piece, by path.
static COMMITTED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/shaders");

/// The most bytes of an edited piece.
const MOST_BYTES: usize = 1 << 20;

/// An edited piece.
#[derive(Clone, PartialEq, Eq)]
struct Edit {
    file: PathBuf,
    text: String,
}

/// Edited pieces over the committed ones. By default there are none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<&'static str, Edit>);

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Tree {
    /// No edits.
    pub const fn committed() -> Tree {
        Tree(BTreeMap::new())
    }

    /// The tree in `folder`, which is laid out as `shaders/`: a full copy or only the edited files. Only `*.wgsl` files
    /// are read, except hidden ones. It is an error if the folder is missing or holds no such file, or if a file names
    /// no piece; the message then says which piece was probably meant.
    pub fn load(folder: &Path) -> Result<Tree> {
        let shown = folder.display();
        if !folder.is_dir() {
            return Err(Error::Usage(format!(
                "there is no folder {shown} of shaders; give one laid out as shaders/ is, with the edited files or all"
            )));
        }
        let (mut tree, mut found) = (Tree::default(), false);
        let hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
        let walk = walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|e| !hidden(e)) {
            let entry = entry.map_err(|e| Error::Data(format!("cannot read the shaders in {shown}: {e}")))?;
            let file = entry.path();
            if entry.file_type().is_file() && file.extension().is_some_and(|e| e == "wgsl") {
                let path = file.strip_prefix(folder).unwrap_or(file).to_string_lossy().replace('\\', "/");
                tree = tree.with(&path, file)?;
                found = true;
            }
        }
        if found {
            return Ok(tree);
        }
        Err(Error::Usage(format!("{shown} holds no .wgsl file; give a folder laid out as shaders/ is")))
    }

    /// This tree with the piece at `path` (below `shaders/`) replaced by the text of `file`.
    pub fn with(mut self, path: &str, file: &Path) -> Result<Tree> {
        let Some((path, committed)) = pieces().find(|p| p.0 == path) else {
            return Err(Error::Usage(format!("{} names no piece of shaders/{}", file.display(), guess(path))));
        };
        let Some(text) = files::read_text_up_to(file, MOST_BYTES)? else {
            let shown = file.display();
            return Err(Error::Usage(format!(
                "{shown} holds more than {} KiB; no piece of a kernel may",
                MOST_BYTES >> 10
            )));
        };
        if text == committed {
            self.0.remove(path);
        } else {
            self.0.insert(path, Edit { file: file.to_path_buf(), text });
        }
        Ok(self)
    }

    /// The text of a piece as it runs.
    pub fn text<'a>(&'a self, piece: &Piece) -> &'a str {
        self.0.get(piece.path).map_or(piece.text, |e| &e.text)
    }

    /// The file of a piece as a user knows it.
    pub fn place(&self, piece: &Piece) -> String {
        match self.0.get(piece.path) {
            Some(edit) => edit.file.display().to_string(),
            None if COMMITTED.get_file(piece.path).is_some() => format!("shaders/{}", piece.path),
            None => piece.path.to_string(), // text of another program
        }
    }

    /// The edited files of a kernel; none if it runs as committed.
    pub fn edited_of(&self, kernel: &Kernel) -> Vec<String> {
        kernel.pieces.iter().filter(|p| self.0.contains_key(p.path)).map(|p| self.place(p)).collect()
    }

    /// A kernel's name and variant, after its edited files if it has any: the beginning of an error.
    pub fn names(&self, kernel: &Kernel) -> String {
        let named = format!("{} [{}]", kernel.name, kernel.variant);
        match self.edited_of(kernel).as_slice() {
            [] => named,
            edited => format!("{}: {named}", edited.join(", ")),
        }
    }

    /// The hash of the text that runs for every piece in these folders of `shaders/`: 16 hex digits.
    pub fn hash_of(&self, folders: &BTreeSet<&str>) -> String {
        let inside = |path: &str| path.rsplit_once('/').is_some_and(|(folder, _)| folders.contains(folder));
        let all = pieces().filter(|(path, _)| inside(path));
        let text = |path: &str, committed| self.0.get(path).map_or(committed, |e: &Edit| e.text.as_str());
        all.fold(Hasher::new(), |h, (path, committed)| h.part(path).part(text(path, committed))).short()
    }

    /// The pieces that differ from the committed ones.
    pub fn edited(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    /// The hash of all edited text, 16 hex digits; `None` if nothing is edited.
    pub fn hash(&self) -> Option<String> {
        let all = self.0.iter().fold(Hasher::new(), |h, (path, edit)| h.part(path).part(&edit.text));
        (!self.0.is_empty()).then(|| all.short())
    }

    /// The folder of the edited files, as it was given.
    pub fn folder(&self) -> Option<&str> {
        let (path, edit) = self.0.first_key_value()?;
        edit.file.to_str()?.strip_suffix(path)?.strip_suffix(['/', '\\'])
    }
}

/// Path below `shaders/` and committed text of every piece.
pub fn pieces() -> impl Iterator<Item = (&'static str, &'static str)> {
    fn below(folder: &'static Dir<'static>) -> Vec<(&'static str, &'static str)> {
        let own = folder.files().filter_map(|f| Some((f.path().to_str()?, f.contents_utf8()?)));
        own.chain(folder.dirs().flat_map(below)).collect()
    }
    below(&COMMITTED).into_iter().filter(|p| p.0.ends_with(".wgsl"))
}

/// The piece that a path probably meant, as the end of a sentence.
pub fn guess(path: &str) -> String {
    let known: Vec<&str> = pieces().map(|p| p.0).collect();
    // The folder may be one level too high or too low (a tree from before ops had families), or the name may be
    // misspelt.
    let inside = known.iter().copied().find(|k| path.ends_with(&format!("/{k}")) || k.ends_with(&format!("/{path}")));
    inside.or_else(|| nearest(path, &known)).map_or(String::new(), |near| format!("; is it {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn what_is_equal_to_the_committed_text_is_no_edit() {
        let scale = piece!("elementwise/scale/forward.wgsl");
        let other = pieces().find(|p| p.0 != scale.path).unwrap();
        let edited = format!("{}// more\n", scale.text);
        let alone = folder(&[(scale.path, &edited)]);
        let all = folder(&[(scale.path, &edited), (other.0, other.1), ("notes.md", ""), (".scale.wgsl", "")]);
        let (alone, all) = (Tree::load(alone.path()).unwrap(), Tree::load(all.path()).unwrap());
        assert_eq!((all.edited(), all.hash()), (vec![scale.path], alone.hash()));
        assert_eq!(all.text(&scale), edited);
        let copy = folder(&[(scale.path, scale.text)]);
        let copy = Tree::load(copy.path()).unwrap();
        assert_eq!((copy.edited().len(), copy.hash()), (0, None));
        assert_eq!(copy.text(&scale), scale.text);
    }

    #[test]
    fn a_file_that_names_no_piece_is_an_error_with_a_guess() {
        for (path, guess) in [
            ("elementwise/scale/forwards.wgsl", "elementwise/scale/forward.wgsl"),
            ("shaders/core/gemm/columns.wgsl", "core/gemm/columns.wgsl"),
            ("gemm/columns.wgsl", "core/gemm/columns.wgsl"),
        ] {
            let dir = folder(&[(path, "")]);
            let e = Tree::load(dir.path()).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains(guess), "{e}");
        }
        let dir = folder(&[("scale/notes.txt", "")]);
        assert!(Tree::load(dir.path()).unwrap_err().to_string().contains("no .wgsl file"));
        assert_eq!(Tree::load(&dir.path().join("gone")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn mistakes_are_placed_in_the_edited_file() {
        const PIECES: &[Piece] = &[piece!("elementwise/scale/forward.wgsl")];
        let kernel = Kernel::new("scale.forward", "portable", PIECES);
        let wrong = |text: &str| {
            let dir = folder(&[(PIECES[0].path, text)]);
            let e = kernel.reflect(&Tree::load(dir.path()).unwrap()).unwrap_err().to_string();
            let file = dir.path().join(PIECES[0].path).display().to_string();
            e.strip_prefix(&file).unwrap_or_else(|| panic!("{e}")).to_string()
        };
        let e = wrong("// a\n// b\nfn f() { let x = y; }\n");
        assert!(e.starts_with(":3: scale.forward [portable]: ") && e.contains('y'), "{e}");
        let e = wrong("// a\nconst x = $NO;\n");
        assert!(e.starts_with(":2: $NO has no value"), "{e}");
        let e = wrong("fn f() -> u32 {\n  return 1.5;\n}\n");
        assert!(e.contains("forward.wgsl:2: "), "{e}");
        let e = wrong("fn f() {}\n");
        assert!(e.contains("one entry point"), "{e}");
    }
}
