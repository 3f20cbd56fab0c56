//! A face for programs without an async runtime: command-line tools, scripts, tests of a host.
//!
//! Queries are built as always, with [`Client::table`] and [`Client::function`]; the methods here send them and wait.
//! The handle owns a runtime that lives on the calling thread and only runs while a method waits: connections are kept
//! between calls, but nothing happens between them. Several threads may share a handle. Anything else of the family
//! runs through [`Client::block_on`].
//!
//! ```no_run
//! use cloud_client::blocking::Client;
//!
//! # fn main() -> Result<(), cloud_client::Error> {
//! let cloud = Client::new(cloud_client::Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build())?;
//! let rows = cloud.fetch::<serde_json::Value>(&cloud.table("workspaces").select(["id", "name"]).limit(20))?;
//! println!("{} workspaces", rows.len());
//! # Ok(()) }
//! ```
use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{
    Error,
    error::codes::{BLOCKING_IN_ASYNC, INTERNAL},
    functions::Function,
    rest::{Delete, Insert, Rows, Select, Table, Update},
};

/// A handle on one cloud that waits. Cheap to clone; clones share runtime and connections.
#[derive(Clone)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Owned>,
}

/// A runtime that may be dropped anywhere: the plain one panics when it is dropped inside another.
#[derive(Debug)]
struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waiting inside an async runtime would stop the very thread that has to do the work.
fn outside_async() -> Result<(), Error> {
    if Handle::try_current().is_ok() { Err(Error::new(BLOCKING_IN_ASYNC)) } else { Ok(()) }
}

impl Client {
    /// A waiting face of `client`, which goes on to work by itself.
    ///
    /// # Errors
    ///
    /// `client.blocking_in_async` inside an async runtime, `client.internal` when the system gives no runtime.
    pub fn new(client: crate::Client) -> Result<Self, Error> {
        outside_async()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| Error::new(INTERNAL).during("start a runtime").with_source(cause))?;
        Ok(Self { client, runtime: Arc::new(Owned(Some(runtime))) })
    }

    /// The client underneath, for what [`Client::block_on`] runs.
    pub fn client(&self) -> &crate::Client {
        &self.client
    }

    /// Queries of one table or view, to be sent with a method of this handle.
    pub fn table(&self, name: impl Into<String>) -> Table {
        self.client.table(name)
    }

    /// An edge function, to be run with [`Client::invoke`].
    pub fn function(&self, name: impl Into<String>) -> Function {
        self.client.function(name)
    }

    /// Waits for any future of the family.
    ///
    /// # Errors
    ///
    /// `client.blocking_in_async` inside an async runtime, also on a thread of its `spawn_blocking`; use a thread of
    /// your own there. What the future gives is inside.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        outside_async()?;
        // Taken out only when the last clone drops.
        let runtime = self.runtime.0.as_ref().ok_or_else(|| Error::new(INTERNAL))?;
        Ok(runtime.block_on(work))
    }

    /// Reads rows.
    ///
    /// # Errors
    ///
    /// As [`Select::fetch`] and [`Client::block_on`].
    pub fn fetch<T: DeserializeOwned>(&self, query: &Select) -> Result<Rows<T>, Error> {
        self.block_on(query.fetch())?
    }

    /// Inserts rows and expects nothing back.
    ///
    /// # Errors
    ///
    /// As [`Insert::send`] and [`Client::block_on`].
    pub fn insert(&self, rows: Insert) -> Result<(), Error> {
        self.block_on(rows.send())?
    }

    /// Updates rows and tells how many were hit.
    ///
    /// # Errors
    ///
    /// As [`Update::affected`] and [`Client::block_on`].
    pub fn update(&self, change: Update) -> Result<usize, Error> {
        self.block_on(change.affected())?
    }

    /// Deletes rows and tells how many were hit.
    ///
    /// # Errors
    ///
    /// As [`Delete::affected`] and [`Client::block_on`].
    pub fn delete(&self, rows: Delete) -> Result<usize, Error> {
        self.block_on(rows.affected())?
    }

    /// Invokes a function with a JSON body and reads a JSON answer.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`] and [`Client::block_on`].
    pub fn invoke<T: DeserializeOwned>(
        &self,
        function: &Function,
        body: &(impl Serialize + ?Sized + Sync),
    ) -> Result<T, Error> {
        self.block_on(function.invoke(body))?
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Client").field(&self.client).finish()
    }
}
