//! cloud-auth
