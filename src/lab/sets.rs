//! Case sets: which ops are measured at which shapes. A set is a TOML file, the same for this program and its peers:
//!
//! ```toml
//! about = "what it is for"
//! variants = ["first", "naive"]   # of each op; without it the one that the adapter would run first
//!
//! [[conv2d]]
//! name = "3x3 64@56 N16"          # unique among the cases of its op
//! x = [16, 64, 56, 56]
//! weight = [64, 64, 3, 3]
//! padding = 1                     # what is left out has PyTorch's default
//! ```
//!
//! `case_builders.rs` lists the fields of each op. An op that is not there is described by one of its cases. The set
//! `cases` is not a file: it holds every op at the shapes of its tests.

use super::Row;
use super::case_builders::{Build, BuiltCase, builder};
use super::case_fields::{CaseFields, SetText, number};
use crate::base::{Error, Result, files, nearest};
use crate::kernels::listing::entry_name;
use crate::kernels::{Case, ops};
use crate::tape::Type;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

/// The most bytes of a set. Even a million short cases would take years to measure.
const MOST_BYTES: usize = 1 << 20;

/// The built-in files.
const FILES: &[(&str, &str)] = &[
    ("quick", include_str!("../../benches/sets/quick.toml")),
    ("resnet18", include_str!("../../benches/sets/resnet18.toml")),
    ("resnet50", include_str!("../../benches/sets/resnet50.toml")),
    ("vit", include_str!("../../benches/sets/vit.toml")),
    ("simclr", include_str!("../../benches/sets/simclr.toml")),
    ("deepbench", include_str!("../../benches/sets/deepbench.toml")),
    ("peers", include_str!("../../benches/sets/peers.toml")),
    ("smoke", include_str!("../../benches/sets/smoke.toml")),
];

/// The set of every op's tests.
pub const CASES: &str = "cases";

/// Stands for the variant that the adapter would run.
pub const FIRST: &str = "first";

/// An op at a shape.
#[derive(Clone, Debug)]
pub struct BenchCase {
    /// The op as people call it: relu.
    pub op: String,
    /// The name of the case.
    pub name: String,
    /// Its inputs with their names, for people.
    pub shape: String,
    /// The op and its inputs.
    pub case: Case,
}

impl BenchCase {
    /// Whether a row of a report is of this case.
    pub fn is_of(&self, row: &Row) -> bool {
        row.op == self.op && row.case == self.name && row.shape == self.shape
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its name, or its file.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Which variants of each op.
    pub variants: Vec<String>,
    /// The most seconds of a row, if the set asks for less than [`super::SamplingRule`] does.
    pub time_limit_s: Option<f64>,
    /// The cases, in the order of the file.
    pub cases: Vec<BenchCase>,
}

/// Names of the built-in sets.
pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|f| f.0).chain([CASES]).collect()
}

impl Set {
    /// These cases, of wgslab's ops or of your own, each in the variant that the adapter would run first.
    pub fn of(cases: Vec<Case>) -> Set {
        let cases = cases.into_iter().map(|case| numbered(case.op.name(), case)).collect();
        let (name, about) = ("your own cases".into(), String::new());
        Set { name, about, variants: vec![FIRST.into()], time_limit_s: None, cases }
    }

    /// The built-in set of that name.
    pub fn built_in(name: &str) -> Option<Result<Set>> {
        if name == CASES {
            return Some(Ok(cases()));
        }
        let (_, text) = FILES.iter().find(|f| f.0 == name)?;
        Some(Set::parse(&SetText::new(Path::new(&format!("benches/sets/{name}.toml (built in)")), text), name))
    }

    /// The set in a file.
    pub fn load(path: &Path) -> Result<Set> {
        if !path.is_file() {
            let (path, sets) = (path.display(), names().join(", "));
            return Err(Error::Usage(format!("there is no file {path} with a set of cases; built-in sets are {sets}")));
        }
        let text = files::read_text_up_to(path, MOST_BYTES).map_err(|e| Error::Usage(e.to_string()))?;
        let text = text.ok_or_else(|| {
            Error::Usage(format!("{} holds more than {} MiB; a set names cases", path.display(), MOST_BYTES >> 20))
        })?;
        Set::parse(&SetText::new(path, &text), &path.display().to_string())
    }

    /// One case, from fields given as words: `x=16,64,56,56` or `causal=true`.
    pub fn one(op: &str, fields: &[String]) -> Result<Set> {
        let mut text = format!("[[{}]]\n", toml::Value::String(op.to_string()));
        for field in fields {
            let Some((name, value)) = field.split_once('=') else {
                return Err(Error::Usage(format!("--shape {field}: write FIELD=VALUE, such as x=16,64,56,56")));
            };
            let name = toml::Value::String(name.trim().to_string());
            text += &format!("{name} = {}\n", word(value.trim()));
        }
        let name = if fields.is_empty() { "as it is listed".into() } else { fields.join(" ") };
        let named = format!("name = {}\n", toml::Value::String(name));
        Set::parse(&SetText { path: PathBuf::from("--shape"), text: text + &named }, op).map_err(|e| match e {
            // The lines are those of a text that nobody wrote.
            Error::Usage(e) => {
                Error::Usage(e.split_once(": ").map_or(e.clone(), |(_, what)| format!("--shape: {what}")))
            }
            e => e,
        })
    }

    fn parse(source: &SetText, name: &str) -> Result<Set> {
        let table = source.parse()?;
        let (name, about, variants, cases) = (name.into(), String::new(), vec![FIRST.into()], Vec::new());
        let mut set = Set { name, about, variants, time_limit_s: None, cases };
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(k, _)| k.span().start);
        let mut placed = Vec::new();
        for (key, value) in keys {
            let at = |what: &str| source.at(value.span().start, what);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("about", v) => set.about = v.as_str().ok_or_else(|| at("about must be a text"))?.to_string(),
                ("variants", v) => {
                    let words = |v: &DeValue<'_>| {
                        v.as_array()?.iter().map(|w| w.get_ref().as_str().map(String::from)).collect::<Option<Vec<_>>>()
                    };
                    set.variants = words(v)
                        .filter(|w| !w.is_empty())
                        .ok_or_else(|| at("variants must be a list of names such as [\"first\", \"naive\"]"))?;
                }
                ("time_limit_s", v) => {
                    let seconds = number(v).filter(|s| *s > 0.0 && s.is_finite()).map(f64::from);
                    set.time_limit_s = Some(seconds.ok_or_else(|| at("time_limit_s must be seconds above 0"))?);
                }
                (op, v) => {
                    let build = builder(op).ok_or_else(|| source.at(key.span().start, &unknown(op)))?;
                    let list = v.as_array().ok_or_else(|| at(&format!("write the cases of {op} as [[{op}]]")))?;
                    for one in list {
                        let start = one.span().start;
                        let fields =
                            one.get_ref().as_table().ok_or_else(|| source.at(start, "a case is a table of fields"))?;
                        placed.push((start, subject(CaseFields::new(source, fields, op, start), build)?));
                    }
                }
            }
        }
        placed.sort_by_key(|p| p.0);
        let mut seen = HashSet::new();
        for (start, s) in placed {
            if !seen.insert((s.op.clone(), s.name.clone())) {
                return Err(source.at(start, &format!("{} has two cases called {:?}; name them apart", s.op, s.name)));
            }
            set.cases.push(s);
        }
        Ok(set)
    }
}

/// A value of `--shape` as TOML: a list of numbers, with or without brackets, a number, true or false, else a text.
fn word(value: &str) -> String {
    let plain = |v: &str| v.parse::<f64>().is_ok() || v == "true" || v == "false";
    let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    match bare.trim() {
        v if v.contains(',') && v.split(',').all(|p| plain(p.trim())) => format!("[{v}]"),
        v if plain(v) => v.to_string(),
        v => toml::Value::String(v.to_string()).to_string(),
    }
}

/// That there is no such op, and which are near.
fn unknown(op: &str) -> String {
    let ops = ops();
    let known: Vec<&str> = ops.iter().map(|o| o.0).collect();
    match nearest(op, &known) {
        Some(near) => format!("there is no op `{op}`; did you mean `{near}`?"),
        None => format!("there is no op `{op}`; there are {}", known.join(", ")),
    }
}

fn subject(mut f: CaseFields<'_>, build: Build) -> Result<BenchCase> {
    let name = f.text("name")?.filter(|n| !n.trim().is_empty());
    let BuiltCase { case, names } = build(&mut f)?;
    f.finish()?;
    let name = name.ok_or_else(|| f.wrong(&format!("a case of {} has no name", f.op())))?;
    let types: Vec<Type> = case.inputs.iter().map(|i| i.0).collect();
    case.op.infer(&types).map_err(|e| f.wrong(&e.to_string()))?;
    Ok(BenchCase { op: f.op().to_string(), name, shape: shown(&names, &types), case })
}

/// Inputs for people: x [16, 64, 56, 56] f32, weight [64, 64, 3, 3] f32.
fn shown(names: &[&str], types: &[Type]) -> String {
    let dtype = |ty: &Type| ty.dtype.name().to_lowercase();
    let each = names.iter().zip(types).map(|(n, ty)| format!("{n} {} {}", ty.shape, dtype(ty)));
    each.collect::<Vec<_>>().join(", ")
}

/// A case of `op` with its inputs called x0, x1, ….
fn numbered(op: &str, case: Case) -> BenchCase {
    let types: Vec<Type> = case.inputs.iter().map(|i| i.0).collect();
    let names: Vec<String> = (0..types.len()).map(|i| format!("x{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // An op that is recorded as another one needs a name that does not clash with that op's cases.
    let own = entry_name(case.op.as_ref()).split('.').next() == Some(op);
    let name = if own { case.name.to_string() } else { format!("{op}: {}", case.name) };
    BenchCase { op: op.into(), name, shape: shown(&names, &types), case }
}

/// Every op at the shapes of its tests.
fn cases() -> Set {
    let all = ops().into_iter().flat_map(|(op, list)| list.into_iter().map(move |case| numbered(op, case)));
    Set {
        name: CASES.into(),
        about: "every op at the shapes of its tests".into(),
        cases: all.collect(),
        ..Set::of(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let e = Set::parse(&SetText::new(Path::new("my.toml"), text), "my").unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    }

    #[test]
    fn every_built_in_set_can_be_read() {
        for name in names() {
            let set = Set::built_in(name).unwrap().unwrap();
            assert!(!set.cases.is_empty() && !set.about.is_empty(), "{name}");
        }
        assert!(Set::built_in("slow").is_none());
    }

    /// Rows of two reports are found again by entry, case, shape and variant.
    #[test]
    fn no_two_rows_of_the_tests_cases_are_called_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for s in cases().cases {
            let row = format!("{} {} {}", entry_name(s.case.op.as_ref()), s.name, s.shape);
            assert!(seen.insert(row.clone()), "{row}");
        }
    }

    /// By fields of its own, or as one of its cases.
    #[test]
    fn every_op_is_described_by_fields() {
        for (op, _) in ops() {
            // Fields of an op's own may have to be given; one of its cases has something for each.
            match Set::one(op, &[]) {
                Ok(set) => assert_eq!(set.cases.len(), 1, "{op}"),
                Err(e) => assert!(e.to_string().contains(&format!("{op} needs ")), "{e}"),
            }
        }
    }

    #[test]
    fn an_op_without_fields_of_its_own_is_one_of_its_cases_at_other_sizes() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of = |op: &str, list: &[&str]| Set::one(op, &words(list)).map(|set| set.cases[0].shape.clone());
        let first = ops().into_iter().find(|o| o.0 == "rank").unwrap().1.remove(0);
        assert_eq!(of("rank", &[]).unwrap(), format!("x0 {} f32", first.inputs[0].0.shape));
        assert_eq!(of("rank", &["x0=128,1000"]).unwrap(), "x0 [128, 1000] f32");
        let like = of("rank", &["like=no such case"]).unwrap_err().to_string();
        assert!(like.contains(first.name) && like.contains("rank has no case"), "{like}");
        let wrong = of("rank", &["x1=3"]).unwrap_err().to_string();
        assert!(wrong.contains("rank has no field `x1`"), "{wrong}");
    }

    #[test]
    fn a_case_is_read_with_defaults() {
        let text = "[[relu]]\nname = \"a\"\nx = [3]\n[[conv2d]]\nname = \"b\"\nx = [2, 3, 5, 5]\nweight = [4, 3, 3, 3]\n\
                    padding = 1\n[[relu]]\nname = \"c\"\nx = [7, 2]\n";
        let set = Set::parse(&SetText::new(Path::new("my.toml"), text), "my").unwrap();
        let names: Vec<&str> = set.cases.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names, set.variants), (vec!["a", "b", "c"], vec![FIRST.to_string()]));
        let conv = &set.cases[1];
        assert_eq!(conv.shape, "x [2, 3, 5, 5] f32, weight [4, 3, 3, 3] f32");
        assert_eq!(
            format!("{:?}", conv.case.op),
            "Conv2d { stride: 1, padding: 1, dilation: 1, groups: 1, result: F32 }"
        );
        let text = "[[conv2d]]\nname = \"h\"\nx = [1, 2, 5, 5]\nweight = [4, 2, 3, 3]\ndtype = \"f16\"\n";
        let half = Set::parse(&SetText::new(Path::new("my.toml"), text), "my").unwrap();
        assert_eq!(half.cases[0].shape, "x [1, 2, 5, 5] f16, weight [4, 2, 3, 3] f16");
    }

    #[test]
    fn a_case_may_be_given_in_words() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let set = Set::one("conv2d", &words(&["x=2,3,5,5", "weight=4,3,3,3", "stride=2"])).unwrap();
        assert_eq!(set.cases[0].name, "x=2,3,5,5 weight=4,3,3,3 stride=2");
        assert!(Set::one("attention", &words(&["q=1,1,4,4", "k=1,1,4,4", "causal=true"])).is_ok());
        let packed = Set::one("attention", &words(&["qkv=1,4,24", "heads=2"])).unwrap();
        assert!(format!("{:?}", packed.cases[0].case.op).contains("packed: Some(2)"), "{:?}", packed.cases[0].case.op);
        assert!(Set::one("gelu", &words(&["x=4", "approximate=tanh"])).is_ok());
        let sum = Set::one("reduce", &words(&["x=2,3", "axes=1"])).unwrap();
        assert!(format!("{:?}", sum.cases[0].case.op).contains("axes: [1]"), "{:?}", sum.cases[0].case.op);
        let half = Set::one("matmul", &words(&["a=2,3", "b=3,4", "dtype=f16"])).unwrap();
        assert_eq!(half.cases[0].shape, "a [2, 3] f16, b [3, 4] f16");
        for (op, fields, says) in [
            ("conv", &["x=1,1,1,1"][..], "--shape: there is no op `conv`"),
            ("relu", &["x"][..], "x=16,64,56,56"),
            ("relu", &["y=1,2"][..], "relu needs x"),
            ("relu", &["x=1,2", "y=1,2"][..], "--shape: relu has no field `y`"),
            ("matmul", &["a=2,3", "b=4,5"][..], "--shape: matmul"),
            ("attention", &["qkv=1,24", "heads=2"][..], "the 3 dimensions B T 3·H·E"),
            ("attention", &["qkv=1,4,24"][..], "attention needs heads: a whole number above 0"),
        ] {
            let e = Set::one(op, &words(fields)).unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }

    #[test]
    fn a_mistake_names_file_line_and_what_was_meant() {
        for (text, line, says) in [
            ("[[conv2]]\nname = \"a\"\n", 1, "there is no op `conv2`; did you mean `conv2d`?"),
            ("about = 3\n", 1, "about must be a text"),
            ("variants = []\n", 1, "variants must be a list of names"),
            ("[[relu]]\nname = \"a\"\n\nx = [1]\nstride = 2\n", 5, "relu has no field `stride`; it has name, x"),
            ("[[relu]]\nname = \"a\"\n\nx = [1, 0]\n", 4, "x of relu must be a list of 1 to 6 sizes above 0"),
            ("[[relu]]\nname = \"a\"\nx = [65536, 65536]\n", 3, "fewer than 2³² elements"),
            ("\n[[relu]]\nx = [1]\n", 2, "a case of relu has no name"),
            ("\n[[relu]]\nname = \"a\"\n", 2, "relu needs x: a list of"),
            (
                "[[gelu]]\nname = \"a\"\nx = [1]\napproximate = \"erf\"\n",
                4,
                "approximate of gelu must be one of none, tanh",
            ),
            ("[[conv2d]]\nname = \"a\"\nx = [1,2,3,3]\nweight = [1,3,1,1]\n", 1, "conv2d"),
            ("[[matmul]]\nname = \"a\"\na = [1,2]\nb = [2,1]\ndtype = \"half\"\n", 5, "must be one of f32, f16"),
            (
                "[[conv2d]]\nname = \"a\"\nx = [1,2,3,3]\nweigth = [1,2,1,1]\n",
                4,
                "no field `weigth`; did you mean `weight`?",
            ),
            ("[[relu]]\nname = \"a\"\nx = [1]\n[[relu]]\nname = \"a\"\nx = [2]\n", 4, "two cases called"),
            ("[relu]\nx = [1]\n", 1, "write the cases of relu as [[relu]]"),
            ("[[relu]\n", 1, ""),
            ("[[batch_norm]]\nname = \"a\"\nx = [4]\n", 1, "needs at least 2 dimensions"),
        ] {
            let e = error(text);
            assert!(e.starts_with(&format!("my.toml:{line}: ")) && e.contains(says), "{e}");
        }
        assert!(Set::load(Path::new("none.toml")).unwrap_err().to_string().contains("quick"));
        // As many cases as a set may hold are read in little time: each costs the same.
        let case = |i: usize| format!("[[relu]]\nname=\"{i}\"\nx=1\n");
        let many: String = (0..30_000).map(case).collect();
        let begun = std::time::Instant::now();
        assert!(error(&(many + &case(29_999))).starts_with("my.toml:90001: relu has two cases called"));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert!(Set::load(file.path()).unwrap_err().to_string().contains("holds more than 1 MiB"));
    }
}
