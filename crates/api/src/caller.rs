//! The caller's identity.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use data_encoding::HEXLOWER;
use lambda_http::request::RequestContext;
use sha2::{Digest, Sha256};

/// Roles of people who sign in with IAM Identity Center begin so (IAM Identity Center User Guide, "Referencing permission
/// sets in resource policies"). Their session has the user's name, mostly an e-mail address.
const IDENTITY_CENTER: &str = "AWSReservedSSO_";
/// Length of the hash in place of a session's name, in hexadecimal digits: enough to tell the people of a bank apart.
const HASH_LENGTH: usize = 12;

/// The caller's principal: the ARN of the user or role whose signature API Gateway verified, without the name of a person
/// who assumed the role. It is logged, stored and published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// `arn:<partition>:sts:<region, empty>:<account>:<resource>`: the length of what precedes the resource, and the resource.
fn sts_resource(principal: &str) -> Option<(usize, &str)> {
    let mut parts = principal.splitn(6, ':');
    let (service, resource) = (parts.nth(2)?, parts.nth(2)?);
    (service == "sts").then_some((principal.len() - resource.len(), resource))
}

impl Caller {
    /// The caller with this ARN. If the session is, or may be, named after a person, a hash takes the place of its name: the
    /// sessions of people who sign in with IAM Identity Center, and any with an `@` (AWS allows one there, STS API Reference,
    /// `RoleSessionName`). Other sessions, users and roles have the names that the bank's administrators gave them.
    pub fn of_arn(arn: &str) -> Self {
        let session = sts_resource(arn).and_then(|(_, resource)| {
            let (kind, rest) = resource.split_once('/')?;
            match kind {
                "assumed-role" => {
                    let (role, session) = rest.split_once('/')?;
                    (role.starts_with(IDENTITY_CENTER) || session.contains('@')).then_some(session)
                }
                "federated-user" => Some(rest).filter(|name| name.contains('@')),
                _ => None,
            }
        });
        Self(session.map_or_else(
            || arn.to_owned(),
            |session| {
                // Of the whole ARN, so that it differs between accounts and roles. No session's name has a `~`.
                let hash = HEXLOWER.encode(&Sha256::digest(arn));
                format!("{}~{}", &arn[..arn.len() - session.len()], &hash[..HASH_LENGTH])
            },
        ))
    }

    /// The principal without the name of its session, which an assumed role gets anew whenever the caller's process is
    /// replaced. So it is the same for all processes of a service.
    pub fn without_session(&self) -> &str {
        let principal = self.0.as_str();
        let role = sts_resource(principal).and_then(|(_, resource)| resource.strip_prefix("assumed-role/"));
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
        Ok(arn.map_or_else(|| Self("unknown".to_owned()), |arn| Self::of_arn(&arn)))
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

    const SSO: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Offers_0a1b";

    #[test]
    fn name_of_a_person_is_replaced_by_a_hash() {
        for (arn, before) in [
            (format!("{SSO}/asha@bank.example"), SSO),
            // User names of Identity Center need not be addresses.
            (format!("{SSO}/asha.rao"), SSO),
            ("arn:aws:sts::1:assumed-role/offers/asha@bank.example".to_owned(), "arn:aws:sts::1:assumed-role/offers"),
            (
                "arn:aws:sts::1:assumed-role/offers/a:b/asha@bank.example".to_owned(),
                "arn:aws:sts::1:assumed-role/offers",
            ),
            ("arn:aws-cn:sts::1:federated-user/asha@bank.example".to_owned(), "arn:aws-cn:sts::1:federated-user"),
        ] {
            let Caller(caller) = Caller::of_arn(&arn);
            let hash = caller.strip_prefix(before).and_then(|rest| rest.strip_prefix("/~")).unwrap_or_default();
            assert!(hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{arn}: {caller}");
            assert!(!caller.contains("asha") && !caller.contains('@'), "{caller}");
            assert_eq!(Caller::of_arn(&arn), Caller(caller), "each time the same");
        }
        let caller = |session: &str| Caller::of_arn(&format!("{SSO}/{session}"));
        assert_ne!(caller("asha@bank.example"), caller("ines@bank.example"));
        assert_eq!(caller("asha@bank.example").without_session(), SSO);
    }

    #[test]
    fn other_principals_stay_as_they_are() {
        for arn in [
            "arn:aws:sts::111122223333:assumed-role/offers/i-0123456789",
            "arn:aws:sts::111122223333:assumed-role/offers/a:b",
            "arn:aws:sts::111122223333:assumed-role/offers",
            "arn:aws:sts::111122223333:federated-user/offers",
            "arn:aws:iam::111122223333:user/offers",
            "arn:aws:iam::111122223333:user/asha@bank.example",
            "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Offers_0a1b",
            "arn:aws:iam::111122223333:root",
            "unknown",
            "",
        ] {
            assert_eq!(Caller::of_arn(arn), Caller(arn.to_owned()));
        }
    }
}
