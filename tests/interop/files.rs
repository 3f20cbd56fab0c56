//! Files and streams as clients of other authors see them: supabase-js, tus-js-client, eventsource-parser.
//!
//! Wire source: Supabase Storage, TUS 1.0.0, the HTML standard's event streams, each as its client speaks it.

use std::time::Duration;

use cloud_dev::CloudDev;

use crate::lane::Lane;

#[tokio::test]
async fn supabase_js_keeps_files() {
    Lane { script: "supabase-files.mjs", checks: 23 }.run(CloudDev::builder()).await;
}

#[tokio::test]
async fn tus_js_client_uploads_in_chunks_and_goes_on() {
    Lane { script: "tus.mjs", checks: 12 }.run(CloudDev::builder()).await;
}

#[tokio::test]
async fn eventsource_parser_reads_every_event_of_the_proxy() {
    let cloud = CloudDev::builder().token_pace(Duration::from_millis(5)).heed_fault_header();
    Lane { script: "events.mjs", checks: 7 }.run(cloud).await;
}
