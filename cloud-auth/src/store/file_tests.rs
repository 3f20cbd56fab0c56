//! What the file store does to the disk.
