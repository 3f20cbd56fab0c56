//! Signing in through the browser: open the provider's page, come back, still be signed in after a restart, sign out.
//! Without arguments it starts the embedded cloud, whose provider page asks for nothing but who you want to be.
//!
//! Every step checks its result; the first one that fails is named, and the program ends with 1.
#![expect(clippy::disallowed_methods, reason = "a program may look at the clock to tell a person how long it took")]
#![expect(unreachable_pub, reason = "a program has no API")]
mod args;
mod headless;
#[path = "../quickstart/report.rs"]
#[expect(dead_code, reason = "partly for another example")]
mod report;
mod steps;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args::Args::try_parse().map_err(Box::new).and_then(args::Args::check) {
        Ok(args) => args,
        Err(problem) => problem.exit(),
    };
    let mut report = report::Report::new();
    match steps::run(&args, &mut report).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_story_comes_to_its_end_without_a_browser() {
        let args = args::Args::try_parse_from(["sign_in", "--headless"]).unwrap().check().unwrap();
        let lines = steps::run(&args, &mut report::Report::new()).await.unwrap();
        assert!(lines.iter().any(|(name, value)| name == "person" && value.contains('@')), "{lines:?}");
    }

    #[test]
    fn options_that_do_not_belong_together_are_refused() {
        for wrong in [
            &["--url", "https://p.example.co"][..],
            &["--url", "https://p.example.co", "--key", "sb_publishable_x", "--headless"],
            &["--headless", "--paste"],
        ] {
            let parsed = args::Args::try_parse_from([&["sign_in"], wrong].concat());
            assert!(parsed.map_err(Box::new).and_then(args::Args::check).is_err(), "{wrong:?}");
        }
    }
}
