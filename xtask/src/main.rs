//! The project's own chores: `cargo xtask ci` runs what CI runs, the checks can be run alone.
//!
//! Each command is a module; this file only chooses one. A check reads the workspace with
//! [`metadata`], compares it with a table or with `deny.toml`, and says what to change.

mod capabilities;
mod ci;
mod deps;
mod fuzz;
mod gates;
mod layers;
mod licence;
mod metadata;
mod policy;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  ci             Run every step of CI, also after one has failed; ends with a table
  check-layers   Prove that crates depend only on those below them, and inherit the lints
  check-deps     Hold all dependencies against deny.toml: licences, bans, sources
  check-capabilities
                 Hold docs/capabilities against symbols and tests
  fuzz           Run the fuzz targets, each for a minute; a crash fails
  gates          Count instructions and allocations of the hot paths, and hold them against their limits
  help           Show this text

Options of ci:
  --list         List the steps and what they run
  --only <STEP>  Run this step alone; may be repeated

Options of fuzz:
  --seconds <N>  Run each target this long
  <TARGET>...    Run these alone

Examples:
  cargo xtask ci
  cargo xtask ci --only fmt --only clippy
  cargo xtask fuzz --seconds 10 sse filter
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] | ["help" | "--help" | "-h", ..] | [_, "--help" | "-h", ..] => {
            print!("{HELP}");
            Ok(())
        }
        ["ci", options @ ..] => ci::command(options),
        ["fuzz", options @ ..] => fuzz::command(options),
        ["gates"] => gates::command(),
        ["check-layers"] => layers::command(),
        ["check-deps"] => deps::command(),
        ["check-capabilities"] => capabilities::command(),
        other => Err(format!("`cargo xtask {}` is not a command\n\n{HELP}", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_an_error_that_shows_the_known_ones() {
        let error = run(&["ch3ck"]).unwrap_err();
        assert!(error.starts_with("`cargo xtask ch3ck` is not a command") && error.contains("check-layers"));
    }

    #[test]
    fn help_names_every_command() {
        for command in ["ci", "check-layers", "check-deps", "check-capabilities", "gates", "--list", "--only"] {
            assert!(HELP.contains(command), "{command}");
        }
    }
}
