//! Faults of the SMTP server. All tests share the server, so a fault may affect the mail of other tests.

use serde_json::Value;

use super::Bank;

impl Bank {
    /// Sets the faults of the SMTP server. For tests that run alone, or with faults for their own addresses only.
    pub async fn smtp_faults(&self, faults: Value) {
        let url = format!("{}api/faults", self.stack.inbox_url);
        let response = reqwest::Client::new().put(url).json(&faults).send().await.expect("the inbox responds");
        assert_eq!(response.status(), 204);
    }

    /// The number of connections to the SMTP server since its faults were set.
    pub async fn smtp_connections(&self) -> u64 {
        self.smtp_state().await["connections"].as_u64().expect("a count")
    }

    /// The current faults, with how often each may still apply and how often it matched.
    pub async fn smtp_faults_now(&self) -> Value {
        self.smtp_state().await["faults"].take()
    }

    async fn smtp_state(&self) -> Value {
        let url = format!("{}api/faults", self.stack.inbox_url);
        reqwest::get(url).await.expect("the inbox responds").json().await.expect("with JSON")
    }

    /// Makes the SMTP server require a password, or none.
    pub async fn smtp_password(&self, password: Option<&str>) {
        let url = format!("{}api/password", self.stack.inbox_url);
        let response = reqwest::Client::new().put(url).json(&password).send().await.expect("the inbox responds");
        assert_eq!(response.status(), 204);
    }

    /// Changes the secret that holds the SMTP server's URL, as an operator would.
    pub async fn set_smtp_url(&self, url: &str) {
        let aws = self.aws();
        aws.put_secret(&aws.environment_of("email").await["SMTP_URL_SECRET_ARN"], url).await;
    }
}
