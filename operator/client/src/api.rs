//! Calls to the stack's HTTP API.

use anyhow::{Context, Result};

use crate::deployment::Deployment;
use crate::signer::{Call, Response, Signer};
use crate::stack::Stack;

/// The stack's HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    signer: Signer,
}

impl Api {
    /// Calls the API as the stack's user.
    pub fn new(stack: &Stack) -> Self {
        Self { url: stack.api_url.clone(), signer: Signer::new(&stack.region, stack.credentials()) }
    }

    /// Calls the API of a stack on AWS, with the credentials that the AWS CLI would use.
    ///
    /// # Errors
    /// If the stack has no output `ApiUrl`, or there are no credentials or no region.
    pub fn of(deployment: &Deployment) -> Result<Self> {
        let url = deployment.outputs.get("ApiUrl").context("the stack has no output ApiUrl")?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), signer: Signer::of(&deployment.sdk)? })
    }

    /// Its URL, with the stage.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a signed call.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let url = format!("{}/{}", self.url, path.trim_start_matches('/'));
        self.signer.send(&Call { method, url: &url, headers, body, service: "execute-api" }).await
    }
}
