//! A bank, as tests play it: it has customers, posts offers, and looks at what arrived.
//!
//! All tests share one stack. Each bank therefore has customers of its own, told apart by an attribute and by the
//! domain of their addresses, and sees only their mail.

pub mod aws_proxy;
pub mod browser;
pub mod container;
pub mod function;
pub mod ses;
pub mod signing_proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use client::{Api, Call, Response, STACK_VARIABLE, Signer, Stack, logged};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// How long anything that is waited for may take. Generous: it ends a hanging test, it is no promise of speed.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One test's bank.
pub struct Bank {
    /// Where everything is.
    pub stack: Stack,
    api: Api,
    /// What tells its customers from those of other tests.
    pub name: String,
    opened_at: SystemTime,
}

/// A text message that SNS was given.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TextMessage {
    /// The number that it went to.
    pub phone_number: String,
    /// What it says.
    pub message: String,
    /// What it was sent with, by name: `{"DataType", "StringValue"}` or similar.
    pub message_attributes: Value,
}

/// A message that arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub headers: Vec<Header>,
    #[serde(rename = "receivedAt")]
    pub received_at: jiff::Timestamp,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Mail {
    /// The raw value of a header that stands once.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let header = found.next().unwrap_or_else(|| panic!("the mail has no {name}"));
        assert!(found.next().is_none(), "the mail has more than one {name}");
        &header.value
    }

    /// What the offer says, without the foot that every offer has.
    pub fn said(&self) -> Vec<&str> {
        let (said, _) = self.text.split_once("\r\n\r\n-- \r\n").expect("an offer has a foot");
        said.lines().collect()
    }

    /// Where its reader unsubscribes, as a mail program reads it.
    pub fn unsubscribe_link(&self) -> &str {
        let link = self.header("List-Unsubscribe").strip_prefix('<').and_then(|link| link.strip_suffix('>'));
        link.expect("List-Unsubscribe holds one address in angle brackets")
    }
}

impl Bank {
    /// A new bank without customers.
    pub fn open() -> Self {
        let file = env::var_os(STACK_VARIABLE).unwrap_or_else(|| {
            panic!("these tests need a stack of their own: run them with cargo xtask test");
        });
        let stack = Stack::read(&PathBuf::from(file)).expect("cargo xtask test wrote the file");
        let name = format!("bank{}", Uuid::now_v7().simple());
        Self { api: Api::new(&stack), stack, name, opened_at: SystemTime::now() }
    }

    // ---- Calls ----

    /// Makes a signed call.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Response {
        self.call_with(method, path, &[], body.to_string().as_bytes()).await
    }

    /// Makes a signed call with headers and any body.
    pub async fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.api.call(method, path, headers, body).await.expect("the API answers")
    }

    /// Reads what must be there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.call_with("GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    // ---- Customers ----

    /// The id of one of its customers.
    pub fn id(&self, who: &str) -> String {
        format!("{}-{who}", self.name)
    }

    /// The address of one of its customers.
    pub fn address(&self, who: &str) -> String {
        format!("{who}@{}", self.domain())
    }

    /// Where all its customers have their addresses.
    pub fn domain(&self) -> String {
        format!("{}.example", self.name)
    }

    /// A customer who wants e-mail; `change` what differs.
    pub fn customer(&self, who: &str, change: &Value) -> Value {
        let mut customer = json!({
            "id": self.id(who), "name": who, "email": self.address(who), "channels": ["email"],
            "attributes": {"bank": self.name},
        });
        for (field, value) in change.as_object().expect("a change is an object") {
            match (field.as_str(), value) {
                ("attributes", Value::Object(attributes)) => {
                    for (name, value) in attributes {
                        customer["attributes"][name] = value.clone();
                    }
                }
                _ => customer[field] = value.clone(),
            }
        }
        customer
    }

    /// Puts customers, all of whom must be stored.
    pub async fn put_customers(&self, customers: &[Value]) {
        for chunk in customers.chunks(100) {
            let answer = self.call("POST", "/customers", &chunk.into()).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let results = answer.json();
            let results = results["results"].as_array().expect("results");
            assert!(results.iter().all(|result| result["status"] == "stored"), "{}", answer.text);
        }
    }

    /// Its customers are gone, so that later pushes need not walk them. For banks with many, once their story is told.
    pub async fn close(&self) {
        let (dynamodb, table) = (self.dynamodb(), &self.stack.tables["customers"]);
        let own = aws_sdk_dynamodb::types::AttributeValue::S(format!("{}-", self.name));
        let mut customers = dynamodb
            .scan()
            .table_name(table)
            .filter_expression("begins_with(pk, :own)")
            .expression_attribute_values(":own", own)
            .projection_expression("pk")
            .into_paginator()
            .items()
            .send();
        let mut requests = Vec::new();
        while let Some(key) = customers.next().await {
            let delete = aws_sdk_dynamodb::types::DeleteRequest::builder()
                .set_key(Some(key.expect("DynamoDB answers")))
                .build()
                .expect("the key is set");
            requests.push(aws_sdk_dynamodb::types::WriteRequest::builder().delete_request(delete).build());
        }
        // Most items of one call (DynamoDB API reference).
        for requests in requests.chunks(25) {
            let deleted = dynamodb.batch_write_item().request_items(table, requests.to_vec()).send().await;
            assert!(deleted.expect("DynamoDB answers").unprocessed_items.unwrap_or_default().is_empty());
        }
    }

    // ---- Offers ----

    /// A moment from now, as offers name it.
    pub fn in_seconds(&self, seconds: i64) -> String {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        at.round(jiff::Unit::Millisecond).expect("now is within range").to_string()
    }

    /// A rule for its own customers only.
    pub fn rule(&self, and: &str) -> String {
        let own = format!("customer.bank == '{}'", self.name);
        if and.is_empty() { own } else { format!("{own} && ({and})") }
    }

    /// Posts an offer for its own customers, which must be taken; answers it as it was stored.
    pub async fn post_offer(&self, offer: &Value) -> Value {
        let mut offer = offer.clone();
        let rule = self.rule(offer["eligibility"].as_str().unwrap_or_default());
        offer["eligibility"] = rule.into();
        let answer = self.call("POST", "/offers", &offer).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }

    /// How far an offer's first push is.
    pub async fn push(&self, offer: &Value) -> Value {
        self.push_number(offer, 1).await
    }

    /// How far one of an offer's pushes is.
    pub async fn push_number(&self, offer: &Value, number: u32) -> Value {
        let push = self.get(&format!("/offers/{}/pushes/{number}", id_of(offer))).await;
        check_sum(&push);
        push
    }

    /// Waits until an offer's first push is completed; answers its counts.
    pub async fn completed(&self, offer: &Value) -> Value {
        self.completed_number(offer, 1).await
    }

    /// Waits until one of an offer's pushes is completed; answers its counts.
    pub async fn completed_number(&self, offer: &Value, number: u32) -> Value {
        wait_for("the push to complete", async || {
            let push = self.push_number(offer, number).await;
            if push["state"] != "completed" {
                bail!("{push}");
            }
            assert_eq!(push["pending"], 0, "{push}");
            Ok(push)
        })
        .await
    }

    /// Waits until a push has at least so many of something.
    pub async fn reached(&self, offer: &Value, what: &str, count: u64) -> Value {
        wait_for(what, async || {
            let push = self.push(offer).await;
            if push[what].as_u64().is_some_and(|n| n >= count) { Ok(push) } else { bail!("{push}") }
        })
        .await
    }

    /// Sweeps up an offer's last push, as the schedule does once something is stale.
    pub async fn sweep(&self, offer: &Value) -> Value {
        self.invoke("push", &json!({"sweep": id_of(offer)})).await.expect("a sweep succeeds")
    }

    /// Puts `count` customers who want e-mail.
    pub async fn put_many(&self, count: usize) {
        let customers: Vec<_> = (0..count).map(|i| self.customer(&format!("c{i}"), &json!({}))).collect();
        self.put_customers(&customers).await;
    }

    /// What became of an offer's notifications.
    pub async fn deliveries(&self, offer: &Value, query: &str) -> Vec<Value> {
        let mut deliveries = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/offers/{}/deliveries?{query}{cursor}", id_of(offer))).await;
            deliveries.extend(page["deliveries"].as_array().expect("deliveries").iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return deliveries,
            }
        }
    }

    // ---- What arrived ----

    /// The mail of its own customers, oldest first.
    pub async fn mail(&self) -> Vec<Mail> {
        let url = format!("{}api/messages?to=@{}", self.stack.inbox_url, self.domain());
        let mails: Vec<Mail> =
            reqwest::get(url).await.expect("the inbox answers").json().await.expect("the inbox answers with messages");
        mails.into_iter().rev().collect()
    }

    /// How many messages each of its own customers has, by who they are.
    pub async fn mail_count(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for mail in self.mail().await {
            let who = mail.to.split('@').next().unwrap_or_default().to_owned();
            *counts.entry(who).or_default() += 1;
        }
        counts
    }

    /// The number of one of its customers, whom nobody else has.
    pub fn mobile(&self, who: &str) -> String {
        let number = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.id(who).as_bytes()).as_u128() % 10_000_000_000;
        format!("+3519{number:010}")
    }

    /// The text messages that its customers `who` have, in the order in which each of them got them.
    pub async fn texts(&self, who: &[&str]) -> BTreeMap<String, Vec<TextMessage>> {
        #[derive(Deserialize)]
        struct Sent {
            sms_messages: BTreeMap<String, Vec<TextMessage>>,
        }
        let Stack { endpoint_url, region, .. } = &self.stack;
        let mut sent = None;
        // MiniStack's way to tell, and LocalStack's.
        for path in ["_ministack/sns/sms-messages", "_aws/sns/sms-messages"] {
            let answer =
                reqwest::get(format!("{endpoint_url}/{path}?region={region}")).await.expect("the stack answers");
            if answer.status().is_success() {
                sent = answer.json::<Sent>().await.ok();
                break;
            }
        }
        let mut sent = sent.expect("the stack tells what SNS was given").sms_messages;
        who.iter().filter_map(|who| Some(((*who).to_owned(), sent.remove(&self.mobile(who))?))).collect()
    }

    // ---- What goes wrong ----

    /// Makes the SMTP server do wrong, to everybody: only for tests that run alone.
    pub async fn smtp_faults(&self, faults: Value) {
        let url = format!("{}api/faults", self.stack.inbox_url);
        let answer = reqwest::Client::new().put(url).json(&faults).send().await.expect("the inbox answers");
        assert_eq!(answer.status(), 204);
    }

    /// How many connections the SMTP server got since its faults were set.
    pub async fn smtp_connections(&self) -> u64 {
        self.smtp_state().await["connections"].as_u64().expect("a count")
    }

    /// What the SMTP server still does wrong, and how often it came to it.
    pub async fn smtp_faults_now(&self) -> Value {
        self.smtp_state().await["faults"].take()
    }

    async fn smtp_state(&self) -> Value {
        let url = format!("{}api/faults", self.stack.inbox_url);
        reqwest::get(url).await.expect("the inbox answers").json().await.expect("with JSON")
    }

    /// Makes the SMTP server ask for a password, or for none.
    pub async fn smtp_password(&self, password: Option<&str>) {
        let url = format!("{}api/password", self.stack.inbox_url);
        let answer = reqwest::Client::new().put(url).json(&password).send().await.expect("the inbox answers");
        assert_eq!(answer.status(), 204);
    }

    /// Changes the secret that names the SMTP server, as an operator would.
    pub async fn set_smtp_url(&self, url: &str) {
        self.put_secret(&self.environment_of("email").await["SMTP_URL_SECRET_ARN"], url).await;
    }

    /// Changes a secret.
    pub async fn put_secret(&self, id: &str, value: &str) {
        let body = json!({"SecretId": id, "SecretString": value, "ClientRequestToken": Uuid::now_v7()});
        self.aws("secretsmanager", "secretsmanager.PutSecretValue", &body).await;
    }

    /// Makes a call of AWS's JSON protocol, which must succeed.
    pub async fn aws(&self, service: &str, target: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let (url, body) = (format!("{}/", self.stack.endpoint_url), body.to_string());
        let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), service };
        let signer = Signer::new(&self.stack.region, self.stack.credentials());
        let answer = signer.send(&call).await.expect("AWS answers");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
        answer.json()
    }

    /// How many messages are dead, in all dead-letter queues.
    pub async fn dead_letters(&self) -> u64 {
        self.queued().await.iter().filter(|(name, _)| name.ends_with("DeadLetters")).map(|(_, count)| count).sum()
    }

    /// The processes that run a function at this moment, by their ids. On Linux, where the stack runs them as such.
    pub fn processes(&self, function: &str) -> Vec<i32> {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.stack.functions[function]);
        let endpoint = format!("AWS_ENDPOINT_URL={}", self.stack.endpoint_url);
        let runs_it = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
            has(&name) && has(&endpoint)
        };
        let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(runs_it).collect()
    }

    /// Kills every process of a function, as a host that fails would. Answers how many there were.
    pub fn kill(&self, function: &str) -> usize {
        let processes = self.processes(function);
        let kill =
            |pid: &&i32| nix::sys::signal::kill(nix::unistd::Pid::from_raw(**pid), nix::sys::signal::SIGKILL).is_ok();
        processes.iter().filter(kill).count()
    }

    /// How long messages that a killed function held stay hidden from the others, in seconds.
    pub async fn hide_for(&self, seconds: u32) {
        self.hide([("audience", seconds), ("email", seconds)]).await;
    }

    /// As the template says: six times as long as the function may take.
    pub async fn hide_as_deployed(&self) {
        self.hide([("audience", 360), ("email", 900)]).await;
    }

    async fn hide(&self, queues: [(&str, u32); 2]) {
        for (queue, seconds) in queues {
            self.sqs()
                .set_queue_attributes()
                .queue_url(&self.stack.queues[queue])
                .attributes(aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout, seconds.to_string())
                .send()
                .await
                .expect("SQS answers");
        }
    }

    // ---- Behind the scenes ----

    /// Runs `cargo xtask` with these arguments, on this stack; it must succeed. Answers what it printed.
    pub fn xtask(&self, arguments: &[&str]) -> String {
        let output = std::process::Command::new(program("stack"))
            .args(arguments)
            // Where it is told of AWS, AWS is this stack.
            .env("AWS_ENDPOINT_URL", &self.stack.endpoint_url)
            .env("AWS_REGION", &self.stack.region)
            .env("AWS_ACCESS_KEY_ID", &self.stack.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.stack.secret_access_key)
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Invokes a function directly, and answers what it answered.
    ///
    /// # Errors
    /// With the function's own error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let answer = aws_sdk_lambda::Client::new(&self.stack.sdk_config())
            .invoke()
            .function_name(&self.stack.functions[function])
            .payload(aws_sdk_lambda::primitives::Blob::new(event.to_string()))
            .send()
            .await
            .context("Lambda does not answer")?;
        let payload = answer.payload.map(aws_sdk_lambda::primitives::Blob::into_inner).unwrap_or_default();
        let payload = String::from_utf8_lossy(&payload).into_owned();
        match answer.function_error {
            Some(_) => bail!("{payload}"),
            None => Ok(serde_json::from_str(&payload).unwrap_or_default()),
        }
    }

    /// The tables.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.stack.sdk_config())
    }

    /// The queues.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.stack.sdk_config())
    }

    /// How many messages stand in each queue, waiting or in flight.
    pub async fn queued(&self) -> BTreeMap<String, u64> {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let sqs = self.sqs();
        let mut queued = BTreeMap::new();
        for (name, url) in &self.stack.queues {
            let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await;
            let attributes = answer.expect("SQS answers").attributes.unwrap_or_default();
            let count = |name: Name| attributes.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
            let sum = count(Name::ApproximateNumberOfMessages)
                + count(Name::ApproximateNumberOfMessagesNotVisible)
                + count(Name::ApproximateNumberOfMessagesDelayed);
            queued.insert(name.clone(), sum);
        }
        queued
    }

    /// Changes permissions, as an administrator would.
    pub async fn iam(&self, parameters: &[(&str, &str)]) {
        self.query("iam", &[parameters, &[("Version", "2010-05-08")]].concat()).await;
    }

    /// Makes a call of AWS's query protocol, which must succeed.
    pub async fn query(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let signer = Signer::new(&self.stack.region, self.stack.credentials());
        signer.query(&self.stack.endpoint_url, service, parameters).await.expect("AWS does as asked")
    }

    /// What a function reads from its environment, as deployed.
    pub async fn environment_of(&self, function: &str) -> BTreeMap<String, String> {
        let lambda = aws_sdk_lambda::Client::new(&self.stack.sdk_config());
        let answer = lambda.get_function_configuration().function_name(&self.stack.functions[function]).send().await;
        let environment = answer.expect("Lambda answers").environment.and_then(|environment| environment.variables);
        environment.unwrap_or_default().into_iter().collect()
    }

    /// Changes what a function reads from its environment; the next invocation sees it.
    pub async fn set_environment(&self, function: &str, name: &str, value: Option<&str>) {
        let mut variables = self.environment_of(function).await;
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
        let lambda = aws_sdk_lambda::Client::new(&self.stack.sdk_config());
        let function = &self.stack.functions[function];
        let environment =
            aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables.into_iter().collect())).build();
        let update = lambda.update_function_configuration().function_name(function).environment(environment);
        update.send().await.expect("Lambda does as asked");
        wait_for("the function to be updated", async || {
            let answer = lambda.get_function_configuration().function_name(function).send().await?;
            let status = answer.last_update_status.context("no status")?;
            anyhow::ensure!(status == aws_sdk_lambda::types::LastUpdateStatus::Successful, "{status:?}");
            Ok(())
        })
        .await;
    }

    /// Changes how often a function's stream is tried again.
    pub async fn set_stream_retries(&self, function: &str, retries: i32) {
        let lambda = aws_sdk_lambda::Client::new(&self.stack.sdk_config());
        let sources = lambda.list_event_source_mappings().function_name(&self.stack.functions[function]).send().await;
        let source = sources.expect("Lambda answers").event_source_mappings.unwrap_or_default().remove(0);
        let id = source.uuid.expect("an event source has an id");
        let update = lambda.update_event_source_mapping().uuid(&id).maximum_retry_attempts(retries);
        update.send().await.expect("Lambda does as asked");
        wait_for("the event source to be updated", async || {
            let state = lambda.get_event_source_mapping().uuid(&id).send().await?.state.unwrap_or_default();
            anyhow::ensure!(state == "Enabled", "{state}");
            Ok(())
        })
        .await;
    }

    /// What a function logged since the bank was opened.
    pub async fn log_of(&self, function: &str) -> Vec<String> {
        self.log_since(function, self.opened_at).await
    }

    /// What a function logged since then.
    pub async fn log_since(&self, function: &str, since: SystemTime) -> Vec<String> {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.stack.sdk_config());
        let events = logged(&logs, &self.stack.functions[function], since).await.expect("the logs can be read");
        events.into_iter().filter_map(|event| event.message).collect()
    }

    /// The name of a function's role.
    pub async fn role_of(&self, function: &str) -> String {
        let lambda = aws_sdk_lambda::Client::new(&self.stack.sdk_config());
        let answer = lambda.get_function_configuration().function_name(&self.stack.functions[function]).send().await;
        let arn = answer.expect("Lambda answers").role.expect("a function has a role");
        arn.rsplit('/').next().expect("an ARN has a name").to_owned()
    }
}

/// A program of this workspace, built beside this test: target/debug/deps/story and target/debug/email.
pub fn program(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a test has a file");
    own.ancestors().nth(2).map(|folder| folder.join(name)).expect("it lies in the target folder")
}

/// Unsubscribes as a mail program does it for its reader (RFC 8058, 3.2).
pub async fn one_click(link: &str) -> reqwest::Response {
    let form = "List-Unsubscribe=One-Click";
    let post = reqwest::Client::new().post(link).header("content-type", "application/x-www-form-urlencoded");
    post.body(form).send().await.expect("the page answers")
}

/// A file of this repository.
pub fn in_repository(file: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A route of the API, as the template has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// With its variables in braces.
    pub path: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// Whether it is called without credentials.
    pub is_open: bool,
}

/// All routes.
pub fn routes() -> BTreeSet<Route> {
    let template: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&in_repository("template.yaml")).expect("the template is YAML");
    let resources = template["Resources"].as_mapping().expect("it has resources");
    let events = resources.values().filter_map(|resource| resource["Properties"]["Events"].as_mapping());
    let routes = events.flat_map(serde_yaml_ng::Mapping::values).filter(|event| event["Type"] == "Api");
    routes
        .map(|route| {
            let route = &route["Properties"];
            let text = |name: &str| route[name].as_str().expect("a route has a path and a method").to_owned();
            Route { path: text("Path"), method: text("Method"), is_open: route["Auth"]["Authorizer"] == "NONE" }
        })
        .collect()
}

/// An offer's id.
pub fn id_of(offer: &Value) -> &str {
    offer["id"].as_str().expect("an offer has an id")
}

/// One message for each of these customers.
pub fn counts(who: &[&str]) -> BTreeMap<String, usize> {
    who.iter().map(|who| ((*who).to_owned(), 1)).collect()
}

/// One message for each customer of [`Bank::put_many`].
pub fn each_once(count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|i| (format!("c{i}"), 1)).collect()
}

/// The event with which a queue brings these messages.
pub fn sqs_event(bodies: &[String]) -> Value {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| json!({"messageId": format!("message-{i}"), "body": body, "eventSource": "aws:sqs"}))
        .collect();
    json!({"Records": records})
}

/// A port of this machine that nobody uses.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A push's counts add up at every moment.
pub fn check_sum(push: &Value) {
    let count = |name: &str| push[name].as_u64().unwrap_or_else(|| panic!("{name} in {push}"));
    let sum: u64 = ["sent", "failed", "suppressed", "optedOut", "expired", "cancelled", "pending", "alreadyServed"]
        .into_iter()
        .map(count)
        .sum();
    assert_eq!(count("eligible"), sum, "{push}");
}

/// Waits until something can be had.
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> T {
    wait_long_for(what, PATIENCE, look).await
}

/// Waits until something can be had that takes its time.
pub async fn wait_long_for<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        match look().await {
            Ok(found) => return found,
            Err(still) if began.elapsed() > patience => panic!("waited in vain for {what}: {still:#}"),
            // Of a stack that is busy, whoever waits asks less often: it must get on with what is waited for.
            Err(_) => tokio::time::sleep((3 * looked.elapsed()).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await,
        }
    }
}
