//! What benches share: how they end.

use std::process::ExitCode;
use wgslab::base::Result;

/// Prints what went wrong and turns it into the exit code that the program would have.
pub fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
