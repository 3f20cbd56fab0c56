//! cloud-dev
fn main() {}
