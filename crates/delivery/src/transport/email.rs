//! The e-mail transport that a setting selects: SES or an SMTP server.

use std::time::Duration;

use domain::TransportId;
use domain::transport::OptionalTransport;
use futures::FutureExt;
use jiff::Timestamp;
use runtime::Aws;
use runtime::settings::{self, SettingError};

use super::ses::SesTransport;
use super::smtp::tls::Authority;
use super::smtp::{HelloName, InvalidHelloName, ServerSettings, SettingsError, SettingsSource, SmtpTransport};
use super::{Accepted, SendError, Transport};
use crate::compose::mime::Email;

/// SES or an SMTP server.
pub enum EmailTransport {
    /// Amazon SES.
    Ses(SesTransport),
    /// An SMTP server.
    Smtp(SmtpTransport),
}

/// Why the transport of a setting cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The domain of the sender's address is no name for `EHLO`.
    #[error("the domain of the parameter FromAddress cannot be used with SMTP: {0}; SmtpHelloName sets another name")]
    SenderDomain(#[source] InvalidHelloName),
    /// The transport is for another channel.
    #[error("the parameter {setting} names {id}, which does not carry e-mail; expected ses or smtp")]
    NotEmail {
        /// The parameter.
        setting: &'static str,
        /// Its value.
        id: TransportId,
    },
}

impl EmailTransport {
    /// Opens the transport that the parameter `setting` names. `sender_domain` is the default of our name in `EHLO`.
    ///
    /// # Errors
    /// If the setting names no e-mail transport, or a setting of that transport is missing or wrong.
    pub fn primary(aws: &Aws, setting: &'static str, sender_domain: &str) -> Result<Self, OpenError> {
        Self::open(settings::parameter(setting)?, setting, aws, sender_domain)
    }

    /// Opens the transport that the parameter `setting` names, unless that is `none` or the same as `first`.
    ///
    /// # Errors
    /// As [`EmailTransport::primary`].
    pub fn fallback(
        aws: &Aws,
        setting: &'static str,
        first: TransportId,
        sender_domain: &str,
    ) -> Result<Option<Self>, OpenError> {
        let OptionalTransport(id) = settings::parameter(setting)?;
        id.filter(|id| *id != first).map(|id| Self::open(id, setting, aws, sender_domain)).transpose()
    }

    /// Checks what no message should have to find out, when the function starts.
    ///
    /// # Errors
    /// If a parameter cannot be used.
    pub async fn check(&self) -> Result<(), SettingError> {
        match self {
            Self::Ses(_) => Ok(()),
            Self::Smtp(smtp) => smtp.check().await,
        }
    }

    fn open(id: TransportId, setting: &'static str, aws: &Aws, sender_domain: &str) -> Result<Self, OpenError> {
        match id {
            TransportId::Ses => Ok(Self::Ses(SesTransport::new(aws, settings::optional("SES_CONFIGURATION_SET")?))),
            TransportId::Smtp => {
                let server = server(aws)?;
                let hello: Option<HelloName> = settings::optional_parameter("SmtpHelloName")?;
                let hello = hello.map_or_else(|| sender_domain.parse(), Ok).map_err(OpenError::SenderDomain)?;
                Ok(Self::Smtp(SmtpTransport::new(server, hello, aws.sources().clone())))
            }
            TransportId::Sns => Err(OpenError::NotEmail { setting, id }),
        }
    }
}

/// Reads the secrets each time it is called, so that a change takes effect without a deployment.
fn server(aws: &Aws) -> Result<SettingsSource, SettingError> {
    let (aws, url) = (aws.clone(), settings::required::<String>("SMTP_URL_SECRET_ARN")?);
    let authority: Option<String> = settings::optional("SMTP_CERTIFICATE_AUTHORITY_SECRET_ARN")?;
    let is_in_vpc = settings::optional_parameter::<String>("VpcSubnetIds")?.is_some();
    Ok(Box::new(move || {
        let (aws, url, authority) = (aws.clone(), url.clone(), authority.clone());
        async move {
            let read =
                async |arn: &str| aws.secret(arn).await.map_err(|error| SettingsError::Unavailable(error.to_string()));
            let authority = async {
                match authority {
                    Some(arn) => Ok(Some(authority_in(&read(&arn).await?)?)),
                    None => Ok(None),
                }
            };
            let (url, authority) = futures::try_join!(read(&url), authority)?;
            Ok(ServerSettings { url, authority, is_port_25_closed: !is_in_vpc })
        }
        .boxed()
    }))
}

fn authority_in(pem: &str) -> Result<Authority, SettingError> {
    pem.parse().map_err(|error| SettingError::parameter("SmtpCertificateAuthority", format!("is invalid: {error}")))
}

impl Transport for EmailTransport {
    type Message = Email;

    fn id(&self) -> TransportId {
        match self {
            Self::Ses(ses) => ses.id(),
            Self::Smtp(smtp) => smtp.id(),
        }
    }

    fn max_duration(&self) -> Duration {
        match self {
            Self::Ses(ses) => ses.max_duration(),
            Self::Smtp(smtp) => smtp.max_duration(),
        }
    }

    async fn send(&self, email: &Email, until: Timestamp) -> Result<Accepted, SendError> {
        match self {
            Self::Ses(ses) => ses.send(email, until).await,
            Self::Smtp(smtp) => smtp.send(email, until).await,
        }
    }
}
