//! The transport below the guard: plain HTTP or TLS, with the certificates that are trusted. No proxy, no redirects.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

/// How long an unused connection is kept. Servers close theirs after about a minute, and a request on a connection that
/// is just being closed costs a repetition.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

fn builder() -> Builder {
    Builder::new().pool_idle_timeout(IDLE_CONNECTION)
}

/// A client that speaks plain HTTP only.
pub(super) fn plain() -> SharedHttpClient {
    builder().build_http()
}

/// A client that trusts the system's certificates, or if there are any, only those in `ca_pem`.
///
/// # Errors
/// What is wrong with `ca_pem`.
pub(super) fn encrypted(ca_pem: &str) -> Result<SharedHttpClient, String> {
    let builder = builder().tls_provider(Provider::Rustls(CryptoMode::Ring));
    if ca_pem.trim().is_empty() {
        return Ok(builder.build_https());
    }
    // Checked here, because below it would be a panic.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("not a PEM file of certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate cannot be trusted: {error}"))?;
    }
    if roots.is_empty() {
        return Err("it contains no certificate".to_owned());
    }
    let trusted = TrustStore::empty().with_pem_certificate(ca_pem.as_bytes());
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| error.to_string())?;
    Ok(builder.tls_context(context).build_https())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_an_error_and_no_panic() {
        for bad in [
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(encrypted(bad).is_err(), "{bad}");
        }
        assert!(encrypted(" \n").is_ok());
    }
}
