//! cli: the command line. Each subcommand is short: it reads its options, calls the floor below and prints. Results
//! go to stdout; progress, warnings and errors to stderr.

mod audit;
mod bench;
mod bench_table;
mod compare;
mod data;
mod devices;
mod embed;
mod export;
mod export_bench;
mod export_step;
mod forecast;
mod grid_options;
mod kernels;
mod list;
mod listener;
mod manual;
mod measured;
mod merge;
mod network;
mod new;
mod noise;
mod options;
mod output;
mod profile;
mod roofline;
mod signals;
mod stage;
mod standing;
mod stats;
mod study;
mod tune;
mod verify;
mod watch;

use crate::base::contained::is_contained;
use crate::base::{Result, text};
use clap::{CommandFactory, Parser, Subcommand};
use options::Options;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failure
  2   the command line or a config is wrong
  3   no usable adapter
  4   bad data: missing, damaged or not what it should be
  5   a measurement is slower than its base by more than --threshold, or no longer runs
  75  try again: the device was lost, or a signal stopped the job after it saved; the same command goes on
  130 stopped at once by a second Ctrl-C

Start here:
  wgslab devices                          what this machine can run on
  wgslab new xrays                        write the config of a study, by asking
  wgslab study run configs/smoke.toml     a whole study in a few minutes, on generated images
  wgslab help study run                   what a command does, with an example";

/// Trains image classifiers with hand-written WGSL kernels on any Vulkan, Metal or DX12 GPU,
/// and studies which self-supervised pretraining makes them robust to wrong labels
#[derive(Parser, Debug)]
#[command(name = "wgslab", version, verbatim_doc_comment, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Devices(devices::Devices),
    New(new::New),
    Study(study::Study),
    Pretrain(stage::Pretrain),
    Train(stage::Train),
    Evaluate(stage::Evaluate),
    Embed(embed::Embed),
    Audit(audit::Audit),
    Data(data::Data),
    Noise(noise::Noise),
    Kernels(kernels::Kernels),
    Bench(bench::Bench),
    Export(export::Export),
    Profile(profile::ProfileStep),
    Tune(tune::Tune),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Cli {
    fn run(&mut self) -> Result<()> {
        self.options.load_shaders()?;
        let options = &self.options;
        match &self.command {
            Command::Devices(c) => c.run(options),
            Command::New(c) => c.run(options),
            Command::Study(c) => c.run(options),
            Command::Pretrain(c) => c.run(options),
            Command::Train(c) => c.run(options),
            Command::Evaluate(c) => c.run(options),
            Command::Embed(c) => c.run(options),
            Command::Audit(c) => c.run(options),
            Command::Data(c) => c.run(options),
            Command::Noise(c) => c.run(options),
            Command::Kernels(c) => c.run(options),
            Command::Bench(c) => c.run(options),
            Command::Export(c) => c.run(options),
            Command::Profile(c) => c.run(options),
            Command::Tune(c) => c.run(options),
            Command::Completions(c) => c.run(),
            Command::Man(c) => c.run(),
        }
    }
}

/// The command line as data, for tests of what is written about it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The whole program. It reads the command line, runs it, and turns an error into a sentence and an exit code.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(panicked));
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let plain = e.render().to_string();
            match text::visible_lines(&plain) {
                shown if shown == plain => drop(e.print()), // in colours; if the pipe is closed, nobody reads it
                shown => shown.trim_end().lines().for_each(output::complain),
            }
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    // The panic hook has reported it. Only the exit code is left.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cli.run()));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => {
            output::complain(&format!("error: {e}"));
            ExitCode::from(e.exit_code())
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Reports a broken invariant in one sentence, with what a bug report needs.
fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    if is_contained() {
        return; // of a decoder or a compiler on a hostile file: the caller reports that the file cannot be read
    }
    let text = info.payload().downcast_ref::<&str>().copied();
    let what = text.or(info.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
    let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
    output::complain(&format!("error: wgslab has a bug: {what}{place}; please report this line and the command"));
    let trace = std::backtrace::Backtrace::capture(); // empty unless RUST_BACKTRACE is set
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        trace.to_string().lines().for_each(output::complain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        for words in
            [["wgslab", "--adapter", "1", "devices", "--json"], ["wgslab", "devices", "--json", "--adapter", "1"]]
        {
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.options.adapter.as_deref(), Some("1"));
        }
    }

    /// Every command that does something says so in its help, with an example to copy.
    #[test]
    fn every_command_teaches() {
        fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
            for sub in command.get_subcommands().filter(|s| s.get_name() != "help" && !s.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                if sub.get_subcommands().next().is_some() {
                    leaves(sub, &path, found);
                } else {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    found.push((path, help));
                }
            }
        }
        let mut found = Vec::new();
        leaves(&Cli::command(), "wgslab", &mut found);
        assert_eq!(found.len(), 27);
        for (path, help) in found {
            assert!(help.contains("Example") && help.contains(&path), "{path}: {help}");
        }
    }
}
