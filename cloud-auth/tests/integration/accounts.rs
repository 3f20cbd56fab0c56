//! Several accounts and clouds in one store, each with its own session; the clouds are real and count what they see.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloud_auth::{
    Scope,
    accounts::{Accounts, Slot},
    codes::{ACCOUNT_UNKNOWN, STORE_TIMEOUT},
    store::{FileStore, SecretStoreHandle},
};
use cloud_client::{
    Client, Error, TokenSource as _,
    transport::{HttpTransport, Request, Response, SharedTransport, Transport},
};
use cloud_dev::{CloudDev, Running};
use http::header;
use secrecy::ExposeSecret as _;

use crate::disk::{Disk, Trouble};

/// Writes down which tokens went to which port.
#[derive(Clone, Debug)]
struct Watching {
    inner: SharedTransport,
    seen: Arc<Mutex<Vec<(u16, String)>>>,
}

#[async_trait]
impl Transport for Watching {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let port = request.url.port().unwrap_or_default();
        let bearer = request.headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("text").to_owned());
        self.seen.lock().expect("nobody panicked").extend(bearer.map(|bearer| (port, bearer)));
        self.inner.send(request).await
    }
}

struct Watch(Arc<Mutex<Vec<(u16, String)>>>);

impl Watch {
    fn client(&self, cloud: &Running) -> Client {
        let inner = SharedTransport::new(HttpTransport::new(true));
        let transport = SharedTransport::new(Watching { inner, seen: Arc::clone(&self.0) });
        Client::builder(cloud.url(), cloud.publishable_key()).expect("a good address").transport(transport).build()
    }
}

fn port(cloud: &Running) -> u16 {
    cloud.url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

#[tokio::test]
async fn a11_accounts_and_clouds_live_side_by_side_and_no_token_goes_astray() {
    let (one, two) = (CloudDev::builder().start().await.unwrap(), CloudDev::builder().start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logins");
    let accounts = Accounts::new(SecretStoreHandle::new(FileStore::new(&path)), "APP_");
    let watch = Watch(Arc::default());
    let (at_one, at_two) = (watch.client(&one), watch.client(&two));

    // Two people at the first cloud, one at the second.
    let mut tokens = Vec::new();
    for (cloud, client, person) in [(&one, &at_one, 0), (&one, &at_one, 1), (&two, &at_two, 0)] {
        let slot = accounts.add(client).await.unwrap();
        let auth = accounts.auth(client.clone(), slot).open();
        let demo = &cloud.demo().people[person];
        let user = auth.sign_in_with_password(&demo.email, demo.password.clone().into()).await.unwrap();
        auth.refresh().await.unwrap();
        let rows = auth.client().table("profiles").select(["id"]).eq("id", user.id.as_str());
        assert_eq!(rows.fetch::<serde_json::Value>().await.unwrap().into_vec().len(), 1);
        let token = auth.token().await.unwrap().unwrap().secret.expose_secret().to_owned();
        tokens.push((port(cloud), token));
        auth.close(Duration::from_secs(5)).await;
    }
    let seen = watch.0.lock().unwrap().clone();
    for (home, token) in &tokens {
        let uses: Vec<_> = seen.iter().filter(|(_, bearer)| bearer.ends_with(token)).map(|(port, _)| port).collect();
        assert!(!uses.is_empty() && uses.iter().all(|port| *port == home), "{uses:?} instead of {home}");
    }

    let list = accounts.list().await.unwrap();
    let shown: Vec<_> = list.iter().map(|account| (account.email.clone().unwrap(), account.active)).collect();
    let email = |cloud: &Running, n: usize| cloud.demo().people[n].email.clone();
    assert_eq!(shown, [(email(&one, 0), false), (email(&one, 1), true), (email(&two, 0), true)]);
    let json = serde_json::to_string(&list).unwrap();
    assert!(tokens.iter().all(|(_, token)| !json.contains(token)) && !json.contains("refresh"), "{json}");

    // The next start takes the active one; each slot has its own person.
    assert_eq!(accounts.active(&at_one).await.unwrap(), list[1].slot);
    accounts.switch(&at_one, list[0].slot).await.unwrap();
    let auth = accounts.auth(at_one.clone(), accounts.active(&at_one).await.unwrap()).open();
    assert_eq!(auth.settled().await.user().unwrap().email, Some(email(&one, 0)));

    // A sign-out of one leaves the others alone; removing it forgets it.
    auth.sign_out(Scope::Local).await.unwrap();
    auth.close(Duration::from_secs(5)).await;
    accounts.remove(&at_one, list[0].slot).await.unwrap();
    let left = accounts.list().await.unwrap();
    assert_eq!(left.iter().filter(|account| account.user.is_some()).count(), 2);
    assert_eq!(accounts.active(&at_one).await.unwrap(), list[1].slot, "the other one moves up");
    for wrong in [accounts.remove(&at_one, list[0].slot).await, accounts.switch(&at_one, list[0].slot).await] {
        assert_eq!(wrong.unwrap_err().code(), ACCOUNT_UNKNOWN);
    }
    let auth = accounts.auth(at_one.clone(), list[1].slot).open();
    assert_eq!(auth.settled().await.user().unwrap().email, Some(email(&one, 1)));
    auth.refresh().await.unwrap();
    auth.close(Duration::from_secs(5)).await;
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn the_first_slot_is_where_an_app_with_one_account_has_it() {
    let cloud = CloudDev::builder().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = SecretStoreHandle::new(FileStore::new(directory.path().join("logins")));
    let client = Client::builder(cloud.url(), cloud.publishable_key()).unwrap().build();
    let auth = cloud_auth::Auth::builder(client.clone(), store.clone()).key_prefix("APP_").open();
    let ada = &cloud.demo().people[0];
    auth.sign_in_with_password(&ada.email, ada.password.clone().into()).await.unwrap();
    auth.close(Duration::from_secs(5)).await;
    let accounts = Accounts::new(store, "APP_");
    assert_eq!(accounts.active(&client).await.unwrap(), Slot::FIRST);
    assert_eq!(accounts.add(&client).await.unwrap(), Slot::FIRST);
    assert_eq!(accounts.list().await.unwrap()[0].email.as_deref(), Some(ada.email.as_str()));
    cloud.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_up_the_list_of_accounts_for_ten_seconds() {
    let disk = Disk::default();
    let accounts = Accounts::new(SecretStoreHandle::new(disk.clone()), "APP_");
    for (call, trouble) in [(0, Trouble::HangBefore), (0, Trouble::HangAfter)] {
        disk.break_at(call, trouble);
        let listed = tokio::time::timeout(Duration::from_secs(11), accounts.list()).await;
        assert_eq!(listed.expect("it has an end").unwrap_err().code(), STORE_TIMEOUT, "{trouble:?}");
        disk.heal();
        assert!(accounts.list().await.unwrap().is_empty());
    }
}
