//! The `wgslab` program. All of it lives in the library, floor `cli`.

fn main() -> std::process::ExitCode {
    wgslab::cli::main()
}
