//! What operators do with `offercast`: files of customers, offers, and what became of them.

use std::path::PathBuf;
use std::process::Output;

use anyhow::ensure;
use end_to_end::{Bank, id_of, wait_for};
use serde_json::json;

/// A file in the temporary folder of this test.
fn file(bank: &Bank, name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}-{name}", bank.id("file")));
    std::fs::write(&path, content).unwrap();
    path
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The status of a `GET` of a customer.
async fn status(bank: &Bank, id: &str) -> u16 {
    bank.call_with("GET", &format!("/customers/{id}"), &[], b"").await.status
}

#[tokio::test]
async fn good_rows_of_a_file_are_stored_and_bad_ones_can_be_corrected_and_loaded_again() {
    let bank = Bank::open();
    let ids: Vec<_> = (0..250).map(|i| bank.id(&format!("c{i}"))).collect();
    let row = |(i, id): (usize, &String)| {
        let email = if i % 100 == 7 { "nobody".to_owned() } else { format!("{id}@example.com") };
        format!("{id};Name {i};{email};yes;00{i}\n")
    };
    let rows: String = ids.iter().enumerate().map(row).collect();
    let path = file(&bank, "customers.csv", &format!("ID;Name;Mail;emailConsent;branch\n{rows}"));
    let path = path.to_str().unwrap();

    let tried = bank.try_tool(&["load", path, "--map", "Mail=email", "--dry-run"]);
    assert!(
        !tried.status.success() && said(&tried).contains("247 customers can be stored; nothing was"),
        "{}",
        said(&tried)
    );
    assert_eq!(status(&bank, &ids[0]).await, 404);

    let loaded = bank.try_tool(&["load", path, "--map", "Mail=email"]);
    let said = said(&loaded);
    assert!(!loaded.status.success() && said.contains("247 customers stored"), "{said}");
    for line in [9, 109, 209] {
        assert!(said.contains(&format!("line {line}: Mail is not an e-mail address")), "{said}");
    }
    let stored = bank.get(&format!("/customers/{}", ids[249])).await;
    assert_eq!((&stored["attributes"]["branch"], &stored["channels"]), (&json!("00249"), &json!(["email"])));
    assert_eq!(status(&bank, &ids[7]).await, 404);

    let rejected = path.replace(".csv", ".rejected.csv");
    let corrected = std::fs::read_to_string(&rejected).unwrap().replace("nobody", "somebody@example.com");
    std::fs::write(&rejected, corrected).unwrap();
    bank.xtask(&["load", &rejected, "--map", "Mail=email"]);
    let stored = bank.get(&format!("/customers/{}", ids[7])).await;
    assert_eq!((&stored["email"], &stored["attributes"]["branch"]), (&json!("somebody@example.com"), &json!("007")));
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(&rejected).unwrap();
}

#[tokio::test]
async fn an_offer_is_previewed_followed_and_exported() {
    let bank = Bank::open();
    bank.put_many(3).await;
    let mut body = json!({"code": "TOOL", "description": "Hello {{ customer.name }}"});
    body["eligibility"] = bank.rule("").into();
    let preview = bank.xtask(&["preview", &body.to_string()]);
    assert!(preview.contains("Customers that the rule selects: 3") && preview.contains("│ Hello "), "{preview}");

    let offer = bank.post_offer(&json!({"code": "TOOL", "description": "Hello {{ customer.name }}"})).await;
    bank.wait_until_completed(&offer).await;
    let id = id_of(&offer);
    let exported = bank.xtask(&["deliveries", id, "--csv", "--state", "sent"]);
    let header = "customer,channel,state,reasonCode,reason,attempts,providerMessageId,push,updatedAt";
    assert_eq!((exported.lines().next(), exported.lines().count()), (Some(header), 4), "{exported}");
    let customer = bank.xtask(&["customer", &bank.id("c0")]);
    assert!(customer.contains("\"channels\"") && customer.contains(&format!("sent       TOOL ({id})")), "{customer}");

    bank.put_customers(&[bank.customer("silent", &json!({"channels": []}))]).await;
    let silent = bank.xtask(&["customer", &bank.id("silent")]);
    assert!(silent.contains("No offer reaches this customer: they consented to no channel"), "{silent}");
    for (customer, why) in [("c0", "sent       TOOL"), ("silent", "TOOL was not sent to this customer by ")] {
        let explained = bank.xtask(&["customer", &bank.id(customer), "--offer", id]);
        assert!(explained.contains(why), "{explained}");
    }

    assert!(bank.xtask(&["push", id]).contains("push 2 of"));
    wait_for("the second push to be cancelled or completed", async || {
        let cancelled = bank.try_tool(&["cancel", id, "2"]);
        ensure!(cancelled.status.success() || said(&cancelled).contains("completed"), "{}", said(&cancelled));
        Ok(())
    })
    .await;

    wait_for("the lines about the offer", async || {
        let lines = bank.xtask(&["logs", "--offer", id, "--since", "10m"]);
        ensure!(lines.contains("batch delivered") && lines.lines().all(|line| line.contains(id)), "{lines}");
        // First what happened, without Lambda's own fields.
        let is_short = |line: &str| line[8..].split_whitespace().nth(1) == Some("INFO");
        ensure!(lines.lines().all(is_short) && !lines.contains("requestId"), "{lines}");
        Ok(())
    })
    .await;
    assert_eq!(bank.xtask(&["logs", "--offer", id, "--level", "error"]), "");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_a_sentence() {
    let bank = Bank::open();
    for (arguments, expected) in [
        (&["push", "01890000-0000-7000-8000-000000000000"][..], "There is no such offer"),
        (&["status", "--stack", "nosuch"], "cannot read the stack nosuch: "),
        (&["load", "no-such.csv"], "cannot read no-such.csv: No such file or directory"),
        (&["call", "FETCH", "/offers"], "FETCH is not a method of the API"),
        (&["logs", "--since", "soon"], "expected a number and s, m, h or d"),
        (&["logs", "mail"], "unknown function; expected one of: audience, customer, email"),
    ] {
        let output = bank.try_tool(arguments);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
        // Neither a dump of types nor escape codes, since this is no terminal.
        assert!(!said.contains("Error {") && !said.contains("SdkBody") && !said.contains('\u{1b}'), "{said}");
    }
}
