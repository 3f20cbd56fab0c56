//! Randomness for jitter and ids, from one seedable source so that a simulation repeats itself.
use std::sync::{Arc, Mutex, PoisonError};

/// A cheap-clone source of jitter. Never used for keys, verifiers or tokens.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<fastrand::Rng>>);

impl Default for Random {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::new())))
    }
}

impl Random {
    /// The same sequence for the same `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number in `[0, 1)`.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> uuid::Uuid {
        let bits = self.0.lock().unwrap_or_else(PoisonError::into_inner).u128(..);
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
