//! Reads the fields of one case in a set file. A wrong kind or value, and a field that no op asked for, are errors with
//! file and line.

use crate::base::shape::MAX_RANK;
use crate::base::{Error, Result, Shape, nearest};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a set file with its name, so that errors can say where.
#[derive(Clone, Debug)]
pub(super) struct SetText {
    /// What errors call it.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
}

impl SetText {
    pub fn new(path: &Path, text: &str) -> Self {
        // A byte order mark is no TOML.
        SetText { path: path.into(), text: text.strip_prefix('\u{feff}').unwrap_or(text).into() }
    }

    /// An error at a place: `FILE:LINE: what`.
    pub fn at(&self, offset: usize, what: &str) -> Error {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Error::Usage(format!("{}:{line}: {what}", self.path.display()))
    }

    pub fn parse(&self) -> Result<DeTable<'_>> {
        let table = DeTable::parse(&self.text);
        table.map(Spanned::into_inner).map_err(|e| self.at(e.span().map_or(0, |s| s.start), e.message()))
    }
}

/// The fields of a case.
pub(super) struct CaseFields<'a> {
    source: &'a SetText,
    table: &'a DeTable<'a>,
    op: &'a str,
    /// Where the case begins: errors about a missing field point there.
    start: usize,
    /// Every field that the op asked for.
    known: Vec<&'static str>,
}

impl<'a> CaseFields<'a> {
    pub fn new(source: &'a SetText, table: &'a DeTable<'a>, op: &'a str, start: usize) -> Self {
        CaseFields { source, table, op, start, known: Vec::new() }
    }

    /// The name of the op whose case this is.
    pub fn op(&self) -> &str {
        self.op
    }

    /// An error about the case as a whole.
    pub fn wrong(&self, what: &str) -> Error {
        self.source.at(self.start, what)
    }

    /// Whether the case has the field.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.value(name).is_some()
    }

    fn value(&mut self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(name);
        self.table.get(name)
    }

    fn not(&self, name: &str, value: &Spanned<DeValue<'_>>, want: &str) -> Error {
        self.source.at(value.span().start, &format!("{} of {} must be {want}", name, self.op))
    }

    fn missing(&self, name: &str, want: &str) -> Error {
        let slip = self.table.iter().map(|(k, _)| k).find(|k| {
            let key = k.get_ref().as_ref();
            name.len() > 2 && !self.known.contains(&key) && nearest(key, &[name]).is_some()
        });
        if let Some(slip) = slip {
            let what = format!("{} has no field `{}`; did you mean `{name}`?", self.op, slip.get_ref());
            return self.source.at(slip.span().start, &what);
        }
        self.wrong(&format!("{} needs {name}: {want}", self.op))
    }

    /// A word.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        let Some(v) = self.value(name) else { return Ok(None) };
        v.get_ref().as_str().map(|s| Some(s.to_string())).ok_or_else(|| self.not(name, v, "a text in quotes"))
    }

    /// One of `words`; the first one by default.
    pub fn one_of<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<T> {
        let Some(v) = self.value(name) else { return Ok(words[0].1) };
        let names: Vec<&str> = words.iter().map(|w| w.0).collect();
        let found = words.iter().find(|w| v.get_ref().as_str() == Some(w.0));
        found.map(|w| w.1).ok_or_else(|| self.not(name, v, &format!("one of {}", names.join(", "))))
    }

    /// true or false; false by default.
    pub fn flag(&mut self, name: &'static str) -> Result<bool> {
        let Some(v) = self.value(name) else { return Ok(false) };
        v.get_ref().as_bool().ok_or_else(|| self.not(name, v, "true or false"))
    }

    /// A number.
    pub fn real(&mut self, name: &'static str, default: f32) -> Result<f32> {
        let Some(v) = self.value(name) else { return Ok(default) };
        number(v.get_ref()).ok_or_else(|| self.not(name, v, "a number"))
    }

    /// A whole number from 0 up.
    pub fn whole(&mut self, name: &'static str, default: u32) -> Result<u32> {
        let Some(v) = self.value(name) else { return Ok(default) };
        whole(v.get_ref()).ok_or_else(|| self.not(name, v, "a whole number"))
    }

    /// A whole number that must be there.
    pub fn count(&mut self, name: &'static str) -> Result<usize> {
        let want = "a whole number above 0";
        let Some(v) = self.value(name) else { return Err(self.missing(name, want)) };
        let n = whole(v.get_ref()).filter(|n| *n > 0);
        n.map(|n| n as usize).ok_or_else(|| self.not(name, v, want))
    }

    /// Two whole numbers. A single one stands for both.
    pub fn pair(&mut self, name: &'static str, default: [u32; 2]) -> Result<[u32; 2]> {
        let Some(v) = self.value(name) else { return Ok(default) };
        let pair = match (whole(v.get_ref()), v.get_ref().as_array()) {
            (Some(n), _) => Some([n, n]),
            (_, Some(a)) if a.len() == 2 => whole(a[0].get_ref()).zip(whole(a[1].get_ref())).map(|(a, b)| [a, b]),
            _ => None,
        };
        pair.ok_or_else(|| self.not(name, v, "a whole number, or two in a list"))
    }

    /// Axes: a list of whole numbers from 0 up, or a single one.
    pub fn axes(&mut self, name: &'static str) -> Result<Vec<u32>> {
        let want = "a list of axes, from 0 up";
        let Some(v) = self.value(name) else { return Err(self.missing(name, want)) };
        let list: Option<Vec<u32>> = match v.get_ref().as_array() {
            Some(list) => list.iter().map(|d| whole(d.get_ref())).collect(),
            None => whole(v.get_ref()).map(|n| vec![n]),
        };
        list.ok_or_else(|| self.not(name, v, want))
    }

    /// A shape that must be there.
    pub fn shape(&mut self, name: &'static str) -> Result<Shape> {
        self.shape_if(name)?.ok_or_else(|| self.missing(name, &a_shape()))
    }

    /// A shape, where it is given.
    pub fn shape_if(&mut self, name: &'static str) -> Result<Option<Shape>> {
        let Some(v) = self.value(name) else { return Ok(None) };
        let size = |d: &Spanned<DeValue<'_>>| whole(d.get_ref()).filter(|n| *n > 0).map(|n| n as usize);
        // A single number is a vector.
        let dims: Option<Vec<usize>> = match v.get_ref().as_array() {
            Some(list) => list.iter().map(size).collect(),
            None => size(v).map(|n| vec![n]),
        };
        let dims = dims.filter(|d| (1..=MAX_RANK).contains(&d.len())).ok_or_else(|| self.not(name, v, &a_shape()))?;
        let elements = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n < 1 << 32);
        elements.ok_or_else(|| self.not(name, v, "a shape of fewer than 2³² elements"))?;
        Ok(Some(Shape::new(&dims)))
    }

    /// A shape of this many dimensions.
    pub fn shape_of<const N: usize>(&mut self, name: &'static str, dims: &str) -> Result<[usize; N]> {
        let shape = self.shape(name)?;
        let sizes: Vec<usize> = shape.dims().iter().map(|d| *d as usize).collect();
        let have = sizes.len();
        sizes.try_into().map_err(|_| {
            self.wrong(&format!("{name} of {} must have the {N} dimensions {dims}, and {shape} has {have}", self.op))
        })
    }

    /// An error for the first field that the op did not ask for.
    pub fn finish(&self) -> Result<()> {
        let unknown = self.table.iter().filter(|(k, _)| !self.known.contains(&k.get_ref().as_ref()));
        let Some((key, _)) = unknown.min_by_key(|(k, _)| k.span().start) else { return Ok(()) };
        let name = key.get_ref().as_ref();
        let what = match nearest(name, &self.known) {
            Some(near) => format!("{} has no field `{name}`; did you mean `{near}`?", self.op),
            None => format!("{} has no field `{name}`; it has {}", self.op, self.known.join(", ")),
        };
        Err(self.source.at(key.span().start, &what))
    }
}

/// What a shape must be.
fn a_shape() -> String {
    format!("a list of 1 to {MAX_RANK} sizes above 0, such as [16, 64, 56, 56]")
}

fn whole(v: &DeValue<'_>) -> Option<u32> {
    let i = v.as_integer()?;
    u32::from_str_radix(i.as_str(), i.radix()).ok()
}

/// A number, whole or not.
pub(super) fn number(v: &DeValue<'_>) -> Option<f32> {
    let float = v.as_float().and_then(|f| f.as_str().parse::<f32>().ok());
    float.or_else(|| v.as_integer().and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok()).map(|i| i as f32))
}
