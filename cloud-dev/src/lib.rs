//! cloud-dev
