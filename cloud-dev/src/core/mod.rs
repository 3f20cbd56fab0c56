//! What every service of the cloud stands on: the database, who is asking, and the rules.
//!
//! | Module     | What lives there                                             |
//! |------------|--------------------------------------------------------------|
//! | [`db`]     | one SQLite connection on its own thread, and its functions   |
//! | [`changes`] | what each commit did to the tables                          |
//! | [`clock`]  | what time it is for the services                             |
//! | [`deadline`] | how long a job may keep the database                       |
//! | [`schema`] | the tables an application sees, with their triggers          |
//! | [`policy`] | which rows a person may see or change                        |
//! | [`tokens`] | the refresh token family: a pure decision                    |
//! | [`jwt`]    | signing and checking access tokens                           |

pub(crate) mod changes;
pub(crate) mod clock;
pub(crate) mod db;
mod deadline;
pub(crate) mod jwt;
pub(crate) mod policy;
pub(crate) mod schema;
pub(crate) mod tokens;

/// The database role a request runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody signed in.
    Anon,
    /// A signed-in person.
    Authenticated,
    /// The cloud itself, past every row policy.
    Service,
}

/// Who a request speaks for, after its token was checked.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The role that decides which policies apply.
    pub(crate) role: Role,
    /// The person, if the role is a person's.
    pub(crate) user_id: Option<String>,
    /// The claims of the checked token; `{}` without one.
    #[expect(dead_code, reason = "no policy of the demo tables reads a claim yet")]
    pub(crate) claims: serde_json::Value,
}

impl Identity {
    /// The identity of a request without a user token.
    pub(crate) fn anon() -> Self {
        Self { role: Role::Anon, user_id: None, claims: serde_json::json!({}) }
    }

    /// The cloud's own identity, past every policy.
    pub(crate) fn service() -> Self {
        Self { role: Role::Service, user_id: None, claims: serde_json::json!({}) }
    }
}
