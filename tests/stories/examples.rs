//! The examples in `docs/examples` do what they say, with the variables of `cargo xtask env`.

use std::path::Path;

use client::Response;
use end_to_end::{Bank, in_repository};
use tokio::process::Command;

/// Runs an example by a command for a shell, and returns what it printed. It must succeed.
async fn run(bank: &Bank, command: &str) -> String {
    let variables = bank.xtask(&["env"]);
    let output = Command::new("sh")
        .args(["-c", &format!("set -eu\n{variables}\n{command}")])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        // Of a shell in which a stack on AWS was used before.
        .env("AWS_SESSION_TOKEN", "of-another-key")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program twice, and checks that each run sent one e-mail and said so.
async fn check(command: &str, address: &str) {
    let bank = Bank::open();
    for times in 1..=2 {
        let said = run(&bank, command).await;
        assert!(said.contains("Posted offer ") && said.replace(['"', '\'', ' '], "").contains("sent:1,"), "{said}");
        let mails = bank.mail_to(address).await;
        assert_eq!(mails.len(), times, "{mails:?}");
        assert!(mails[times - 1].text.starts_with("Dear Asha Rao, get 5% cashback"), "{mails:?}");
    }
}

mod in_curl {
    #[tokio::test]
    async fn curl_posts_an_offer() {
        super::check("sh docs/examples/offer.sh", "asha@curl.example").await;
    }
}

mod in_python {
    #[tokio::test]
    async fn python_posts_an_offer() {
        super::check("target/local/ministack/bin/python docs/examples/offer.py", "asha@python.example").await;
    }
}

mod in_java {
    #[tokio::test]
    async fn java_posts_an_offer() {
        super::check("java docs/examples/Offer.java", "asha@java.example").await;
    }
}

/// A call of a `.http` file: method, path and body. `{{api}}` begins each address.
fn calls(file: &str) -> Vec<(String, String, String)> {
    let sections = file.split("\n### ").skip(1);
    sections
        .map(|section| {
            let (head, body) = section.split_once("\n\n").unwrap_or((section, ""));
            let mut lines = head.lines().skip(1).filter(|line| !line.starts_with('#'));
            let (method, address) = lines.next().unwrap().split_once(' ').unwrap();
            assert_eq!(lines.next(), Some("Authorization: {{aws}}"), "{section}");
            let path = address.strip_prefix("{{api}}").unwrap();
            (method.to_owned(), path.to_owned(), body.trim().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn each_call_of_the_http_file_is_accepted() {
    let bank = Bank::open();
    let mut offer: Option<String> = None;
    for (method, path, body) in calls(&in_repository("docs/examples/calls.http")) {
        let path = match &offer {
            Some(id) => path.replace("{{offer.id}}", id),
            None => path,
        };
        let response: Response = bank.call_with(&method, &path, &[], body.as_bytes()).await;
        assert!(response.status < 300, "{method} {path}: {}", response.text);
        if (method.as_str(), path.as_str()) == ("POST", "/offers") {
            let posted = response.json();
            offer = posted["id"].as_str().map(str::to_owned);
            bank.wait_until_completed(&posted).await;
        }
    }
    assert!(offer.is_some() && bank.mail_to("asha@http.example").await.len() == 1);
}
