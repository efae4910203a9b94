//! A compiler in a process of its own: this program again, with the driver and the family of GPUs in its environment.

use super::line;
use crate::base::{Error, Result};
use crate::device::statistics::{Compiled, Driver};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The hidden command that [`super::serve`]s.
pub const COMMAND: [&str; 2] = ["kernels", "compiler"];

/// What may be asked for, for errors: the driver itself has no list.
const FAMILIES: &str = "Mesa 22.3 knows vega10, vega20, navi10, navi14, navi21 to navi24 and gfx1100, and Mesa 25.0 also \
                        gfx1101, gfx1102, gfx1103, gfx1150, gfx1151, gfx1200 and gfx1201";

/// Families that have two names: that of the instructions, which compilers use, and that of the chip. RADV takes one, and
/// which, depends on its version: gfx1100 became navi31.
const TWO_NAMES: [[&str; 2]; 12] = [
    ["gfx900", "vega10"],
    ["gfx906", "vega20"],
    ["gfx1010", "navi10"],
    ["gfx1012", "navi14"],
    ["gfx1030", "navi21"],
    ["gfx1031", "navi22"],
    ["gfx1032", "navi23"],
    ["gfx1034", "navi24"],
    ["gfx1100", "navi31"],
    ["gfx1101", "navi32"],
    ["gfx1102", "navi33"],
    ["gfx1103", "phoenix"],
];

/// The names by which RADV may know a family, the one that was asked for first.
fn names(family: &str) -> Vec<String> {
    let same = |name: &&str| name.eq_ignore_ascii_case(family);
    let both = TWO_NAMES.iter().find(|both| both.iter().any(&same));
    let other = both.into_iter().flatten().filter(|name| !same(name)).map(|name| name.to_string());
    std::iter::once(family.to_string()).chain(other).collect()
}

/// Whose compiler is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// That of the driver in use, for the device with this in its name.
    InUse(Option<String>),
    /// RADV's, for a family of AMD GPUs such as `gfx1100`, by the driver that this file of the Vulkan loader names.
    Family(String, PathBuf),
}

/// A running compiler.
pub struct Asked {
    program: PathBuf,
    whose: Whose,
    /// Its process with both ends of its pipes; none after it ended by itself.
    running: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
    about: Driver,
}

impl Asked {
    /// Starts `program`, which is this one, as a compiler.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is no such device; [`Error::Failed`] where its driver tells nothing.
    pub fn start(program: &Path, whose: Whose) -> Result<Asked> {
        let about = Driver { device: String::new(), driver: String::new(), cooperative: Vec::new() };
        let mut asked = Asked { program: program.to_path_buf(), whose, running: None, about };
        asked.run()?;
        Ok(asked)
    }

    fn run(&mut self) -> Result<()> {
        let Whose::Family(family, _) = &self.whose else { return self.run_as(None) };
        let mut failed = None;
        for name in names(family) {
            match self.run_as(Some(&name)) {
                Ok(()) => return Ok(()),
                Err(e) => failed = failed.or(Some(e)), // what the name that was given met
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Starts the process; `name` is what the driver may call the family.
    fn run_as(&mut self, name: Option<&str>) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        match (&self.whose, name) {
            (Whose::Family(_, driver), Some(name)) => {
                command.env("RADV_FORCE_FAMILY", name);
                // The name of the variable depends on the version of the loader.
                command.env("VK_DRIVER_FILES", driver).env("VK_ICD_FILENAMES", driver)
            }
            (Whose::InUse(adapter), _) => command.args(adapter.iter().flat_map(|n| ["--adapter", n])),
            (Whose::Family(..), None) => &mut command,
        };
        let lost = || Error::Failed("the compiler's process has no pipes".to_string());
        let mut child = command.spawn().map_err(|e| Error::Failed(format!("{}: {e}", self.program.display())))?;
        let (input, output) = (child.stdin.take().ok_or_else(lost)?, child.stdout.take().ok_or_else(lost)?);
        let mut output = BufReader::new(output);
        let about: Result<Driver, String> = line(&mut output).map_err(|why| self.no_compiler(&why))?;
        self.about = about.map_err(|why| self.no_compiler(&why))?;
        let device = &self.about.device;
        if name.is_some_and(|name| !device.to_lowercase().contains(&name.to_lowercase())) {
            let family = self.family();
            return Err(Error::Usage(format!(
                "--for {family}: the driver knows no such family ({device} came instead); {FAMILIES}"
            )));
        }
        self.running = Some((child, input, output));
        Ok(())
    }

    fn no_compiler(&self, why: &str) -> Error {
        match &self.whose {
            Whose::InUse(_) => Error::NoAdapter(why.to_string()),
            Whose::Family(family, driver) => {
                // RADV ends where it does not know a family, too.
                Error::NoAdapter(format!("--for {family}: {} gave no compiler: {why}; {FAMILIES}", driver.display()))
            }
        }
    }

    /// The family, or the device that the driver in use names.
    pub fn family(&self) -> &str {
        match &self.whose {
            Whose::InUse(_) => &self.about.device,
            Whose::Family(family, _) => family,
        }
    }

    /// Whose compiler it is.
    pub fn about(&self) -> &Driver {
        &self.about
    }

    /// What it makes of a module, or why it makes nothing of it. If it ends over a module, the next one gets a new process.
    pub fn compile(&mut self, spirv: &[u32]) -> Result<Result<Compiled, String>> {
        if self.running.is_none() {
            self.run()?;
        }
        let Some((child, input, output)) = &mut self.running else { return Ok(Err("it did not start".into())) };
        let bytes: Vec<u8> =
            std::iter::once(spirv.len() as u32).chain(spirv.iter().copied()).flat_map(u32::to_le_bytes).collect();
        let sent = input.write_all(&bytes).and_then(|()| input.flush()).map_err(|e| e.to_string());
        let answer = sent.and_then(|()| line::<Result<Compiled, String>>(output));
        match answer {
            Ok(told) => Ok(told),
            Err(why) => {
                let ended = child.wait().map_or(why, |status| format!("the driver stopped on it ({status})"));
                self.running = None;
                Ok(Err(ended))
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some((mut child, input, _)) = self.running.take() {
            drop(input); // the end of its input ends it
            let _ = child.wait();
        }
    }
}

/// The loader's file of RADV in the places where loaders look.
pub fn radv() -> Option<PathBuf> {
    let listed = std::env::var("XDG_DATA_DIRS").unwrap_or_default();
    let shared = listed.split(':').filter(|d| !d.is_empty()).map(|d| format!("{d}/vulkan/icd.d"));
    let usual = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"].map(String::from);
    let files = usual.into_iter().chain(shared).filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut found: Vec<PathBuf> = files
        .flat_map(|entries| entries.filter_map(|e| Some(e.ok()?.path())))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("radeon_icd")))
        .filter(|p| cfg!(target_pointer_width = "32") == p.to_string_lossy().contains("i686"))
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_the_names_of_its_instructions_and_of_its_chip() {
        assert_eq!(names("gfx1100"), ["gfx1100", "navi31"]);
        assert_eq!(names("Navi21"), ["Navi21", "gfx1030"]);
        assert_eq!(names("gfx1201"), ["gfx1201"]);
    }
}
