//! The caller's identity.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lambda_http::request::RequestContext;

/// The caller's principal: the ARN of the user or role whose signature API Gateway verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

impl Caller {
    /// The principal without the name of its session, which an assumed role gets anew whenever the caller's process is
    /// replaced. So it is the same for all processes of a service.
    pub fn without_session(&self) -> &str {
        let principal = self.0.as_str();
        // arn:<partition>:sts:<region, empty>:<account>:assumed-role/<role>/<session>
        let mut parts = principal.splitn(6, ':');
        let (service, resource) = (parts.nth(2), parts.nth(2));
        let role =
            resource.filter(|_| service == Some("sts")).and_then(|resource| resource.strip_prefix("assumed-role/"));
        match role.and_then(|role| role.split_once('/')) {
            Some((_role, session)) => &principal[..principal.len() - session.len() - 1],
            None => principal,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let arn = match parts.extensions.get::<RequestContext>() {
            Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.clone(),
            _ => None,
        };
        // API Gateway rejects unsigned requests, so only a direct invocation of the function has no ARN.
        Ok(Self(arn.unwrap_or_else(|| "unknown".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_assumed_role_has_a_session() {
        for (principal, without_session) in [
            (
                "arn:aws:sts::111122223333:assumed-role/offers/i-0123456789",
                "arn:aws:sts::111122223333:assumed-role/offers",
            ),
            ("arn:aws:sts::111122223333:assumed-role/offers/a:b", "arn:aws:sts::111122223333:assumed-role/offers"),
            (
                "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Offers_0a1b/asha@bank.example",
                "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Offers_0a1b",
            ),
            (
                "arn:aws-us-gov:sts::111122223333:assumed-role/offers/x",
                "arn:aws-us-gov:sts::111122223333:assumed-role/offers",
            ),
            ("arn:aws-cn:sts::111122223333:assumed-role/offers/x", "arn:aws-cn:sts::111122223333:assumed-role/offers"),
        ] {
            assert_eq!(Caller(principal.to_owned()).without_session(), without_session);
        }
        for principal in [
            "arn:aws:iam::111122223333:user/offers",
            "arn:aws:iam::111122223333:user/assumed-role/offers/x",
            "arn:aws:iam::111122223333:role/team/offers",
            "arn:aws:iam::111122223333:root",
            "arn:aws:sts::111122223333:federated-user/offers",
            "arn:aws:sts::111122223333:assumed-role/offers",
            "unknown",
            "",
        ] {
            assert_eq!(Caller(principal.to_owned()).without_session(), principal);
        }
    }
}
