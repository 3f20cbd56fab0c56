//! cloud-realtime
