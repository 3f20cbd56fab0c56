//! The command line.
use std::{collections::BTreeSet, time::Duration};

use clap::{CommandFactory as _, Parser, error::ErrorKind};

/// Lets people meet in a workspace, live: presence, typing, messages, and a cut of the network in the middle.
///
/// Without options everything runs on an embedded cloud that lives as long as the program. With --url and --key it runs
/// against a project of yours, with accounts of one organisation that share a password; there the cut is made on this side,
/// by giving the live connections up for a while.
#[derive(Debug, Parser)]
#[command(name = "live_team", version)]
pub struct Args {
    /// Lines that each person says, before the cut and after it
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub lines: u16,
    /// How many people meet [default: 3, or one for each --account]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=12))]
    pub people: Option<u8>,
    /// How long the network is away, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1.5", value_parser = seconds)]
    pub cut: Duration,
    /// Address of a project, such as https://project.example.com [default: an embedded cloud]
    #[arg(long, env = "CLOUD_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The project's publishable (or anon) key
    #[arg(long, env = "CLOUD_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Account of one of the people; give it once for each, two to twelve times
    #[arg(long = "account", value_name = "EMAIL")]
    pub accounts: Vec<String>,
    /// The password of all of them (better given as CLOUD_PASSWORD: arguments can be seen by other programs)
    #[arg(long, env = "CLOUD_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// The workspace of that project to meet in
    #[arg(long, value_name = "ID")]
    pub workspace: Option<String>,
}

impl Args {
    /// What the parser cannot see: which options belong together. A variable that is set to nothing is not set.
    pub fn check(mut self) -> Result<Self, Box<clap::Error>> {
        for option in [&mut self.url, &mut self.key, &mut self.password] {
            option.take_if(|text| text.trim().is_empty());
        }
        let wrong = |text: &str| Err(Box::new(Self::command().error(ErrorKind::MissingRequiredArgument, text)));
        if self.url.is_some() != self.key.is_some() {
            return wrong("--url and --key belong together (or CLOUD_URL and CLOUD_KEY)");
        }
        if self.url.is_some() && (self.accounts.is_empty() || self.password.is_none() || self.workspace.is_none()) {
            return wrong(
                "a project of yours needs --account for each person, --password (or CLOUD_PASSWORD) and --workspace",
            );
        }
        if self.url.is_none() && (!self.accounts.is_empty() || self.workspace.is_some()) {
            return wrong("--account and --workspace go with --url and --key: the embedded cloud has its own");
        }
        let different: BTreeSet<_> = self.accounts.iter().map(|email| email.trim().to_lowercase()).collect();
        if self.url.is_some() && (different.len() < self.accounts.len() || !(2..=12).contains(&self.accounts.len())) {
            return wrong("--account names different people, two to twelve of them");
        }
        if self.people.is_some_and(|people| self.url.is_some() && usize::from(people) != self.accounts.len()) {
            return wrong("--people is another number than there are --account: leave it out");
        }
        Ok(self)
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
    time.filter(|time| allowed.contains(time)).ok_or("a number of seconds from 0.1 to 3600 is wanted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Args, String> {
        let all = ["live_team"].iter().chain(arguments);
        Args::try_parse_from(all).map_err(Box::new).and_then(Args::check).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_do_not_belong_together_are_named() {
        let url = ["--url", "http://127.0.0.1:1", "--key", "k"];
        assert!(parsed(&url[..2]).unwrap_err().contains("--url and --key belong together"));
        assert!(parsed(&url).unwrap_err().contains("--account for each person"));
        assert!(parsed(&["--account", "a@b.c"]).unwrap_err().contains("go with --url"));
        assert!(parsed(&["--lines", "0"]).unwrap_err().contains("1..=1000"));
        for cut in ["0", "-1", "inf", "NaN", "soon", "3601"] {
            assert!(parsed(&[&format!("--cut={cut}")]).unwrap_err().contains("from 0.1 to 3600"), "{cut}");
        }
        assert_eq!(parsed(&["--cut", "0.25", "--people", "5"]).unwrap().cut.as_millis(), 250);
        assert!(parsed(&["--people", "1"]).unwrap_err().contains("2..=12"));
        let whole: Vec<_> = url.into_iter().chain(["--account", "a", "--account", "b"]).collect();
        let whole = [&whole[..], &["--password", "p"]].concat();
        assert!(parsed(&whole).unwrap_err().contains("and --workspace"));
        let whole = [&whole[..], &["--workspace", "w"]].concat();
        assert_eq!(parsed(&whole).unwrap().accounts.len(), 2);
        for (more, fault) in [(["--account", "A "], "different people"), (["--people", "3"], "another number")] {
            assert!(parsed(&[&whole[..], &more].concat()).unwrap_err().contains(fault), "{more:?}");
        }
    }
}
