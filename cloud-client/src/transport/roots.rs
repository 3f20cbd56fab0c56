//! Certificate authorities that a host trusts besides the system's: PEM text in, checked certificates out.
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{Error, error::codes::ROOT_INVALID};

/// The certificates in `pem`, of which there must be one; other sections, such as a key put there by mistake, do not
/// count and are not kept.
pub(crate) fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let invalid = || Error::new(ROOT_INVALID);
    let roots: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|cause| invalid().with_source(cause))?;
    // Found now, with the host at hand, and not as a failed connection later.
    let mut store = RootCertStore::empty();
    for root in &roots {
        store.add(root.clone()).map_err(|cause| invalid().with_source(cause))?;
    }
    if roots.is_empty() { Err(invalid()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pem_with_a_whole_certificate_in_it_is_taken() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        assert_eq!(parse(good.as_bytes()).unwrap().len(), 1);
        assert_eq!(parse(format!("{good}\n{good}{}", key.serialize_pem()).as_bytes()).unwrap().len(), 2);
        for bad in [
            "",
            "no certificate",
            key.serialize_pem().as_str(),
            "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
            &good.replace("-----END CERTIFICATE-----", ""),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ROOT_INVALID, "{bad}");
        }
    }
}
