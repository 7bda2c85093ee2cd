//! What carries e-mail, as the template's parameters say.

use std::str::FromStr;

use delivery::transport::aws_error::RESPONSE_TIMEOUT;
use delivery::transport::smtp::UrlSource;
use delivery::{Accepted, Email, SendError, SesTransport, SmtpTransport, Transport};
use domain::TransportId;
use futures::FutureExt;
use jiff::Timestamp;
use lambda_runtime::Error;
use runtime::{Aws, settings};

/// Reads a secret each time it is asked.
fn secret(aws: &Aws, arn: String) -> UrlSource {
    let aws = aws.clone();
    Box::new(move || {
        let (aws, arn) = (aws.clone(), arn.clone());
        async move { aws.secret(&arn).await.map_err(|error| error.to_string()) }.boxed()
    })
}

/// The kinds of transports, by the names that the template gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Ses,
    Smtp,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        match string {
            "none" => Ok(Self::None),
            "ses" => Ok(Self::Ses),
            "smtp" => Ok(Self::Smtp),
            _ => Err("must be ses, smtp or none"),
        }
    }
}

/// One of them.
pub(crate) enum Carrier {
    Ses(SesTransport),
    Smtp(SmtpTransport),
}

impl Carrier {
    pub(crate) fn new(kind: Kind, aws: &Aws) -> Result<Option<Self>, Error> {
        Ok(match kind {
            Kind::None => None,
            Kind::Ses => {
                let client = aws_sdk_sesv2::Client::new(&aws.one_attempt(RESPONSE_TIMEOUT));
                Some(Self::Ses(SesTransport::new(client, settings::optional("SES_CONFIGURATION_SET")?)))
            }
            Kind::Smtp => {
                let url = secret(aws, settings::required("SMTP_URL_SECRET_ARN")?);
                Some(Self::Smtp(SmtpTransport::new(url, settings::optional("SMTP_CERTIFICATE_AUTHORITY")?)))
            }
        })
    }
}

impl Transport for Carrier {
    type Message = Email;

    fn id(&self) -> TransportId {
        match self {
            Self::Ses(ses) => ses.id(),
            Self::Smtp(smtp) => smtp.id(),
        }
    }

    async fn send(&self, email: &Email, until: Timestamp) -> Result<Accepted, SendError> {
        match self {
            Self::Ses(ses) => ses.send(email, until).await,
            Self::Smtp(smtp) => smtp.send(email, until).await,
        }
    }
}
