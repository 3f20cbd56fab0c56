//! The command line.
use clap::Parser;

/// Runs several processes on one stored login, lets their tokens expire again and again, and kills them at random.
///
/// Needs nothing: the cloud is embedded, the login is in a temporary folder. Ends with a table of what the cloud counted,
/// and with 1 if anybody was signed out or a token was spent twice.
#[derive(Debug, Parser)]
#[command(name = "two_processes", version)]
pub struct Args {
    /// How often all tokens expire
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub expiries: u32,
    /// How many processes share the login
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub members: u8,
    /// In how many rounds of a hundred a process is killed
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub kill_percent: u8,
    /// Chooses who is killed and when; the same number makes the same choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}
