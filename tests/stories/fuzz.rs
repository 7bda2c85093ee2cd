//! Whatever is asked of the API, it answers as `docs/openapi.yaml` says, and never with a `5xx`.
//!
//! Alone: schemathesis reads what there is and goes on with it, so it would cancel pushes that other stories wait for.

use std::env;
use std::path::Path;

use axum::http::Method;
use client::SCHEMATHESIS_VARIABLE;
use end_to_end::signing_proxy::{ForwardedCall, SigningProxy};
use end_to_end::{Bank, wait_for};
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

// Where slices are walked one at a time, those of the offers posted here would be in the next story's way for minutes.
mod concurrent_functions {
    use super::*;

    #[tokio::test]
    async fn generated_requests_get_only_documented_responses() {
        let bank = Bank::open();
        let proxy = SigningProxy::start(&bank.stack, harmless).await;
        let schemathesis = env::var_os(SCHEMATHESIS_VARIABLE).expect("cargo xtask test says where schemathesis is");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(schemathesis)
            // It leaves files behind.
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
        wait_for("what was posted here to be over", async || {
            let queued = bank.queues().depths().await["audience"];
            anyhow::ensure!(queued == 0, "{queued} slices are left");
            Ok(())
        })
        .await;
    }
}

/// What is posted here is told to nobody, and says all that is wrong with it.
fn harmless(call: &mut ForwardedCall) {
    if call.method != Method::POST || !["/offers", "/offer/create"].contains(&call.path.as_str()) {
        return;
    }
    // Schemathesis has one key for most offers, and would hear of nothing but that. So each body has a key of its own.
    // What is no key stays what it is.
    if let Some(key) = call.idempotency_key.as_mut().filter(|key| (1..=200).contains(&key.len()) && !key.contains(' '))
    {
        *key = format!("{key}-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, &call.body));
    }
    // An offer for everybody would be told to the customers of every other story. So a rule that nobody meets is added.
    // A body that is none, or a rule that is no text, is refused as it is.
    let Ok(Value::Object(mut offer)) = serde_json::from_slice(&call.body) else { return };
    let nobody = "customer.id == ''";
    let rule = match offer.get("eligibility") {
        None | Some(Value::Null) => nobody.to_owned(),
        Some(Value::String(rule)) => format!("{nobody} && ({rule})"),
        Some(_) => return,
    };
    offer.insert("eligibility".to_owned(), rule.into());
    call.body = Value::Object(offer).to_string().into();
}
