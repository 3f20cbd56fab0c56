//! Tokens without a session: for backends with one tenant, whose users are known some other way.
//!
//! | Source           | The token                                                             |
//! |------------------|-----------------------------------------------------------------------|
//! | [`ApiKeySource`] | one key that stays the same, as bearer or in a header of its own      |
//! | [`JwtSource`]    | whatever the host's own function returns, renewed before it ends      |
//!
//! A source is made for one client and speaks through that one only, so its token goes to no other origin (A11). It takes
//! the place that [`Auth`](crate::Auth) has otherwise: both are a [`TokenSource`](cloud_client::TokenSource).
mod api_key;
mod jwt;

pub use self::{
    api_key::ApiKeySource,
    jwt::{Jwt, JwtSource},
};
