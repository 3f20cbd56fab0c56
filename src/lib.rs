//! cloud-sdk
