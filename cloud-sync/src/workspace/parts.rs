//! Going through parts of which some may be refused: the first failure is told at the end, and a failure that the others
//! would share ends the walk.
use cloud_client::{Error, ErrorKind};

use crate::codes::{NO_ORDER, NOT_LINKED, WORKSPACE_GONE};

/// The parts gone through so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    first: Option<Error>,
}

impl Parts {
    /// What a part gave; `None` when it was refused and the next ones are to be tried all the same (O6).
    ///
    /// # Errors
    ///
    /// A failure that the next parts would meet as well.
    pub(super) fn part<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_refusal(&error) => {
                self.first.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first failure, if there was one.
    pub(super) fn end(self) -> Result<(), Error> {
        self.first.map_or(Ok(()), Err)
    }
}

/// Whether the cloud refused one part and may well take another. Anything else would meet every part: there is no cloud, no
/// session, no store, or no workspace any more (B4).
pub(super) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{Closed, Config, Local, Network, QuotaExceeded, RateLimited, Server, Timeout, Unauthenticated};
    let met_by_all = matches!(
        error.kind(),
        Closed | Config | Local | Network | QuotaExceeded | RateLimited | Server | Timeout | Unauthenticated
    );
    !met_by_all && ![NO_ORDER, NOT_LINKED, WORKSPACE_GONE].contains(&error.code())
}

#[cfg(test)]
mod tests {
    use cloud_client::error::codes::{CONNECT, FORBIDDEN};

    use super::*;

    #[test]
    fn o06_the_first_failure_is_told_at_the_end_and_one_that_all_would_meet_at_once() {
        let failed = |code| Err::<(), _>(Error::new(code));
        let mut parts = Parts::default();
        assert_eq!(parts.part(failed(FORBIDDEN)).unwrap(), None);
        assert_eq!(parts.part(Ok(7)).unwrap(), Some(7));
        assert_eq!(parts.part(failed(crate::codes::READ_ONLY)).unwrap(), None);
        assert_eq!(parts.end().unwrap_err().code(), FORBIDDEN);
        for code in [CONNECT, NO_ORDER, NOT_LINKED, WORKSPACE_GONE, crate::codes::STORE_CLOSED] {
            assert_eq!(Parts::default().part(failed(code)).unwrap_err().code(), code);
        }
        parts = Parts::default();
        assert_eq!(parts.part(failed(FORBIDDEN)).unwrap(), None);
        assert_eq!(parts.part(failed(CONNECT)).unwrap_err().code(), CONNECT, "a cloud that is away is told as such");
        assert!(Parts::default().end().is_ok());
    }
}
