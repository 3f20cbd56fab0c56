//! The devices of cloud-sync's stories, with the tables of a real PostgreSQL.
//!
//! The stories are cloud-sync's own files, unchanged: they ask this module for a cloud and for devices. The
//! cloud is a development cloud (accounts, keys, faults, being offline) in front of a PostgREST of its own.

#[path = "../../cloud-sync/tests/integration/devices.rs"]
mod original;

use std::cell::RefCell;

use cloud_dev::{CloudDev, Running};
use tokio::sync::OnceCell;

pub(crate) use self::original::Device;
use crate::{
    lane::skip,
    postgres::{JWT_SECRET, Server, Tables, demo, http},
};

thread_local! {
    /// The tables of the clouds that this test starts, one after the other.
    static TABLES: RefCell<Option<Tables>> = const { RefCell::new(None) };
}

/// A cloud on an empty database with the demo data.
pub(crate) async fn cloud() -> Running {
    static SEED: OnceCell<String> = OnceCell::const_new();
    let builder = CloudDev::builder().jwt_secret(JWT_SECRET);
    let server = match Server::start().await {
        Ok(server) => server,
        Err(reason) => {
            skip("a story on PostgreSQL", reason);
            return builder.start().await.unwrap();
        }
    };
    let seed = SEED.get_or_init(async || {
        let cloud = CloudDev::builder().start().await.unwrap();
        let seed = demo::copy(&http(), &cloud, &[]).await;
        cloud.shutdown().await;
        seed
    });
    let seed = seed.await;
    let tables = match TABLES.take() {
        Some(tables) => {
            server.empty(&tables, seed);
            tables
        }
        None => server.tables(seed).await,
    };
    let cloud = builder.rest_upstream(&tables.url).start().await.unwrap();
    TABLES.set(Some(tables));
    cloud
}
