//! Weights that people bring: a backbone from this program, torchvision or a self-supervised method, as safetensors.
//! What keeps it from fitting in form alone (halves or doubles, a prefix of every name) is taken off, and said; a file of
//! another format is told by its first bytes.

use super::checkpoint;
use super::foreign::foreign;
use crate::base::{Error, Result, files};
use crate::device::Gpu;
use crate::tape::{State, Type};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

/// A tensor ready for the store: its name, type and bytes.
type Converted = (String, Type, Vec<u8>);

/// The classifier of a file, where it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'a> {
    /// The classes it must know, in the order that its rows shall have.
    pub classes: &'a [String],
    /// Length of the features it reads.
    pub features: usize,
}

fn unfit(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} does not fit the model: {why}", path.display()))
}

/// Reads a file of weights; one of another format is named, with the way to convert it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    file.take(1024).read_to_end(&mut head).map_err(|e| Error::io(path, "read", e))?;
    match foreign(path, &head) {
        Some(what) => Err(Error::Data(format!("{} is {what}", path.display()))),
        None => files::read(path),
    }
}

/// Loads the backbone in a file (its path and bytes) under `prefix`, and its classifier where one is asked for. `wanted` lists (name without
/// prefix, type). Returns what was done to make it fit, a line each; one that begins with "warning" may make other results
/// than were meant, and is told even when quiet. Tensors the model does not name are refused, except
/// `num_batches_tracked` and what stands outside the prefix of the model's own; so are missing ones, and values that are
/// not finite.
pub fn load(
    (path, bytes): (&Path, &[u8]),
    gpu: &Gpu,
    state: &mut State,
    prefix: &str,
    wanted: &[(String, Type)],
    classifier: Option<Classifier<'_>>,
) -> Result<Vec<String>> {
    let file = parse(path, bytes)?;
    let about = checkpoint::read_metadata(path, bytes)?; // compares a checksum of ours
    let names: Vec<String> = file.names().into_iter().map(str::to_string).collect();
    let own = own_prefix(&names, wanted).map_err(|why| unfit(path, why))?;
    let mut loading = Loading { path, file: &file, own: &own, converted: Vec::new() };
    let line = |note: String| format!("{}: {note}", path.display());
    let mut notes: Vec<String> = loading.strangers(&names, wanted)?.into_iter().map(line).collect();
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
    } else if let Ok(view) = file.tensor(&format!("{own}{FC_WEIGHT}")) {
        let classes = view.shape().first().copied().unwrap_or(0);
        notes.push(line(format!("its classifier fc ({classes} classes) is left out; --keep-classifier asks for it")));
    }
    notes.extend(loading.conversions().map(line));
    Ok(notes)
}

const FC_WEIGHT: &str = "fc.weight";
const FC_BIAS: &str = "fc.bias";

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::Data(format!("{} is not a usable safetensors file: {e}; make it again", path.display())))
}

/// Class names of the classifier in a file of ours; none where it does not say.
fn classes_of(about: &Map<String, Value>) -> Vec<String> {
    let names = about.get("classes").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|n| n.as_str().map(str::to_string)).collect()
}

/// What stands before the model's names in the file: under it every wanted tensor is there. Where none is so, the longest
/// that all names share, so that a complaint speaks of the rest.
fn own_prefix(names: &[String], wanted: &[(String, Type)]) -> Result<String, String> {
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let Some((first, _)) = wanted.first() else { return Ok(String::new()) };
    let fits = |own: &&str| wanted.iter().all(|(name, _)| known.contains(format!("{own}{name}").as_str()));
    let before = |n: &'_ String| n.strip_suffix(first.as_str()).map(|p| p.len());
    let mut found: Vec<&str> = names
        .iter()
        .filter_map(|n| before(n).map(|len| &n[..len]))
        .filter(|p| p.is_empty() || p.ends_with('.'))
        .filter(fits)
        .collect();
    found.sort_unstable();
    match found[..] {
        [one] => Ok(one.to_string()),
        ["", ..] => Ok(String::new()),
        [] => Ok(shared(names)),
        [..] => {
            let some = found[..found.len().min(4)].join(" and ");
            Err(format!("it holds the model {} times, under {some}; make a file of one", found.len()))
        }
    }
}

/// The longest prefix of whole parts that all names share.
fn shared(names: &[String]) -> String {
    let Some(first) = names.first() else { return String::new() };
    let common = |a: usize, n: &String| first.bytes().zip(n.bytes()).take(a).take_while(|(a, b)| a == b).count();
    let length = names.iter().fold(first.len(), common);
    let end = first.as_bytes()[..length].iter().rposition(|&b| b == b'.').map_or(0, |i| i + 1);
    first[..end].to_string()
}

/// The classifier that is kept.
struct Kept {
    note: String,
    /// Whether the file names its classes. Rows in another order than the data's classes give wrong answers, not an error.
    named: bool,
    tensors: Vec<Converted>,
}

/// A file whose names stand behind `own`.
struct Loading<'a> {
    path: &'a Path,
    file: &'a SafeTensors<'a>,
    own: &'a str,
    /// (dtype, how many tensors of it) that became f32.
    converted: Vec<(Dtype, usize)>,
}

impl Loading<'_> {
    /// Refuses tensors among the model's that it does not have; says what stands outside.
    fn strangers(&self, names: &[String], wanted: &[(String, Type)]) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if !self.own.is_empty() {
            notes.push(format!("the prefix {} is taken off its names", self.own));
        }
        let known = |n: &str| {
            n == FC_WEIGHT || n == FC_BIAS || n.ends_with("num_batches_tracked") || wanted.iter().any(|w| w.0 == n)
        };
        let (inside, outside): (Vec<_>, Vec<_>) = names.iter().partition(|n| n.starts_with(self.own));
        if let Some(n) = inside.iter().filter_map(|n| n.strip_prefix(self.own)).find(|n| !known(n)) {
            let what = format!("it holds {n}, which the model does not have; it is another architecture");
            return Err(unfit(self.path, what));
        }
        if let Some(n) = outside.first() {
            let (count, own) = (outside.len(), self.own);
            notes.push(format!("{count} of its tensors stand outside {own} and are left out, such as {n}"));
        }
        Ok(notes)
    }

    /// The values of a tensor as f32 bytes.
    fn values(&mut self, name: &str, ty: Type) -> Result<Vec<u8>> {
        let full = format!("{}{name}", self.own);
        let Ok(view) = self.file.tensor(&full) else {
            return Err(unfit(self.path, format!("it has no tensor {name} ({ty})")));
        };
        let other = |what: &str| {
            let (dtype, shape) = (view.dtype(), view.shape());
            unfit(self.path, format!("{name} is {dtype:?} {shape:?} and the model needs {ty}; {what}"))
        };
        if !view.shape().iter().map(|&d| d as u64).eq(ty.shape.dims().iter().map(|&d| u64::from(d))) {
            return Err(other("check width, stem and channels"));
        }
        let bytes = as_f32(&view).ok_or_else(|| other("F32 is read, and F64, F16 and BF16 are converted"))?;
        if view.dtype() != Dtype::F32 {
            match self.converted.iter_mut().find(|c| c.0 == view.dtype()) {
                Some(c) => c.1 += 1,
                None => self.converted.push((view.dtype(), 1)),
            }
        }
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let variance = name.ends_with("running_var");
        match bytes.chunks_exact(4).map(value).position(|v| !v.is_finite() || (variance && v < 0.0)) {
            None => Ok(bytes.into_owned()),
            Some(i) => Err(Error::Data(format!(
                "{}: {full} holds {} as its value {i}; the weights are damaged or training diverged: take others",
                self.path.display(),
                value(&bytes[4 * i..])
            ))),
        }
    }

    /// The classifier's tensors, its rows in the wished order, and what to say of them.
    fn classifier(&mut self, wish: Classifier<'_>, known: &[String]) -> Result<Kept> {
        let Classifier { classes, features } = wish;
        let Ok(view) = self.file.tensor(&format!("{}{FC_WEIGHT}", self.own)) else {
            return Err(unfit(self.path, "it holds no classifier fc to keep; leave --keep-classifier out"));
        };
        let count = view.shape().first().copied().unwrap_or(0);
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
            true => format!("its classifier fc is kept, for the classes {}", classes.join(", ")),
            false => format!(
                "its classifier fc is kept; it does not name its {count} classes, so its rows are taken for {} in this order",
                classes.join(", ")
            ),
        };
        let mut tensors = Vec::new();
        for (name, ty) in [(FC_WEIGHT, Type::f32([count, features])), (FC_BIAS, Type::f32([count]))] {
            let values = self.values(name, ty)?;
            let stride = values.len() / count.max(1);
            let ordered = rows.iter().flat_map(|&r| values[r * stride..][..stride].iter().copied()).collect();
            tensors.push((name.to_string(), ty, ordered));
        }
        Ok(Kept { note, named, tensors })
    }

    fn conversions(&self) -> impl Iterator<Item = String> {
        self.converted.iter().map(|(dtype, n)| format!("{n} tensors of {dtype:?} are converted to f32"))
    }
}

/// A tensor's elements as f32 bytes; none of whole numbers.
pub(crate) fn as_f32<'a>(view: &TensorView<'a>) -> Option<Cow<'a, [u8]>> {
    let bytes = view.data();
    let pairs = |of: fn([u8; 2]) -> f32| bytes.chunks_exact(2).flat_map(|b| of([b[0], b[1]]).to_le_bytes()).collect();
    let narrow = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
    match view.dtype() {
        Dtype::F32 => Some(Cow::Borrowed(bytes)),
        Dtype::F16 => Some(Cow::Owned(pairs(|b| half::f16::from_le_bytes(b).to_f32()))),
        Dtype::BF16 => Some(Cow::Owned(pairs(|b| half::bf16::from_le_bytes(b).to_f32()))),
        Dtype::F64 => Some(Cow::Owned(bytes.chunks_exact(8).flat_map(|b| narrow(b).to_le_bytes()).collect())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (&'static str, Dtype, Vec<usize>, Vec<u8>);

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// Reads `entries` as a file whose names stand behind `own`.
    fn loading<T>(entries: &[Entry], own: &str, f: impl FnOnce(Loading<'_>) -> T) -> T {
        let view = |(n, d, s, b): &'_ Entry| (*n, *d, s.clone(), b.clone());
        let list: Vec<Entry> = entries.iter().map(view).collect();
        let views = list.iter().map(|(n, d, s, b)| (n.to_string(), TensorView::new(*d, s.clone(), b).unwrap()));
        let bytes = safetensors::serialize(views, None).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        f(Loading { path: Path::new("w.st"), file: &file, own, converted: Vec::new() })
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_prefix_is_found_where_the_model_stands_behind_it() {
        let wanted = ["conv1.weight", "layer1.0.conv1.weight"].map(|n| (n.to_string(), Type::f32([1])));
        let own = |list: &[&str]| own_prefix(&names(list), &wanted);
        assert_eq!(own(&["conv1.weight", "layer1.0.conv1.weight", "ema.conv1.weight"]).unwrap(), "");
        let nested = ["module.encoder_q.conv1.weight", "module.encoder_q.layer1.0.conv1.weight"];
        assert_eq!(own(&nested).unwrap(), "module.encoder_q.");
        let beside = [&nested[..], &["module.queue"]].concat();
        assert_eq!(own(&beside).unwrap(), "module.encoder_q.");
        let twice =
            [&nested[..], &["module.encoder_k.conv1.weight", "module.encoder_k.layer1.0.conv1.weight"]].concat();
        let why = own(&twice).unwrap_err();
        assert!(why.contains("module.encoder_k. and module.encoder_q."), "{why}");
        // Of another model, what all names share is taken off, so that the complaint speaks of the rest.
        assert_eq!(own(&["module.a.x", "module.a.y", "module.b"]).unwrap(), "module.");
        assert_eq!(own(&["a", "module.b"]).unwrap(), "");
    }

    #[test]
    fn the_time_to_find_a_prefix_grows_with_the_names() {
        let wanted = ["conv1.weight", "layer1.0.conv1.weight"].map(|n| (n.to_string(), Type::f32([1])));
        let since = std::time::Instant::now();
        let many: Vec<String> = (0..150_000).map(|i| format!("{i}.conv1.weight")).collect();
        assert_eq!(own_prefix(&many, &wanted).unwrap(), "");
        let deep: Vec<String> = (0..100).map(|i| format!("{}{i}", "a.".repeat(50_000))).collect();
        assert_eq!(own_prefix(&deep, &wanted).unwrap().len(), 100_000);
        let model = |i| ["conv1.weight", "layer1.0.conv1.weight"].map(|n| format!("{i}.{n}"));
        let models: Vec<String> = (0..50_000).flat_map(model).collect();
        let why = own_prefix(&models, &wanted).unwrap_err();
        assert!(why.contains("50000 times, under 0. and ") && why.len() < 200, "{why}");
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
    }

    #[test]
    fn what_stands_beside_the_model_is_said_and_what_stands_in_it_is_refused() {
        let wanted = [("conv1.weight".to_string(), Type::f32([1]))];
        let strangers = |list: &[&str]| loading(&[], "b.", |l| l.strangers(&names(list), &wanted));
        let notes = strangers(&["b.conv1.weight", "b.fc.weight", "b.bn1.num_batches_tracked", "head.weight"]).unwrap();
        assert!(notes[0].contains("b. is taken off") && notes[1].contains("head.weight"), "{notes:?}");
        let e = strangers(&["b.conv1.weight", "b.layer9.weight"]).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("layer9.weight"), "{e}");
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
        assert!(e.err().unwrap().to_string().contains("no classifier fc"));
    }
}
