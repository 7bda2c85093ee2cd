//! The authorities whose certificates AWS's endpoints may have.
//!
//! Those of AWS itself are compiled in. The system's some 140 would be read and parsed at each start, and again for each new
//! client: of what a function needs to start, that was a quarter.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use aws_smithy_http_client::tls::{TlsContext, TrustStore};

use crate::settings::SettingError;

/// Amazon Trust Services (<https://www.amazontrust.com/repository/>): all of AWS's public endpoints in its commercial regions have
/// certificates of these. The first one expires in December 2037.
const AMAZON: &[u8] = include_bytes!("trust/amazon.pem");
/// A file of certificates to trust instead, as for AWS's other tools (AWS SDKs and Tools Reference Guide).
const BUNDLE: &str = "AWS_CA_BUNDLE";
/// Where rustls looks for the system's certificates, if set (rustls-native-certs).
const SYSTEM: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Calls go to other endpoints if a variable with this beginning is set (AWS SDKs and Tools Reference Guide, "Service-specific
/// endpoints"). Their certificates, if they have any, may be of other authorities.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Authorities {
    /// AWS's own.
    Amazon,
    /// Those of the system.
    System,
    /// Those in this file.
    File(PathBuf),
}

/// The authorities that the environment asks for.
///
/// # Errors
/// If the file that `AWS_CA_BUNDLE` names cannot be read or holds no certificates.
pub(crate) fn from_env() -> Result<TlsContext, SettingError> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into())));
    context(&choose(variables))
}

/// Those of the system.
pub(crate) fn of_system() -> TlsContext {
    TlsContext::default()
}

fn choose(variables: impl IntoIterator<Item = (String, PathBuf)>) -> Authorities {
    let mut chosen = Authorities::System;
    let mut asks_for_system = false;
    for (name, value) in variables.into_iter().filter(|(_, value)| !value.as_os_str().is_empty()) {
        if name == BUNDLE {
            return Authorities::File(value);
        }
        let starts_with = |start: &str| value.to_str().is_some_and(|value| value.starts_with(start));
        asks_for_system |= SYSTEM.contains(&name.as_str()) || (name.starts_with(ENDPOINT) && !starts_with("http:"));
        if name == "AWS_REGION" && value.to_str().is_some_and(is_commercial) {
            chosen = Authorities::Amazon;
        }
    }
    if asks_for_system { Authorities::System } else { chosen }
}

/// Whether a region is one of the commercial ones, such as `eu-west-1`. Those of China, governments and sovereign clouds may have
/// other authorities.
fn is_commercial(region: &str) -> bool {
    const AREAS: [&str; 9] = ["af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"];
    let mut parts = region.split('-');
    let area = parts.next().is_some_and(|area| AREAS.contains(&area));
    let place = parts.next().is_some_and(|place| !place.starts_with("iso") && place != "gov");
    area && place && parts.next().is_some_and(|number| number.parse::<u8>().is_ok()) && parts.next().is_none()
}

fn context(authorities: &Authorities) -> Result<TlsContext, SettingError> {
    let store = match authorities {
        Authorities::Amazon => TrustStore::empty().with_pem_certificate(AMAZON),
        Authorities::System => TrustStore::default(),
        Authorities::File(path) => TrustStore::empty().with_pem_certificate(read(path)?),
    };
    Ok(TlsContext::builder().with_trust_store(store).build().expect("building checks nothing"))
}

fn read(path: &Path) -> Result<Vec<u8>, SettingError> {
    let wrong = |why: &dyn Display| {
        SettingError::environment(
            BUNDLE,
            format!("names {}, {why}. Name a file of certificates in PEM", path.display()),
        )
    };
    let pem = std::fs::read(path).map_err(|error| wrong(&format!("which cannot be read ({error})")))?;
    let has_certificate = pem.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----");
    if has_certificate { Ok(pem) } else { Err(wrong(&"which holds no certificate")) }
}

#[cfg(test)]
mod tests {
    use aws_smithy_http_client::tls::Provider;
    use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Authorities {
        choose(variables.iter().map(|(name, value)| ((*name).to_owned(), PathBuf::from(value))))
    }

    #[test]
    fn environment_decides_which_authorities_are_trusted() {
        let region = ("AWS_REGION", "eu-west-1");
        for (variables, expected) in [
            (&[region][..], Authorities::Amazon),
            (&[region, ("SSL_CERT_FILE", "")], Authorities::Amazon),
            (&[region, ("SSL_CERT_FILE", "all.pem")], Authorities::System),
            (&[("SSL_CERT_DIR", "all"), region], Authorities::System),
            (&[region, ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")], Authorities::Amazon),
            (&[("AWS_ENDPOINT_URL_SQS", "https://proxy.bank.example"), region], Authorities::System),
            (
                &[region, ("SSL_CERT_FILE", "all.pem"), ("AWS_CA_BUNDLE", "bank.pem")],
                Authorities::File("bank.pem".into()),
            ),
            (&[("AWS_REGION", "cn-north-1")], Authorities::System),
            (&[], Authorities::System),
        ] {
            assert_eq!(chosen(variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn regions_outside_the_commercial_ones_are_known_by_their_names() {
        for (region, expected) in [
            ("us-east-1", true),
            ("ap-southeast-7", true),
            ("mx-central-1", true),
            ("cn-northwest-1", false),
            ("us-gov-west-1", false),
            ("us-iso-east-1", false),
            ("us-isob-east-1", false),
            ("eu-isoe-west-1", false),
            ("eusc-de-east-1", false),
            ("", false),
        ] {
            assert_eq!(is_commercial(region), expected, "{region}");
        }
    }

    #[tokio::test]
    async fn clients_can_be_made_with_each_set_of_authorities() {
        let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trust/amazon.pem"));
        for authorities in [Authorities::Amazon, Authorities::System, Authorities::File(file)] {
            let rustls = Provider::Rustls(CryptoMode::Ring);
            let context = context(&authorities).unwrap();
            // It panics if a certificate cannot be parsed.
            aws_smithy_http_client::Connector::builder().tls_provider(rustls).tls_context(context).build();
        }
    }

    #[test]
    fn a_file_that_is_no_bundle_is_an_error_that_names_it() {
        for (file, expected) in [("missing.pem", "cannot be read"), ("Cargo.toml", "holds no certificate")] {
            let error = context(&Authorities::File(file.into())).unwrap_err().to_string();
            assert!(error.contains("AWS_CA_BUNDLE") && error.contains(file) && error.contains(expected), "{error}");
        }
    }
}
