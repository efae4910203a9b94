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
const FAMILIES: &str = "Mesa 22.3 knows vega10, vega20, navi10, navi14, navi21 to navi24 and gfx1100, newer ones more";

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
        let about = Driver { device: String::new(), driver: String::new() };
        let mut asked = Asked { program: program.to_path_buf(), whose, running: None, about };
        asked.run()?;
        Ok(asked)
    }

    fn run(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        match &self.whose {
            Whose::InUse(name) => command.args(name.iter().flat_map(|n| ["--adapter", n])),
            Whose::Family(family, driver) => {
                command.env("RADV_FORCE_FAMILY", family);
                // The name of the variable depends on the version of the loader.
                command.env("VK_DRIVER_FILES", driver).env("VK_ICD_FILENAMES", driver)
            }
        };
        let lost = || Error::Failed("the compiler's process has no pipes".to_string());
        let mut child = command.spawn().map_err(|e| Error::Failed(format!("{}: {e}", self.program.display())))?;
        let (input, output) = (child.stdin.take().ok_or_else(lost)?, child.stdout.take().ok_or_else(lost)?);
        let mut output = BufReader::new(output);
        let about: Result<Driver, String> = line(&mut output).map_err(|why| self.no_compiler(&why))?;
        self.about = about.map_err(|why| self.no_compiler(&why))?;
        if let Whose::Family(family, _) = &self.whose
            && !self.about.device.to_lowercase().contains(&family.to_lowercase())
        {
            let device = &self.about.device;
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
