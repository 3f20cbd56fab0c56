//! `cargo xtask fuzz`: each target of `fuzz/` for a while, starting from its corpus; a crash fails the command.
//!
//! target → `cargo fuzz run` without a sanitizer, which wants the unstable flags of the compiler but no nightly one
//! (`RUSTC_BOOTSTRAP=1`). What a run finds worth keeping goes to `fuzz/target/corpus`, so that the corpus in git stays
//! the one that was written by hand; an input that crashes stays in `fuzz/artifacts`. Every target runs, also after one
//! has failed. The targets have no `unsafe` of their own, so a sanitizer would only watch other people's crates.
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{ci, metadata};

/// The version of cargo-fuzz that CI installs.
const VERSION: &str = "0.13.2";
/// How long each target runs, unless told otherwise.
const SECONDS: u32 = 60;
/// One input that takes longer counts as a crash.
const INPUT_LIMIT: &str = "-timeout=10";

const TARGETS: [&str; 11] = [
    "sse",
    "error_body",
    "retry_after",
    "content_range",
    "object_name",
    "filter",
    "frame_v1",
    "frame_v2",
    "frame_binary",
    "row_change",
    "presence",
];

#[derive(Debug, PartialEq, Eq)]
struct Choice<'a> {
    seconds: u32,
    targets: Vec<&'a str>,
}

pub(crate) fn command(options: &[&str]) -> Result<(), String> {
    let choice = parse(options)?;
    let root = metadata::workspace()?.root;
    install(ci::on_ci_machine())?;
    let mut failed = Vec::new();
    for target in &choice.targets {
        println!("\n==> {target}: {} s", choice.seconds);
        if !fuzz(&root, target, choice.seconds)? {
            failed.push(*target);
        }
    }
    if failed.is_empty() {
        println!("\n{} targets ran {} s each without a crash", choice.targets.len(), choice.seconds);
        return Ok(());
    }
    let names = failed.join(", ");
    Err(format!("crashed or not built: {names}. Again, with the input that was named above:\n  {}", again(&failed)))
}

fn again(failed: &[&str]) -> String {
    let target = failed.first().copied().unwrap_or_default();
    format!("RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {target} fuzz/artifacts/{target}/crash-…")
}

fn parse<'a>(options: &[&'a str]) -> Result<Choice<'a>, String> {
    let mut choice = Choice { seconds: SECONDS, targets: Vec::new() };
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--seconds" => {
                let number = rest.next().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
                choice.seconds = number.ok_or("--seconds needs a number above 0: without end is not what CI wants")?;
            }
            target if TARGETS.contains(&target) => choice.targets.push(target),
            other => return Err(format!("there is no target `{other}`; the targets are {}", TARGETS.join(", "))),
        }
    }
    if choice.targets.is_empty() {
        choice.targets = TARGETS.to_vec();
    }
    Ok(choice)
}

/// Sees to cargo-fuzz: on a CI machine it is installed, elsewhere that is for the person to say.
fn install(in_ci: bool) -> Result<(), String> {
    let quietly =
        |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if quietly(Command::new(metadata::cargo()).args(["fuzz", "--version"])).is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let arguments = ["install", "cargo-fuzz", "--locked", "--version", VERSION];
    let line = format!("cargo {}", arguments.join(" "));
    if !in_ci {
        return Err(format!("cargo-fuzz is not installed:\n  {line}"));
    }
    match Command::new(metadata::cargo()).args(arguments).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}")),
        Err(error) => Err(format!("`{line}` does not start: {error}")),
    }
}

/// Whether `target` ran its time without a crash.
fn fuzz(root: &Path, target: &str, seconds: u32) -> Result<bool, String> {
    let found = found(root, target);
    std::fs::create_dir_all(&found).map_err(|error| format!("{} cannot be made: {error}", found.display()))?;
    let status = Command::new(metadata::cargo())
        .args(["fuzz", "run", "--sanitizer", "none", target])
        .args([found, seeds(root, target)])
        .args(["--", &format!("-max_total_time={seconds}"), INPUT_LIMIT, "-verbosity=0", "-print_final_stats=1"])
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo fuzz does not start: {error}"))?;
    Ok(status.success())
}

/// What was written by hand for `target`.
fn seeds(root: &Path, target: &str) -> PathBuf {
    root.join("fuzz/corpus").join(target)
}

/// Where runs keep what they find, and go on from.
fn found(root: &Path, target: &str) -> PathBuf {
    root.join("fuzz/target/corpus").join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_options_every_target_runs_its_time() {
        assert_eq!(parse(&[]), Ok(Choice { seconds: 60, targets: TARGETS.to_vec() }));
        assert_eq!(parse(&["sse", "--seconds", "5"]), Ok(Choice { seconds: 5, targets: vec!["sse"] }));
    }

    #[test]
    fn a_wrong_option_is_an_error_that_names_the_right_ones() {
        assert!(parse(&["ssl"]).unwrap_err().contains("the targets are sse, error_body"));
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "soon"]] {
            assert!(parse(wrong).unwrap_err().contains("--seconds needs a number"), "{wrong:?}");
        }
    }

    #[test]
    fn the_targets_are_those_of_the_crate_and_each_has_seeds() {
        let root = metadata::workspace().unwrap().root;
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
        let names: Vec<_> = paths.filter_map(|rest| rest.strip_suffix(".rs\"")).collect();
        assert_eq!(names, TARGETS);
        for target in TARGETS {
            assert!(seeds(&root, target).read_dir().unwrap().count() >= 5, "{target}");
        }
    }
}
