//! The tests that every secret store has to pass, for our own stores and for those of hosts.
use crate::store::{SecretKey, SecretStore};

/// Checks that `store` keeps what [`SecretStore`] promises. Works on keys of its own and removes them again.
///
/// # Errors
///
/// The promise that was not kept, as a sentence.
pub async fn secret_store_conformance(store: &dyn SecretStore) -> Result<(), String> {
    use secrecy::ExposeSecret as _;
    let failed = |what: &'static str| move |error: cloud_client::Error| format!("{what}: {error}");
    let (one, two) = (SecretKey::new("CONFORMANCE_ONE"), SecretKey::new("CONFORMANCE_TWO"));
    for key in [&one, &two] {
        store.delete(key).await.map_err(failed("removing what is not there is no error"))?;
    }
    let long = "ü\u{0}\"\\\n".repeat(1000);
    for value in ["first", "second", "", long.as_str()] {
        store.put(&one, value.into()).await.map_err(failed("a value can be put"))?;
        let read = store.get(&one).await.map_err(failed("a value can be read"))?;
        if read.as_ref().map(|read| read.expose_secret()) != Some(value) {
            return Err(format!("a value of {} bytes comes back as it was put", value.len()));
        }
    }
    if store.get(&two).await.map_err(failed("a missing value can be asked for"))?.is_some() {
        return Err("keys are apart from each other".to_owned());
    }
    store.put(&two, "other".into()).await.map_err(failed("a second value can be put"))?;
    store.delete(&one).await.map_err(failed("a value can be removed"))?;
    if store.get(&one).await.map_err(failed("a removed value can be asked for"))?.is_some() {
        return Err("a removed value is gone".to_owned());
    }
    if store.get(&two).await.map_err(failed("the other value can be read"))?.is_none() {
        return Err("removing one value leaves the others".to_owned());
    }
    // Calls on one key take effect in the order they were made.
    let (first, second) = (store.put(&one, "1".into()), store.put(&one, "2".into()));
    let (first, second) = futures::join!(first, second);
    first.and(second).map_err(failed("two puts at once both succeed"))?;
    let read = store.get(&one).await.map_err(failed("a value can be read"))?;
    if read.as_ref().map(|read| read.expose_secret()) != Some("2") {
        return Err("the later of two puts wins".to_owned());
    }
    if format!("{store:?}").contains("other") {
        return Err("a store does not print its secrets".to_owned());
    }
    // The lock can be taken again after it was freed, and does not keep its holder from reading and writing.
    for _ in 0..2 {
        let lock = store.lock().await.map_err(failed("a free lock can be taken"))?;
        store.put(&one, "3".into()).await.map_err(failed("a value can be put under the lock"))?;
        store.get(&one).await.map_err(failed("a value can be read under the lock"))?;
        drop(lock);
    }
    for key in [&one, &two] {
        store.delete(key).await.map_err(failed("a value can be removed"))?;
    }
    Ok(())
}
