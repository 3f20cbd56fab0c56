//! cloud-sync
