//! What runs on the developer's machine answers programs of this machine, and no page that the browser shows.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use client::STACK_VARIABLE;
use end_to_end::Bank;
use reqwest::{Method, Response};
use serde_json::json;

/// A body that creates a function in Python, which MiniStack runs as a process of this machine.
const PROBE: &str = r#"{"FunctionName": "probe", "Runtime": "python3.12", "Role": "arn:aws:iam::000000000000:role/any",
    "Handler": "index.handler", "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}"#;

/// A request that needs no preflight, so that any page may make it. The key is MiniStack's own for the account's root.
const CREATE_FUNCTION: &str = "/2015-03-31/functions?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host\
    &X-Amz-Credential=test%2F20260101%2Feu-west-1%2Flambda%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Signature=0";

/// Makes a request with these headers.
async fn request(method: Method, url: &str, headers: &[(&str, &str)], body: &'static str) -> Response {
    let mut request = reqwest::Client::new().request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// What a page may request of the servers: the method, the URL and the body.
fn requests(bank: &Bank) -> Vec<(Method, String, &'static str)> {
    let (aws, inbox) = (&bank.stack.endpoint_url, &bank.stack.inbox_url);
    let status = bank.stack.status_url.as_deref().unwrap();
    vec![
        (Method::POST, format!("{aws}{CREATE_FUNCTION}"), PROBE),
        (Method::GET, format!("{aws}/_ministack/sns/sms-messages"), ""),
        (Method::GET, format!("{aws}/_aws/sns/sms-messages"), ""),
        (Method::GET, format!("{aws}/_ministack/health"), ""),
        (Method::PUT, format!("{aws}/probe-bucket"), ""),
        (Method::GET, format!("{}/health", bank.stack.api_url), ""),
        (Method::GET, inbox.clone(), ""),
        (Method::GET, format!("{inbox}api/messages"), ""),
        (Method::DELETE, format!("{inbox}api/messages"), ""),
        (Method::PUT, format!("{inbox}api/faults"), "[]"),
        (Method::GET, format!("{inbox}messages/1/source"), ""),
        (Method::GET, status.to_owned(), ""),
        (Method::GET, format!("{status}api/status"), ""),
    ]
}

#[tokio::test]
async fn a_page_elsewhere_is_refused_by_the_emulator_the_inbox_and_the_status_page() {
    let bank = Bank::open();
    let json = ("content-type", "text/plain;charset=UTF-8");
    let pages: [(&[(&str, &str)], u16); 7] = [
        (&[("origin", "https://evil.example"), json], 403),
        (&[("origin", "http://127.0.0.1:9"), json], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], 403),
        (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], 403),
        (&[("host", "evil.example")], 421),
        (
            &[("host", "evil.example:4566"), ("origin", "http://evil.example:4566"), ("sec-fetch-site", "same-origin")],
            421,
        ),
    ];
    for (method, url, body) in requests(&bank) {
        for (headers, status) in pages {
            let response = request(method.clone(), &url, headers, body).await;
            assert_eq!(response.status(), status, "{method} {url} {headers:?}");
            assert!(!response.headers().contains_key("access-control-allow-origin"), "{method} {url} {headers:?}");
        }
        let preflight = [("origin", "https://evil.example"), ("access-control-request-method", method.as_str())];
        let response = request(Method::OPTIONS, &url, &preflight, "").await;
        assert_eq!(response.status(), 403, "{url}");
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{url}");
    }
    let functions = bank.aws().lambda().list_functions().send().await.unwrap();
    assert!(functions.functions().iter().all(|function| function.function_name() != Some("probe")));
}

#[tokio::test]
async fn programs_of_this_machine_and_links_are_answered() {
    let bank = Bank::open();
    let status = bank.stack.status_url.clone().unwrap();
    let get = async |url: &str, headers: &[(&str, &str)]| request(Method::GET, url, headers, "").await;
    for page in [&bank.stack.inbox_url, &status] {
        let link = [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for headers in [&[][..], &link, &[("host", "localhost:1")], &[("sec-fetch-site", "none")]] {
            let response = get(page, headers).await;
            assert_eq!(response.status(), 200, "{page} {headers:?}");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
        let own = page.trim_end_matches('/').to_owned();
        let script = get(&format!("{page}page.js"), &[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
        assert_eq!(script.status(), 200);
        assert_eq!(script.headers()["x-content-type-options"], "nosniff");
    }
    // The page of a link in an e-mail, which mail programs open as another site's.
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let health = get(&format!("{}/health", bank.stack.api_url), &link).await;
    assert_eq!(health.status(), 200);
    assert!(!health.headers().contains_key("access-control-allow-origin"));
    assert!(bank.texts(&["asha"]).await.is_empty(), "texts are listed without a signature");
}

#[tokio::test]
async fn only_their_owner_can_read_the_keys_of_the_stack() {
    let file = PathBuf::from(std::env::var_os(STACK_VARIABLE).unwrap());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let folder = file.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    for name in ["stack.json", "processes.json", "aws.log", "inbox.log", "status.log"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
}

mod enforced_roles {
    use aws_credential_types::Credentials;
    use client::{Call, Signer};
    use sha2::{Digest, Sha256};

    use super::*;

    /// The status of calls to Lambda, DynamoDB, S3 and the API with a key.
    async fn statuses(bank: &Bank, key: &Credentials) -> Vec<u16> {
        let signer = Signer::new(&bank.stack.region, key.clone());
        let aws = &bank.stack.endpoint_url;
        let (root, functions) = (format!("{aws}/"), format!("{aws}/2015-03-31/functions/"));
        let offers = format!("{}/offers", bank.stack.api_url);
        let list = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.ListTables")];
        let calls = [
            Call { method: "GET", url: &functions, headers: &[], body: b"", service: "lambda" },
            Call { method: "POST", url: &root, headers: &list, body: b"{}", service: "dynamodb" },
            Call { method: "GET", url: &root, headers: &[], body: b"", service: "s3" },
            Call { method: "GET", url: &offers, headers: &[], body: b"", service: "execute-api" },
        ];
        let mut statuses = Vec::new();
        for call in calls {
            statuses.push(signer.send(&call).await.unwrap().status);
        }
        statuses
    }

    #[tokio::test]
    async fn no_key_that_anybody_knows_is_accepted() {
        let bank = Bank::open();
        let own = bank.stack.credentials();
        assert_eq!(statuses(&bank, &own).await, [200; 4]);
        let refused = |statuses: &[u16]| statuses.iter().all(|status| [400, 401, 403].contains(status));
        for key_id in ["test", "000000000000", "123456789012", own.access_key_id()] {
            let key = Credentials::new(key_id, "wrong", None, None, "a guess");
            let statuses = statuses(&bank, &key).await;
            assert!(refused(&statuses), "{key_id}: {statuses:?}");
        }
        // Without a page's headers, in the query, and not signed at all.
        let aws = &bank.stack.endpoint_url;
        let bucket = format!("{aws}/probe-bucket-2");
        for (method, url) in [(Method::POST, format!("{aws}{CREATE_FUNCTION}")), (Method::PUT, bucket)] {
            let response = request(method, &url, &[], PROBE).await;
            assert!(refused(&[response.status().as_u16()]), "{url}: {}", response.status());
        }
        for service in ["test", "000000000000"] {
            let authorization = format!("AWS {service}:c2lnbmF0dXJl");
            let response = request(Method::GET, &format!("{aws}/"), &[("authorization", &authorization)], "").await;
            assert!(refused(&[response.status().as_u16()]), "{authorization}: {}", response.status());
        }
    }

    /// MiniStack derives a function's key from the names of the function and its role.
    #[tokio::test]
    async fn the_key_of_a_functions_role_cannot_be_derived() {
        let bank = Bank::open();
        let lambda = bank.aws().lambda();
        let name = &bank.stack.functions["offer"];
        let function = lambda.get_function_configuration().function_name(name).send().await.unwrap();
        let hash = |text: String| data_encoding::HEXLOWER.encode(&Sha256::digest(text));
        let digest = hash(format!("{}:{}", function.function_arn().unwrap(), function.role().unwrap()));
        // So that the function has a key.
        bank.get("/offers").await;
        let (id, secret) = (format!("ASIA{}", digest[..16].to_uppercase()), hash(format!("secret:{digest}")));
        let key = Credentials::new(id, secret, Some(hash(format!("token:{digest}"))), None, "derived");
        let item =
            json!({"TableName": bank.stack.tables["offers"], "Key": {"pk": {"S": "none"}, "sk": {"S": "offer"}}});
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.GetItem")];
        let (url, body) = (format!("{}/", bank.stack.endpoint_url), item.to_string());
        let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service: "dynamodb" };
        let response = Signer::new(&bank.stack.region, key).send(&call).await.unwrap();
        assert_eq!(response.status, 400, "{}", response.text);
        assert!(response.text.contains("UnrecognizedClientException"), "{}", response.text);
    }
}

mod in_a_browser {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::response::Html;
    use end_to_end::browser::Browser;
    use fantoccini::Locator;
    use tokio::net::TcpListener;

    use super::*;

    /// Makes each request as a page may: to read the answer, and without reading it. Returns what it could read.
    const TRY: &str = "const [requests, done] = arguments;
        (async () => {
          const read = [];
          for (const [method, url, body] of requests) {
            const options = { method, body: body || undefined };
            try { const answer = await fetch(url, options); read.push(url, await answer.text()); } catch { }
            try { await fetch(url, { ...options, method: body ? 'POST' : 'GET', mode: 'no-cors' }); } catch { }
          }
          return read;
        })().then(done, error => done([String(error)]));";

    #[tokio::test]
    async fn a_page_on_another_port_reads_nothing_and_changes_nothing() {
        let bank = Bank::open();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let evil = format!("http://{}/", listener.local_addr().unwrap());
        let links = format!(
            "<a id=inbox href='{inbox}'>a</a><iframe id=frame src='{inbox}'></iframe><form id=form method=post \
             enctype=text/plain action='{aws}{CREATE_FUNCTION}'><input name='{{\"x\":\"' value='\"}}'></form>",
            inbox = bank.stack.inbox_url,
            aws = bank.stack.endpoint_url,
        );
        let page = Html(links);
        let router = Router::new().fallback(async move || page);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let browser = Browser::start((1280, 860)).await;
        let page = &browser.page;
        page.goto(&evil).await.unwrap();
        let all: Vec<_> =
            requests(&bank).into_iter().map(|(method, url, body)| json!([method.as_str(), url, body])).collect();
        let read = page.execute_async(TRY, vec![json!(all)]).await.unwrap();
        assert_eq!(read, json!([]));

        // Framed, the inbox shows nothing.
        page.enter_frame(0).await.unwrap();
        assert!(page.find(Locator::Id("messages")).await.is_err());
        page.enter_parent_frame().await.unwrap();
        page.execute("document.getElementById('form').submit()", vec![]).await.unwrap();
        page.wait().for_element(Locator::XPath("//*[contains(text(), 'other origins')]")).await.unwrap();
        let functions = bank.aws().lambda().list_functions().send().await.unwrap();
        assert_eq!(functions.functions().len(), bank.stack.functions.len());

        // A link leads to the page, which works by itself.
        page.goto(&evil).await.unwrap();
        page.find(Locator::Id("inbox")).await.unwrap().click().await.unwrap();
        page.wait().for_element(Locator::Id("messages")).await.unwrap();
        let own = "const done = arguments[0]; fetch('api/messages').then(answer => done(answer.status), () => done(0))";
        assert_eq!(page.execute_async(own, vec![]).await.unwrap(), json!(200));
        browser.end().await;
        server.abort();
    }
}
