//! Clocks that stop, jump and lie, against the two rules of `expiry`.
use proptest::prelude::*;

use super::*;

const LEEWAY: Duration = Duration::from_secs(60);

fn at(monotonic: u64, wall: u64) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + wall);
    Moment { monotonic: Duration::from_secs(monotonic), wall }
}

fn access(lifetime: u64, asked: Moment) -> Access {
    Access::new(AccessToken::new("at".into(), 1), 1, Duration::from_secs(lifetime), asked, LEEWAY)
}

#[test]
fn a10_the_earlier_of_both_clocks_ends_a_token() {
    let token = access(3600, at(10, 10));
    assert_eq!(token.remaining(at(10, 10)), Duration::from_secs(3600));
    assert_eq!(token.remaining(at(3610, 10)), Duration::ZERO, "a wall clock that stands still");
    assert_eq!(token.remaining(at(10, 3610)), Duration::ZERO, "a machine that slept");
    assert_eq!(token.remaining(at(1010, 0)), Duration::from_secs(2600), "a wall clock set back");
    assert!(token.is_fresh(at(3500, 3500)) && !token.is_fresh(at(3550, 3550)) && token.is_alive(at(3550, 3550)));
    assert_eq!(token.renew_in(at(10, 10)), Duration::from_secs(3540));
}

#[test]
fn a_short_lived_token_is_not_stale_from_the_start() {
    let token = access(40, at(0, 0));
    assert!(token.is_fresh(at(0, 0)));
    assert_eq!(token.renew_in(at(0, 0)), Duration::from_secs(30));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Refreshes whenever the token looks stale, while the wall clock jumps at will, mostly ahead.
    #[test]
    fn a09_no_clock_causes_more_than_twelve_refreshes_in_any_hour(
        jumps in proptest::collection::vec(-20_000_i64..40_000, 200),
        step in 1_u64..120,
    ) {
        let mut pace = Pace::default();
        let mut wall = 10_000_000_i64;
        let mut token = access(3600, at(0, wall.unsigned_abs()));
        let (mut refreshed, mut wanted) = (Vec::new(), 0);
        for (n, jump) in jumps.iter().enumerate() {
            wall += jump;
            let now = at(n as u64 * step, wall.unsigned_abs());
            if token.is_fresh(now) {
                continue;
            }
            wanted += 1;
            if pace.wait(now, token.lifetime()).is_none() {
                pace.count(now);
                refreshed.push(now.monotonic);
                token = access(3600, now);
            }
        }
        prop_assert!(wanted > REFRESHES_AN_HOUR, "such clocks would cause more: {wanted}");
        for first in &refreshed {
            let hour = refreshed.iter().filter(|other| *other >= first && **other < *first + HOUR).count();
            prop_assert!(hour <= REFRESHES_AN_HOUR, "{hour} in an hour");
        }
    }

    #[test]
    fn a_short_lifetime_is_never_starved(lifetime in 30_u64..600) {
        let mut pace = Pace::default();
        for n in 0..200 {
            let now = at(n * lifetime * 3 / 4, 0);
            prop_assert_eq!(pace.wait(now, Duration::from_secs(lifetime)), None);
            pace.count(now);
        }
    }
}
