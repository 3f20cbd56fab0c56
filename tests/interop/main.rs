//! Clients that other people wrote take the development cloud for the real thing, and the SDK works with their servers.
//!
//! Each test starts a cloud in this process. Most hand its address to a script in `js/` that uses a published client,
//! unchanged and at a fixed version, and prints one line per check; those of [`python`] are in `py/`, [`curl`] calls
//! curl. The SDK itself meets a server of another author in [`tus_server`], reverse proxies in [`proxies`], and
//! Chromium with a provider of another author in [`browser`]. On a machine where a program is missing and cannot be
//! installed the tests say so and pass, unless `CLOUD_SDK_INTEROP=required`. To see every check:
//!
//! ```text
//! cargo test -p cloud-sdk --test interop -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod clients;
#[cfg(target_os = "linux")]
mod clocks;
#[cfg(unix)]
#[path = "../../cloud-sync/tests/integration/conversations.rs"]
mod conversations;
mod curl;
#[cfg(unix)]
#[expect(dead_code, unreachable_pub, reason = "partly files of another test")]
mod devices;
#[cfg(unix)] // PostgreSQL is stopped by a shell
mod differential;
#[cfg(unix)]
#[path = "../../cloud-sync/tests/integration/faults.rs"]
mod faults;
mod files;
#[cfg(target_os = "linux")]
mod keyring;
mod lane;
#[cfg(unix)]
mod litellm;
#[cfg(unix)]
mod oidc;
#[cfg(unix)]
mod postgres;
#[cfg(unix)]
mod proxies;
mod python;
#[cfg(unix)]
#[path = "../../cloud-sync/tests/integration/state.rs"]
mod state;
#[cfg(unix)]
mod topics;
mod tus_server;
#[cfg(unix)]
mod writers;

use std::time::Duration;

use cloud_dev::{Builder, CloudDev, RealtimeOptions};

use crate::lane::Lane;

#[tokio::test]
async fn supabase_js_signs_in_and_out_and_calls_functions() {
    // Without an interval, only the token that was spent last is good for a second time.
    let cloud = cloud().refresh_reuse_interval(Duration::ZERO);
    Lane { script: "supabase-accounts.mjs", checks: 25 }.run(cloud).await;
}

#[tokio::test]
async fn supabase_js_signs_in_in_every_way_it_knows() {
    Lane { script: "supabase-sign-in.mjs", checks: 16 }.run(cloud().open_controls().sso_domain("corp.example")).await;
}

#[tokio::test]
async fn supabase_js_signs_up_where_addresses_are_confirmed() {
    let cloud = cloud().open_controls().sso_domain("corp.example").require_email_confirmation();
    Lane { script: "supabase-confirm.mjs", checks: 21 }.run(cloud).await;
}

#[tokio::test]
async fn supabase_js_reads_and_writes_tables_under_their_policies() {
    Lane { script: "supabase-tables.mjs", checks: 45 }.run(cloud()).await;
}

#[tokio::test]
async fn supabase_js_refreshes_by_itself() {
    // It refreshes what has less than 90 s to live: before every request.
    let cloud = cloud().access_token_lifetime(Duration::from_secs(60)).heed_fault_header();
    Lane { script: "supabase-refresh.mjs", checks: 7 }.run(cloud).await;
}

#[tokio::test]
async fn supabase_js_and_phoenix_hold_live_connections() {
    let cloud = cloud().realtime(RealtimeOptions::default().rooms());
    Lane { script: "live.mjs", checks: 10 }.run(cloud).await;
}

#[tokio::test]
async fn openai_streams_from_the_proxy() {
    let cloud = cloud().token_pace(Duration::from_millis(2)).heed_fault_header();
    Lane { script: "openai.mjs", checks: 21 }.run(cloud).await;
}

fn cloud() -> Builder {
    CloudDev::builder()
}
