//! People in one room: who is there, who is typing, what they say, and how fast it arrives. In the middle the
//! network is cut; everybody goes on writing, and afterwards everybody has everything.
//!
//! Without arguments it starts the embedded cloud and needs nothing else. It ends with 1 when somebody lacks a line, has
//! one twice, or sees another order than the others.
#![expect(clippy::disallowed_methods, reason = "a program may look at the clock to tell a person how long it took")]
#![expect(unreachable_pub, reason = "a program has no API")]
mod args;
mod figures;
mod person;
mod room;
mod screen;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args::Args::try_parse().map_err(Box::new).and_then(args::Args::check) {
        Ok(args) => args,
        Err(problem) => problem.exit(),
    };
    let outcome = tokio::select! {
        outcome = room::run(&args) => outcome,
        // The work is dropped by now, and with it the folders that held everybody's login.
        Ok(()) = ctrl_c() => {
            screen::event("stopped");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            screen::failure(&problem);
            ExitCode::FAILURE
        }
    }
}
