//! How long to wait before the next attempt: full jitter under a growing ceiling (R6). Connections and feeds share it.
use std::time::Duration;

use cloud_client::random::Random;

/// Not even chance makes a loop without a pause.
pub(crate) const SHORTEST: Duration = Duration::from_millis(500);
/// Ceiling of the first pause of whoever fails alone.
pub(crate) const ALONE: Duration = Duration::from_secs(2);
/// Ceiling of all others.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// What was of use for so long has worked: the next pause is short again.
pub(crate) const USEFUL: Duration = Duration::from_secs(30);

/// A pause whose ceiling has grown from `first` so many times.
pub(crate) fn jittered(first: Duration, doublings: u32, random: &Random) -> Duration {
    between(SHORTEST, LONGEST.min(first.saturating_mul(1 << doublings.min(8))), random)
}

/// A time between two, evenly.
pub(crate) fn between(least: Duration, most: Duration, random: &Random) -> Duration {
    least + most.saturating_sub(least).mul_f64(random.fraction())
}
