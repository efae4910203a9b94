//! Weights that people bring: a backbone from this program, torchvision, timm or a self-supervised method, as
//! safetensors or as PyTorch saves it. Some files differ from the model only in form: halves or doubles, a prefix
//! before every name, another number of patches. Such a file is converted, and a note says so. A file of another format
//! is recognized by its first bytes.

use super::checkpoint;
use super::foreign::foreign;
use super::positions::resized;
use super::prefix::{Own, called, own_prefix};
use super::tensors::{View, tensors, wrong_value};
use crate::base::{Error, Result, files};
use crate::device::Gpu;
use crate::tape::{State, Type};
use safetensors::Dtype;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// A tensor ready for the store: its name, type and bytes.
type Converted = (String, Type, Vec<u8>);

/// Asks for the classifier of a file.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'a> {
    /// The classes that it must know, in the order that its rows get.
    pub classes: &'a [String],
    /// Length of the features it reads.
    pub features: usize,
}

fn unfit(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} does not fit the model: {why}", path.display()))
}

/// Reads a file of weights. A file of another format is an error that names the format and says how to convert it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    file.take(1024).read_to_end(&mut head).map_err(|e| Error::io(path, "read", e))?;
    match foreign(path, &head) {
        Some(what) => Err(Error::Data(format!("{} is {what}", path.display()))),
        None => files::read(path),
    }
}

/// Loads the backbone in a file (its path and bytes) into `state` under `prefix`, and its classifier if one is asked
/// for. `wanted` lists the model's tensors: names without prefix, and types.
///
/// Returns notes, a line each, on what was done to make the file fit. A note that begins with "warning" tells of
/// something that may give other results than people meant, and is shown even when quiet: another model of the file is
/// left out, rows of a classifier are taken in their order, position embeddings are resized. A prefix that is taken off
/// and numbers that are converted give the same network, so these notes are no warnings.
///
/// It is an error if a tensor is missing, if a value is not finite, or if the file's model has a tensor that the wanted
/// model does not name. `num_batches_tracked`, tensors outside the prefix and further models with the same names are
/// left out without an error.
pub fn load(
    (path, bytes): (&Path, &[u8]),
    gpu: &Gpu,
    state: &mut State,
    prefix: &str,
    wanted: &[(String, Type)],
    classifier: Option<Classifier<'_>>,
) -> Result<Vec<String>> {
    let file = tensors(path, bytes)?;
    let about = checkpoint::read_metadata(path, bytes)?; // compares the checksum of a file of this program
    let names: Vec<&String> = file.keys().collect();
    let own = own_prefix(&names, wanted).map_err(|why| unfit(path, why))?;
    let mut loading = Loading { path, file: &file, own: &own, converted: Vec::new(), resized: None };
    let line = |note: String| format!("{}: {note}", path.display());
    let others = own.told().map(|note| format!("warning: {}", line(note)));
    let mut notes: Vec<String> = loading.strangers(&names, wanted)?.into_iter().map(line).collect();
    notes.extend(others);
    for (name, ty) in wanted {
        let values = loading.values(name, *ty)?;
        state.insert(gpu, &format!("{prefix}{name}"), *ty, Some(&values))?;
    }
    if let Some(wish) = classifier {
        let kept = loading.classifier(wish, &classes_of(&about))?;
        for (name, ty, values) in kept.tensors {
            state.insert(gpu, &format!("{prefix}{name}"), ty, Some(&values))?;
        }
        let note = line(kept.note);
        notes.push(if kept.named { note } else { format!("warning: {note}") });
    } else if let Some((name, view)) = loading.head() {
        let classes = view.shape.first().copied().unwrap_or(0);
        notes.push(line(format!(
            "its classifier {name} ({classes} classes) is left out; --keep-classifier asks for it"
        )));
    }
    notes.extend(loading.resized.take().map(|note| format!("warning: {}", line(note))));
    notes.extend(loading.conversions().map(line));
    Ok(notes)
}

/// The names of a classifier in torchvision and in timm.
const HEADS: [&str; 2] = ["fc", "head"];

/// A tensor of pretraining that no classifier reads: the token that stands for a hidden patch.
const UNREAD: &str = "mask_token";

/// The position embeddings of a transformer.
const POSITIONS: &str = "pos_embed";

/// Whether the file at `path`, which holds `bytes`, has a classifier, whatever the prefix of its name.
pub fn has_classifier((path, bytes): (&Path, &[u8])) -> Result<bool> {
    let ends = HEADS.map(|head| format!("{head}.weight"));
    let last =
        |name: &str, end: &String| name.strip_suffix(end.as_str()).is_some_and(|b| b.is_empty() || b.ends_with('.'));
    Ok(tensors(path, bytes)?.keys().any(|name| ends.iter().any(|end| last(name, end))))
}

/// The class names of the classifier in a file of this program, from its metadata. Empty if the file does not say.
pub fn classes_of(about: &Map<String, Value>) -> Vec<String> {
    let names = about.get("classes").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|n| n.as_str().map(str::to_string)).collect()
}

/// The classifier that is kept, and a note on it.
struct Kept {
    note: String,
    /// Whether the file names its classes. If not, rows may be in another order than the data's classes and give wrong
    /// answers without an error.
    named: bool,
    tensors: Vec<Converted>,
}

/// A file that is being loaded. The model's names have the prefix of `own`.
struct Loading<'a> {
    path: &'a Path,
    file: &'a BTreeMap<String, View<'a>>,
    own: &'a Own,
    /// How many tensors were converted to f32, by their type.
    converted: Vec<(Dtype, usize)>,
    /// A note if the position embeddings were resized.
    resized: Option<String>,
}

impl<'a> Loading<'a> {
    fn view(&self, name: &str) -> Option<&'a View<'a>> {
        self.file.get(&format!("{}{name}", self.own.prefix))
    }

    /// The name and the weight of the classifier, if there is one.
    fn head(&self) -> Option<(&'static str, &'a View<'a>)> {
        HEADS.iter().find_map(|head| Some((*head, self.view(&format!("{head}.weight"))?)))
    }

    /// Refuses tensors of the file's model that the wanted model does not have. Returns notes on what is left out.
    fn strangers(&self, names: &[impl AsRef<str>], wanted: &[(String, Type)]) -> Result<Vec<String>> {
        let (mut notes, prefix) = (Vec::new(), self.own.prefix.as_str());
        if !prefix.is_empty() {
            notes.push(format!("the prefix {prefix} is taken off its names"));
        }
        let wants = |n: &str| wanted.iter().any(|w| called(&w.0).any(|name| name == n));
        let of_head =
            |n: &str| HEADS.iter().any(|h| n.strip_prefix(h).is_some_and(|end| [".weight", ".bias"].contains(&end)));
        let known = |n: &str| of_head(n) || n == UNREAD || n.ends_with("num_batches_tracked") || wants(n);
        let (inside, outside): (Vec<_>, Vec<_>) =
            names.iter().map(AsRef::as_ref).partition(|n: &&str| self.own.holds(n));
        if inside.iter().any(|n| n.strip_prefix(prefix) == Some(UNREAD)) {
            notes.push(format!("its {UNREAD} is left out"));
        }
        if let Some(n) = inside.iter().filter_map(|n| n.strip_prefix(prefix)).find(|n| !known(n)) {
            let what = format!("it holds {n}, which the model does not have; it is another architecture");
            return Err(unfit(self.path, what));
        }
        if let Some(n) = outside.first().filter(|_| self.own.others.is_empty()) {
            let count = outside.len();
            notes.push(format!("{count} of its tensors stand outside {prefix} and are left out, such as {n}"));
        }
        Ok(notes)
    }

    /// The values of a tensor as f32 bytes, converted or resized if need be.
    fn values(&mut self, name: &str, ty: Type) -> Result<Vec<u8>> {
        let full = format!("{}{name}", self.own.prefix);
        let Some(view) = called(name).find_map(|name| self.view(name)) else {
            return Err(unfit(self.path, format!("it has no tensor {name} ({ty})")));
        };
        let other = |what: &str| {
            let View { dtype, shape, .. } = view;
            unfit(self.path, format!("{name} is {dtype:?} {shape:?} and the model needs {ty}; {what}"))
        };
        let dims: Vec<usize> = ty.shape.dims().iter().map(|&d| d as usize).collect();
        let positions = || match (view.shape.as_slice(), dims.as_slice()) {
            (&[1, from, width], &[1, to, w]) if name == POSITIONS && w == width => Some((width, from, to)),
            _ => None,
        };
        let resize = if view.shape == dims { None } else { positions() };
        if view.shape != dims && resize.is_none() {
            return Err(other("check width, stem, channels, image size and patch size"));
        }
        let bytes = view.f32_bytes().ok_or_else(|| other("F32 is read, and F64, F16 and BF16 are converted"))?;
        if view.dtype != Dtype::F32 {
            match self.converted.iter_mut().find(|c| c.0 == view.dtype) {
                Some(c) => c.1 += 1,
                None => self.converted.push((view.dtype, 1)),
            }
        }
        if let Some(what) = wrong_value(&full, &bytes) {
            let (path, out) = (self.path.display(), "the weights are damaged or training diverged: take others");
            return Err(Error::Data(format!("{path}: {what}; {out}")));
        }
        let Some((width, from, to)) = resize else { return Ok(bytes.into_owned()) };
        let all: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let Some(new) = resized(&all, width, from, to) else {
            return Err(other("position embeddings are resized only between squares of patches"));
        };
        self.resized =
            Some(format!("its position embeddings are resized from {from} tokens to {to}, bicubic as timm does"));
        Ok(bytemuck::pod_collect_to_vec(&new))
    }

    /// The classifier's tensors, with rows in the order that `wish` asks for, and a note.
    fn classifier(&mut self, wish: Classifier<'_>, known: &[String]) -> Result<Kept> {
        let Classifier { classes, features } = wish;
        let Some((head, view)) = self.head() else {
            let heads = HEADS.join(" or ");
            return Err(unfit(
                self.path,
                format!("it holds no classifier {heads} to keep; leave --keep-classifier out"),
            ));
        };
        let count = view.shape.first().copied().unwrap_or(0);
        if count != classes.len() {
            let (wanted, out) = (classes.len(), "leave --keep-classifier out to begin with a new one");
            let what = format!("its classifier knows {count} classes and the data has {wanted}; {out}");
            return Err(unfit(self.path, what));
        }
        let named = known.len() == count;
        let row = |c: &String| known.iter().position(|k| k == c);
        let rows: Option<Vec<usize>> =
            if named { classes.iter().map(row).collect() } else { Some((0..count).collect()) };
        let Some(rows) = rows else {
            let (has, want) = (known.join(", "), classes.join(", "));
            return Err(unfit(self.path, format!("its classifier knows the classes {has}, and the data has {want}")));
        };
        let note = match named {
            true => format!("its classifier {head} is kept, for the classes {}", classes.join(", ")),
            false => format!(
                "its classifier {head} is kept; it does not name its {count} classes, so its rows are taken for {} in this order",
                classes.join(", ")
            ),
        };
        let mut tensors = Vec::new();
        for (part, ty) in [("weight", Type::f32([count, features])), ("bias", Type::f32([count]))] {
            let name = format!("{head}.{part}");
            let values = self.values(&name, ty)?;
            let stride = values.len() / count.max(1);
            let ordered = rows.iter().flat_map(|&r| values[r * stride..][..stride].iter().copied()).collect();
            tensors.push((name, ty, ordered));
        }
        Ok(Kept { note, named, tensors })
    }

    fn conversions(&self) -> impl Iterator<Item = String> {
        self.converted.iter().map(|(dtype, n)| format!("{n} tensors of {dtype:?} are converted to f32"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (&'static str, Dtype, Vec<usize>, Vec<u8>);

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Reads `entries` as a file whose names have the prefix.
    fn loading<T>(entries: &[Entry], prefix: &str, f: impl FnOnce(Loading<'_>) -> T) -> T {
        let file = entries.iter().map(|(n, d, s, b)| (n.to_string(), View::new(*d, s.clone(), b))).collect();
        let own = Own { prefix: prefix.to_string(), ..Own::default() };
        f(Loading { path: Path::new("w.st"), file: &file, own: &own, converted: Vec::new(), resized: None })
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn what_stands_beside_the_model_is_said_and_what_stands_in_it_is_refused() {
        let wanted = [("conv1.weight".to_string(), Type::f32([1]))];
        let strangers = |list: &[&str]| loading(&[], "b.", |l| l.strangers(&names(list), &wanted));
        let notes =
            strangers(&["b.conv1.weight", "b.fc.weight", "b.bn1.num_batches_tracked", "c.head.weight"]).unwrap();
        assert!(notes[0].contains("b. is taken off") && notes[1].contains("c.head.weight"), "{notes:?}");
        assert_eq!(strangers(&["b.conv1.weight", "b.head.weight", "b.head.bias"]).unwrap().len(), 1, "a classifier");
        let e = strangers(&["b.conv1.weight", "b.layer9.weight"]).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("layer9.weight"), "{e}");
    }

    #[test]
    fn other_models_with_the_same_names_are_left_out_and_said() {
        let wanted = [("conv1.weight".to_string(), Type::f32([1]))];
        let file = BTreeMap::new();
        let said = |list: &[&str]| {
            let own = own_prefix(&names(list), &wanted).unwrap();
            let l = Loading { path: Path::new("w.st"), file: &file, own: &own, converted: Vec::new(), resized: None };
            l.strangers(&names(list), &wanted).map(|notes| (notes, own.told()))
        };
        let (notes, others) = said(&["conv1.weight", "ema.conv1.weight", "ema.step", "swa.conv1.weight"]).unwrap();
        let due = "the model whose names have no prefix is taken; further models left out: 2, such as under ema.";
        assert_eq!((notes, others.as_deref()), (Vec::new(), Some(due)));
        assert_eq!(said(&["conv1.weight"]).unwrap(), (Vec::new(), None));
        let e = said(&["conv1.weight", "ema.conv1.weight", "layer9.weight"]).unwrap_err();
        assert!(e.to_string().contains("it holds layer9.weight"), "{e}");
    }

    #[test]
    fn values_are_converted_and_must_be_finite() {
        let one = Type::f32([2]);
        let values = |dtype, bytes: Vec<u8>, name: &'static str| {
            loading(&[(name, dtype, vec![2], bytes)], "", |mut l| {
                let found = l.values(name, one);
                (found.map(|b| bytemuck::pod_collect_to_vec::<u8, f32>(&b)), l.conversions().collect::<Vec<_>>())
            })
        };
        let halves = [1.5f32, -2.0].map(half::f16::from_f32).iter().flat_map(|v| v.to_le_bytes()).collect();
        let brains = [1.5f32, -2.0].map(half::bf16::from_f32).iter().flat_map(|v| v.to_le_bytes()).collect();
        let doubles = [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        for (dtype, bytes) in [(Dtype::F16, halves), (Dtype::BF16, brains), (Dtype::F64, doubles)] {
            let (found, said) = values(dtype, bytes, "w");
            assert_eq!(found.unwrap(), [1.5, -2.0]);
            assert_eq!(said, [format!("1 tensors of {dtype:?} are converted to f32")]);
        }
        let (found, said) = values(Dtype::F32, floats(&[1.5, -2.0]), "w");
        assert!(found.is_ok() && said.is_empty());
        let past: Vec<u8> = [1.0f64, 1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
        for (dtype, bytes, name, says) in [
            (Dtype::F32, floats(&[0.0, f32::NAN]), "w", "w.st: w holds NaN as its value 1"),
            (Dtype::F32, floats(&[f32::NEG_INFINITY, 0.0]), "w", "w holds -inf as its value 0"),
            (Dtype::F64, past, "w", "w holds inf as its value 1"),
            (Dtype::F32, floats(&[1.0, -1.0]), "bn1.running_var", "bn1.running_var holds -1"),
            (Dtype::I32, vec![0; 8], "w", "w is I32 [2] and the model needs"),
        ] {
            let e = values(dtype, bytes, name).0.unwrap_err();
            assert!(e.exit_code() == 4 && e.to_string().contains(says), "{e}");
        }
    }

    #[test]
    fn what_is_not_finite_in_a_file_of_pytorch_is_named() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/nan.pth");
        let bytes = std::fs::read(&path).unwrap();
        let file = tensors(&path, &bytes).unwrap();
        let own = Own::default();
        let mut loading = Loading { path: &path, file: &file, own: &own, converted: Vec::new(), resized: None };
        let e = loading.values("conv1.weight", Type::f32([2])).unwrap_err().to_string();
        assert!(e.contains("nan.pth: conv1.weight holds NaN as its value 1"), "{e}");
    }

    #[test]
    fn position_embeddings_fit_another_number_of_patches() {
        let values = |from: usize, to: usize| {
            let entry = [("pos_embed", Dtype::F32, vec![1, from, 2], floats(&vec![0.5; 2 * from]))];
            loading(&entry, "", |mut l| (l.values("pos_embed", Type::f32([1, to, 2])), l.resized.take()))
        };
        let (found, said) = values(17, 5);
        let found = bytemuck::pod_collect_to_vec::<u8, f32>(&found.unwrap());
        assert!(found.len() == 10 && found.iter().all(|v| (v - 0.5).abs() < 1e-6), "{found:?}");
        assert!(said.unwrap().contains("resized from 17 tokens to 5, bicubic as timm does"));
        assert!(values(5, 5).1.is_none(), "nothing was done");
        let e = values(17, 7).0.unwrap_err().to_string();
        assert!(e.contains("only between squares of patches"), "{e}");
    }

    #[test]
    fn a_classifier_is_kept_by_its_class_names_or_their_number() {
        let file = [
            ("fc.weight", Dtype::F32, vec![3, 2], floats(&[0.0, 0.1, 1.0, 1.1, 2.0, 2.1])),
            ("fc.bias", Dtype::F32, vec![3], floats(&[0.0, 1.0, 2.0])),
        ];
        let keep = |classes: &[&str], known: &[&str]| {
            let (classes, known) = (names(classes), names(known));
            loading(&file, "", |mut l| l.classifier(Classifier { classes: &classes, features: 2 }, &known))
        };
        let bias = |tensors: &[(String, Type, Vec<u8>)]| bytemuck::pod_collect_to_vec::<u8, f32>(&tensors[1].2);
        let Kept { note, named, tensors } = keep(&["a", "b", "c"], &["b", "c", "a"]).unwrap();
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&tensors[0].2), [2.0, 2.1, 0.0, 0.1, 1.0, 1.1]);
        assert_eq!(bias(&tensors), [2.0, 0.0, 1.0], "rows follow the names");
        assert!(named && note.contains("kept, for the classes a, b, c"), "{note}");
        let Kept { note, named, tensors } = keep(&["a", "b", "c"], &[]).unwrap();
        assert_eq!(bias(&tensors), [0.0, 1.0, 2.0]);
        assert!(!named && note.contains("does not name its 3 classes"), "{note}");
        let said = |classes: &[&str], known: &[&str]| {
            let e = keep(classes, known).err().unwrap();
            assert_eq!(e.exit_code(), 4);
            e.to_string()
        };
        assert!(said(&["a", "b"], &["a", "b", "c"]).contains("knows 3 classes and the data has 2"));
        assert!(said(&["a", "b", "d"], &["a", "b", "c"]).contains("classes a, b, c, and the data has a, b, d"));
        let e = loading(&[], "", |mut l| l.classifier(Classifier { classes: &names(&["a"]), features: 2 }, &[]));
        assert!(e.err().unwrap().to_string().contains("no classifier fc or head"));
    }
}
