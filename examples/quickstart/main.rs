//! The whole story in one run: two devices sign in, link a folder, share state, meet in a conflict, exchange messages,
//! ask an agent and stream a model's answer. Without arguments it starts the embedded cloud and needs nothing else.
//!
//! Every step checks its result; the first one that fails is named, and the program ends with 1.
#![expect(clippy::disallowed_methods, reason = "a program may look at the clock to tell a person how long it took")]
#![expect(unreachable_pub, reason = "a program has no API")]
mod args;
mod conversation_file;
mod report;
mod stage;
mod steps;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args::Args::try_parse().map_err(Box::new).and_then(args::Args::check) {
        Ok(args) => args,
        Err(problem) => problem.exit(),
    };
    let mut report = report::Report::new();
    let outcome = tokio::select! {
        outcome = steps::run(&args, &mut report) => outcome,
        // The work is dropped by now, and with it the folders that held the logins.
        Ok(()) = ctrl_c() => {
            report::line("\nStopped.");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(summary) => {
            report.summary(&summary);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report.failure(&failure);
            ExitCode::FAILURE
        }
    }
}
