//! Generated requests: the API's responses are as `docs/openapi.yaml` describes them, and never a `5xx`.
//!
//! Schemathesis uses the resources that it finds. It may read those of other stories, but changes none: it would cancel pushes
//! that others wait for.

use std::collections::HashSet;
use std::env;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::{Method, StatusCode};
use axum::response::Response;
use client::SCHEMATHESIS_VARIABLE;
use end_to_end::signing_proxy::{ForwardedCall, SigningProxy};
use end_to_end::{Bank, wait_for};
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

// Where slices are scanned one at a time, those of the offers posted here would delay the next story by minutes.
mod concurrent_functions {
    use super::*;

    #[tokio::test]
    async fn generated_requests_get_only_documented_responses() {
        let bank = Bank::open();
        // The ids of the offers that it posted.
        let own = Arc::new(Mutex::new(HashSet::new()));
        let posted = own.clone();
        let change = move |call: &mut ForwardedCall| make_harmless(call, &own.lock().unwrap());
        let see = move |_: &ForwardedCall, response: &Response| {
            let location = response.headers().get("location").and_then(|location| location.to_str().ok());
            if let (StatusCode::CREATED, Some(location)) = (response.status(), location) {
                posted.lock().unwrap().extend(location.rsplit('/').next().map(str::to_owned));
            }
        };
        let proxy = SigningProxy::start(&bank.stack, change, see).await;
        let schemathesis = env::var_os(SCHEMATHESIS_VARIABLE).expect("cargo xtask test sets the path of schemathesis");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(schemathesis)
            // It writes files to its working directory.
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .arg("--config-file")
            .arg(here.join("schemathesis.toml"))
            .args(["run", "--no-color", "--url", &proxy.url])
            .arg(here.join("../docs/openapi.yaml"))
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        println!("{said}");
        wait_for("the pushes of the generated offers", async || {
            let queued = bank.queues().depths().await["audience"];
            anyhow::ensure!(queued == 0, "{queued} slices are left");
            Ok(())
        })
        .await;
    }
}

/// The id of another story's offer or customer in a path that would change it, or of a customer's suppression: their
/// ids and their addresses begin with, or contain, the name of their bank.
fn of_another_story<'c>(call: &'c ForwardedCall, own: &HashSet<String>) -> Option<&'c str> {
    let path = call.path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (call.method.as_str(), &parts[..]) {
        ("POST", ["offers", offer, ..]) => (Uuid::parse_str(offer).is_ok() && !own.contains(*offer)).then_some(*offer),
        ("PUT" | "DELETE", ["customers" | "suppressions", .., of]) => of.contains("bank").then_some(*of),
        _ => None,
    }
}

/// Changes a generated offer so that no customer is eligible for it, and so that all of its faults are tested; a generated
/// bulk lift so that it lifts nothing; and what would change an offer or a customer of another story so that it names one that
/// does not exist.
fn make_harmless(call: &mut ForwardedCall, own: &HashSet<String>) {
    if let Some(other) = of_another_story(call, own) {
        let other = other.to_owned();
        call.path = call.path.replacen(&other, &Uuid::now_v7().to_string(), 1);
        return;
    }
    let path = call.path.split('?').next().unwrap_or_default();
    if path == "/suppressions/lift" {
        // Other stories wait for their suppressions. A request that is rejected is left as it is.
        if let Ok(Value::Object(mut request)) = serde_json::from_slice(&call.body)
            && request.get("dryRun").is_none_or(|dry_run| dry_run.is_null() || dry_run.is_boolean())
        {
            request.insert("dryRun".to_owned(), true.into());
            call.body = Value::Object(request).to_string().into();
        }
        return;
    }
    if call.method != Method::POST || !["/offers", "/offer/create"].contains(&path) {
        return;
    }
    // Schemathesis uses one idempotency key for most offers, so almost all responses would be about the key. Each body
    // therefore gets a key of its own. An invalid key is left as it is.
    if let Some(key) = call.idempotency_key.as_mut().filter(|key| (1..=200).contains(&key.len()) && !key.contains(' '))
    {
        *key = format!("{key}-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, &call.body));
    }
    // An offer without a rule would be sent to the customers of all other stories, so a rule that excludes all of them
    // is added. A body that is not an object, or a rule that is not text, is rejected as it is.
    let Ok(Value::Object(mut offer)) = serde_json::from_slice(&call.body) else { return };
    let excludes_all = "customer.id == ''";
    let rule = match offer.get("eligibility") {
        None | Some(Value::Null) => excludes_all.to_owned(),
        Some(Value::String(rule)) => format!("{excludes_all} && ({rule})"),
        Some(_) => return,
    };
    offer.insert("eligibility".to_owned(), rule.into());
    call.body = Value::Object(offer).to_string().into();
}
