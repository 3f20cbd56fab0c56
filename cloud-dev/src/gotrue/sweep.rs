//! Forgetting what was begun and never ended: sign-ins, challenges, the tokens of long ago.
//!
//! Each is called where its rows are written, in the same transaction, and costs a look at an index. A row stays a day
//! after nobody can use it any more, so that who is late hears that, and not that there never was such a thing; when
//! there are very many, the oldest go sooner.
//! Wire source: GoTrue's cleanup, which forgets flows and challenges after 24 h.

use std::time::Duration;

use super::call::Tx;

/// How long a row stays that nobody can use.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Most sign-ins that are kept. Anybody may begin one, and nobody is known by then, so who begins very many pushes out
/// the sign-ins of others; each counts, whether it ended or not.
pub(crate) const FLOWS: i64 = 5_000;

/// Most challenges of one factor.
pub(crate) const CHALLENGES: i64 = 100;

/// Most refresh tokens of one session, the spent ones included: how far back a theft is noticed.
pub(crate) const GENERATIONS: i64 = 1_000;

/// Forgets sign-ins; to be called after one was inserted.
pub(crate) fn flows(tx: &Tx<'_>) -> rusqlite::Result<usize> {
    // A mailed link may be opened late, and the code behind it then has its own time.
    let used = tx.settings().code_lifetime + tx.settings().flow_lifetime;
    tx.conn
        .prepare_cached("DELETE FROM auth_flow_states WHERE created_at < ?1 OR serial <= last_insert_rowid() - ?2")?
        .execute([before(tx, used), FLOWS])
}

/// Forgets challenges that are old, and the oldest of a factor; to be called after one was inserted.
pub(crate) fn challenges(tx: &Tx<'_>, factor: &str, lifetime: Duration) -> rusqlite::Result<usize> {
    tx.conn
        .prepare_cached(
            "DELETE FROM auth_challenges WHERE created_at < ?1 OR factor_id = ?2 AND rowid <=
                 (SELECT rowid FROM auth_challenges WHERE factor_id = ?2 ORDER BY rowid DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute((before(tx, lifetime), factor, CHALLENGES))
}

/// Forgets the oldest spent tokens of a session; the current one and its predecessors stay.
pub(crate) fn tokens(tx: &Tx<'_>, session: &str) -> rusqlite::Result<usize> {
    tx.conn
        .prepare_cached(
            "DELETE FROM auth_refresh_tokens WHERE session_id = ?1 AND revoked_at IS NOT NULL AND serial <=
                 (SELECT serial FROM auth_refresh_tokens WHERE session_id = ?1 ORDER BY serial DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute((session, GENERATIONS))
}

/// The time before which a row was written that is not kept any more, if rows can be used for so long.
fn before(tx: &Tx<'_>, used: Duration) -> i64 {
    tx.now.saturating_sub(i64::try_from((used + KEPT).as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rusqlite::Connection;

    use super::*;
    use crate::{
        core::{db, schema},
        gotrue::{
            Auth, create,
            mail::code::{self, Draft, Kind},
            mfa::verify,
            pkce::{Challenge, Flow},
            session::{self, refresh},
            settings::AuthSettings,
        },
    };

    const DAY: i64 = 24 * 3_600_000_000;

    /// The tables of accounts, in one long transaction, with a person and a factor of theirs.
    struct Accounts {
        conn: Connection,
        auth: Auth,
        now: i64,
    }

    impl Accounts {
        fn new() -> Self {
            let conn = Connection::open_in_memory().unwrap();
            db::register(&conn).unwrap();
            schema::create(&conn).unwrap();
            create(&conn).unwrap();
            conn.execute_batch(
                "BEGIN;
                 INSERT INTO auth_users (id, email) VALUES ('ada', 'ada@example.com');
                 INSERT INTO auth_factors (id, user_id, friendly_name, secret, enrolled_at) VALUES ('f', 'ada', '', '', 0);",
            )
            .unwrap();
            Self { conn, auth: Auth::new(AuthSettings::default()).unwrap(), now: 1_000 * DAY }
        }

        fn tx(&self) -> Tx<'_> {
            Tx { conn: &self.conn, auth: &self.auth, url: "", now: self.now, letters: RefCell::default() }
        }

        fn rows(&self, table: &str) -> i64 {
            self.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        }

        fn begin(&self) -> String {
            let challenge = Challenge::new(Some(&"a".repeat(43)), Some("s256")).unwrap();
            let flow = Flow::new(challenge, "github", "oauth");
            flow.insert(&self.tx()).unwrap();
            flow.id
        }

        fn knows(&self, flow: &str) -> bool {
            Flow::by_id(&self.tx(), flow).unwrap().is_some()
        }
    }

    #[test]
    fn ten_thousand_abandoned_sign_ins_leave_a_bounded_table() {
        let mut accounts = Accounts::new();
        for _ in 0..10_000 {
            accounts.begin();
        }
        assert_eq!(accounts.rows("auth_flow_states"), FLOWS);
        let first = accounts.begin();
        accounts.now += DAY;
        accounts.begin();
        assert!(accounts.knows(&first), "who is late is told so, for a day");
        accounts.now += 2 * DAY;
        let last = accounts.begin();
        assert_eq!(
            (accounts.knows(&first), accounts.knows(&last), accounts.rows("auth_flow_states")),
            (false, true, 2)
        );
    }

    #[test]
    fn thousands_of_unanswered_challenges_of_one_factor_leave_few_and_those_of_another_alone() {
        let mut accounts = Accounts::new();
        let other = "INSERT INTO auth_factors (id, user_id, friendly_name, secret, enrolled_at) VALUES ('g', 'ada', 'g', '', 0)";
        accounts.conn.execute_batch(other).unwrap();
        let untouched = verify::begin(&accounts.tx(), "g").unwrap();
        for _ in 0..FLOWS + 1_000 {
            verify::begin(&accounts.tx(), "f").unwrap();
        }
        assert_eq!(accounts.rows("auth_challenges"), CHALLENGES + 1);
        let kept = "SELECT count(*) FROM auth_challenges WHERE id = ?1";
        assert_eq!(accounts.conn.query_row(kept, [untouched], |row| row.get::<_, i64>(0)).unwrap(), 1);
        accounts.now += 2 * DAY;
        verify::begin(&accounts.tx(), "f").unwrap();
        assert_eq!(accounts.rows("auth_challenges"), 1);
    }

    #[test]
    fn when_a_mail_was_sent_stays_known_however_long_ago_and_each_kind_is_one_row() {
        let mut accounts = Accounts::new();
        let draft = |kind| Draft { kind, name: "recovery", to: "ada@example.com", redirect_to: "", pkce: false };
        for kind in [Kind::Recovery, Kind::Confirmation] {
            code::send(&accounts.tx(), "ada", &draft(kind)).unwrap();
        }
        accounts.now += 100 * DAY;
        for _ in 0..3 {
            code::send(&accounts.tx(), "ada", &draft(Kind::Recovery)).unwrap();
        }
        assert_eq!(accounts.rows("auth_one_time_tokens"), 2);
    }

    #[test]
    fn a_session_that_is_renewed_for_ever_keeps_so_many_tokens_and_forgives_a_lost_reply() {
        let accounts = Accounts::new();
        let mut held = session::start(&accounts.tx(), "ada", "password").unwrap().refresh_token;
        let other = session::start(&accounts.tx(), "ada", "password").unwrap().refresh_token;
        let renew = |token: &str| refresh::exchange(&accounts.tx(), token, Duration::ZERO).unwrap().map(|(new, _)| new);
        let mut spent = String::new();
        for _ in 0..GENERATIONS + 50 {
            let next = renew(&held).unwrap().refresh_token;
            spent = std::mem::replace(&mut held, next);
        }
        assert_eq!(accounts.rows("auth_refresh_tokens"), GENERATIONS + 1);
        assert_eq!(renew(&spent).unwrap().refresh_token, held, "the predecessor still answers with the current one");
        assert!(renew(&other).is_ok(), "another session has lost nothing");
    }
}
