//! Every tensor of a stage from one file, which another program or another run made.

use super::super::saved::is_passing;
use super::super::session::Job;
use super::super::turns::Recorded;
use crate::base::hash::{Hasher, sha256};
use crate::base::{DType, Error, Result};
use crate::nn::tensors::{Dtype, View, tensors, wrong_value};
use crate::nn::{checkpoint, weights};
use crate::tape::{State, Type};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file with every tensor of a stage.
pub(in crate::study) struct Whole {
    pub path: PathBuf,
    pub address: String,
    pub sha256: String,
    partial: bool,
    bytes: Vec<u8>,
}

impl Whole {
    /// Reads the file. If it holds a checksum of this program, it is compared.
    pub fn given(path: &Path, partial: bool) -> Result<Whole> {
        let bytes = weights::read(path)?;
        checkpoint::read_metadata(path, &bytes)?;
        let sha256 = sha256(&bytes);
        let address = Hasher::new().part("every tensor").part(&sha256).part([u8::from(partial)]).short();
        Ok(Whole { path: path.to_path_buf(), address, sha256, partial, bytes })
    }

    fn unfit(&self, why: impl std::fmt::Display) -> Error {
        Error::Data(format!("{} does not fit the stage: {why}", self.path.display()))
    }

    /// Loads its tensors into `state`, and says what it did. The file must hold each parameter and statistic of the
    /// turns. What steps remember besides (an optimizer's moments, a queue's position) is loaded if the file has it,
    /// and begins at zero otherwise. For an optimizer, the file has all of it or nothing.
    pub fn load(&self, job: &Job<'_>, state: &mut State, turns: &[Recorded]) -> Result<()> {
        let file = tensors(&self.path, &self.bytes)?;
        let params: BTreeMap<String, Type> = turns
            .last()
            .map(|last| last.params.list().iter().map(|p| (p.name.clone(), p.ty)).collect())
            .unwrap_or_default();
        let named = turns.iter().flat_map(|turn| &turn.tapes).flat_map(|(tape, _)| tape.state_types());
        let own = |name: &str| !is_passing(name) && state.ty(name).is_none();
        let memory: BTreeMap<String, Type> =
            named.filter(|(name, _)| own(name) && !params.contains_key(name)).collect();
        let known = |name: &&str| params.contains_key(*name) || memory.contains_key(*name);
        // PyTorch counts batches in these tensors. Nothing here reads them.
        let counter = |name: &&str| name.ends_with(".num_batches_tracked");
        let extra: Vec<&str> = file.keys().map(AsRef::as_ref).filter(|n| !known(n) && !counter(n)).collect();
        let has = |name: &&String| file.contains_key(name.as_str());
        let of_optimizer = |name: &&String| name.starts_with("optim.") || name.contains(".optim.");
        let remembers = memory.keys().filter(of_optimizer).any(|name| has(&name));
        let due = params.keys().chain(memory.keys().filter(of_optimizer).filter(|_| remembers));
        let missing: Vec<&String> = due.filter(|name| !has(name)).collect();
        if let (Some(name), false) = (missing.first(), self.partial) {
            let (n, ty) = (missing.len(), params.get(*name).or_else(|| memory.get(*name)));
            let ty = ty.map_or(String::new(), |ty| format!(" ({ty})"));
            return Err(self.unfit(format!(
                "it lacks {name}{ty}{}; --init-partial lets what is missing begin as it would without the file, and a file of the \
                 backbone alone goes with --weights",
                others(n)
            )));
        }
        if let (Some(name), false) = (extra.first(), self.partial) {
            return Err(self.unfit(format!(
                "it holds {name}, which the stage does not have{}; --init-partial leaves it out",
                others(extra.len())
            )));
        }
        let mut taken = [0, 0];
        for (i, (name, ty)) in params.iter().map(|p| (0, p)).chain(memory.iter().map(|m| (1, m))) {
            if let Some(view) = file.get(name.as_str()) {
                state.insert(job.gpu, name, *ty, Some(&self.values(name, *ty, view)?))?;
                taken[i] += 1;
            }
        }
        if taken[0] == 0 {
            return Err(self.unfit("it holds no parameter of the stage; give a file with only a backbone as --weights"));
        }
        let left = |what: &str, names: &[String]| match names.first() {
            Some(first) => format!("; {} {what}, such as {first}", names.len()),
            None => String::new(),
        };
        let missing: Vec<String> = missing.into_iter().cloned().collect();
        let extra: Vec<String> = extra.into_iter().map(str::to_string).collect();
        job.progress.note(&format!(
            "{}: {} parameters and statistics and {} tensors that steps remember are taken{}{}",
            self.path.display(),
            taken[0],
            taken[1],
            left("are missing and begin as without the file", &missing),
            left("are not the stage's and left out", &extra),
        ));
        Ok(())
    }

    /// The bytes of a tensor of the file, in the form of a state of type `ty`.
    fn values(&self, name: &str, ty: Type, view: &View<'_>) -> Result<Vec<u8>> {
        let View { dtype, shape, .. } = view;
        let same = shape.iter().map(|&d| d as u64).eq(ty.shape.dims().iter().map(|&d| u64::from(d)));
        let converted = match ty.dtype {
            DType::F32 => view.f32_bytes().map(|bytes| bytes.into_owned()),
            DType::F16 if *dtype == Dtype::F16 => Some(view.bytes().into_owned()),
            DType::U32 if *dtype == Dtype::U32 => Some(view.bytes().into_owned()),
            _ => None,
        };
        let Some(bytes) = converted.filter(|_| same) else {
            return Err(self.unfit(format!("{name} is {dtype:?} {shape:?} there and {ty} in the stage")));
        };
        match wrong_value(name, &bytes).filter(|_| ty.dtype == DType::F32) {
            Some(what) => Err(self.unfit(format!("{what}; take other weights"))),
            None => Ok(bytes),
        }
    }
}

/// " and 3 others", for a list of which only the first is named.
fn others(n: usize) -> String {
    match n {
        0 | 1 => String::new(),
        2 => " and one other".to_string(),
        n => format!(" and {} others", n - 1),
    }
}
